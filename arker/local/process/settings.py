"""The settings of a deployment, validated before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from arker.local.service import keys

from .folder import default_state


def _valid_key(key: SecretStr) -> SecretStr:
    keys.check(key.get_secret_value())
    return key


class Settings(BaseModel):
    """How a deployment serves.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        state: folder for persistent data.
        api_key: a key to make valid. If there is neither this nor a key in the state folder, one is created.
        public_url: the URL at which clients reach the deployment, if it differs from the Host of their
            requests.
        network: whether computers can use the network.
        limits: fields of the engine's `Limits` that differ from their defaults.
        rate_limit: requests per second of one organization; 0 for no limit.
        max_vms: maximum number of computers of one organization; 0 for no limit.
        contract: which contract to serve: `0.1`, `0.3` or `both`.
        grace: seconds that a stop waits for running requests.
        log_level: what to log: `debug`, `info`, `warning` or `error`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8720
    state: Path = Field(default_factory=default_state)
    api_key: Annotated[SecretStr, AfterValidator(_valid_key)] | None = None
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#]+$")] | None = None
    network: bool = False
    limits: dict[str, float] = {}
    rate_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    max_vms: Annotated[int, Field(ge=0)] = 0
    contract: Literal["both", "0.1", "0.3"] = "both"
    grace: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


def explain(error: ValidationError) -> str:
    """Describe the errors in settings, one line each, without the values."""
    lines = [
        f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors(include_input=False)
    ]
    return "\n".join(lines)
