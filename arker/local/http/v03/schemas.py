"""Schemas of contract 0.3's requests."""

# Annotations are not deferred: pydantic would evaluate each of them by itself, which takes longer.

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from arker.local.http.schemas import Body, Number, Truth, Whole, check_name
from arker.local.service.sessions import MAX_INDEX

T = TypeVar("T")

#: Default number of items of a page.
_PAGE: Final = 100


class Nullable(Body):
    """Base of bodies in which null is the same as a missing field."""

    #: Fields that must not be null.
    _never_null: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self._never_null & self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: must not be null; leave it out")
        return self


Uuid = Annotated[
    str, StringConstraints(pattern="^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", max_length=36)
]
Seconds = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(max_length=1024)]


class Resources(Nullable):
    """The size of a computer."""

    vcpu: Annotated[int, Field(ge=1, le=255)] | None = None
    memory_mib: Whole | None = None
    disk_mib: Whole | None = None
    vgpu: Annotated[float, Field(ge=0, le=8)] | None = None


class PolicyUpdate(Body):
    """A change of the rules of a computer's network."""

    _nullable: ClassVar[frozenset[str]] = frozenset({"policies"})

    rules: dict[Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")], Any] | None = None
    secrets: dict[str, str | None] | None = None
    policies: list[Any] | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if self.policies is not None and self.rules is not None:
            raise ValueError("policies replaces all rules; give one of them")
        return self

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.rules or self.secrets or self.policies)


class ForkRequest(Nullable):
    """A request to fork a computer."""

    source_vm_id: str | None = None
    source_vm_name: str | None = None
    source_org_id: str | None = None
    source_org_name: str | None = None
    image: str | None = None
    dockerfile: str | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    description: Text | None = None
    public: bool | None = None
    ssh_public_keys: dict[str, Any] | list[str] | None = None
    disk: bool | None = None
    durable: bool | None = None
    nestedvirt: bool | None = None
    platforms: list[str] | None = None
    layers: Annotated[list[Literal["disk", "memory"]], Field(min_length=1)] | None = None
    queueing_timeout: Seconds | None = None
    policies: PolicyUpdate | None = None
    resources: Resources | None = None
    registry_auth: dict[str, str] | None = None
    pool_id: Uuid | None = None
    pool_name: Annotated[str, StringConstraints(min_length=1)] | None = None
    command: str | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        sources = [
            name for name in ("source_vm_id", "source_vm_name", "image", "dockerfile") if getattr(self, name)
        ]
        if len(sources) != 1:
            raise ValueError("expected exactly one of source_vm_id, source_vm_name, image and dockerfile")
        if self.dockerfile:
            raise ValueError(
                "dockerfile: this deployment builds no images; fork an image and run the commands in the computer"
            )
        scopes = [name for name in ("source_org_id", "source_org_name") if getattr(self, name)]
        if scopes and (len(scopes) > 1 or not self.source_vm_name):
            raise ValueError("source_org_name goes with source_vm_name")
        if self.name is not None:
            check_name(self.name)
        if self.layers is not None and "disk" not in self.layers:
            raise ValueError("layers: must contain `disk`")
        return self


class PatchVmRequest(Nullable):
    """A request to change a computer."""

    _never_null: ClassVar[frozenset[str]] = frozenset({"immutable", "ssh_public_keys", "pool_name"})

    description: Text | None = None
    immutable: bool | None = None
    resources: Resources | None = None
    ssh_public_keys: dict[str, Any] | list[str] | None = None
    policies: PolicyUpdate | None = None
    pool_id: Uuid | None = None
    pool_name: Annotated[str, StringConstraints(min_length=1)] | None = None


class RunRequest(Nullable):
    """A request to run a command or send a signal."""

    _never_null: ClassVar[frozenset[str]] = frozenset({"command"})

    command: str | None = None
    session_id: str | None = None
    session_idx: Annotated[int, Field(ge=0, le=MAX_INDEX)] | None = None
    timeout: Seconds | None = None
    time_to_background: Annotated[int, Field(ge=0, le=300)] | None = None
    background: bool | None = None
    queueing_timeout: Seconds | None = None
    end_symbol: str | None = None
    signal: Literal["SIGINT", "SIGTERM", "SIGKILL", "SIGHUP"] | None = None
    policies: PolicyUpdate | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if self.background is not None and self.time_to_background is not None:
            raise ValueError("background is the same as time_to_background; give one of them")
        if self.signal is not None and (self.command is not None or self.time_to_background is not None):
            raise ValueError("signal goes with neither command nor time_to_background")
        if self.end_symbol not in (None, "auto", "none"):
            raise ValueError("end_symbol: expected `auto` or `none`")
        return self


class CreateSessionRequest(Nullable):
    """A request to create a session."""

    env: dict[str, str] | None = None
    cwd: str | None = None
    pty: bool | None = None
    cols: Annotated[int, Field(ge=1, le=1000)] | None = None
    rows: Annotated[int, Field(ge=1, le=1000)] | None = None
    command: str | None = None


class PatchSessionRequest(Body):
    """A request to change a session."""

    cols: Annotated[int, Field(ge=1, le=1000)] | None = None
    rows: Annotated[int, Field(ge=1, le=1000)] | None = None
    timeout_secs: Seconds | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if (self.cols is None) != (self.rows is None):
            raise ValueError("cols and rows go together")
        return self


class Empty(Nullable):
    """An empty body."""


class FilesystemCreateRequest(Body):
    """A request to create a file system."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class MountCreateRequest(Body):
    """A request to mount a file system."""

    filesystem_id: str
    path: str | None = None


class ApiKeyScope(Body):
    """A computer or a pool."""

    vm_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    pool_id: Uuid | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.vm_id is None) == (self.pool_id is None):
            raise ValueError("expected either vm_id or pool_id")
        return self


class CreateApiKeyRequest(Body):
    """A request to create a key."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    scopes: Annotated[list[ApiKeyScope], Field(max_length=16)] | None = None


# Queries


def _moment(value: object) -> object:
    text = str(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or len(text) < len("2025-01-01T00:00:00Z"):
        raise ValueError("expected a time of RFC 3339 with its offset, such as 2025-11-27T00:00:00Z")
    return int(moment.timestamp() * 1000)


def _cursor(value: object) -> object:
    try:
        text = str(value)
        found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        moment, name = found
        if type(moment) is not int or type(name) is not str or abs(moment) >= 2**62:
            raise ValueError
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise ValueError("expected the `next_cursor` of a page of this list") from None
    return moment, name


def cursor(moment: int, name: str) -> str:
    """Return the cursor of the next page: after an item with this time and id."""
    return base64.urlsafe_b64encode(json.dumps([moment, name]).encode()).decode().rstrip("=")


#: Milliseconds since the epoch.
Moment = Annotated[int, BeforeValidator(_moment)]


def page(
    found: Sequence[T], limit: int, place: Callable[[T], tuple[int, str]]
) -> tuple[Sequence[T], str | None]:
    """Cut a page from what was found, which has more than `limit` items if there is another page; return it and the
    cursor of the next one. `place` returns the time and the id of an item."""
    shown = found[:limit]
    return shown, cursor(*place(shown[-1])) if len(found) > limit else None


class PageQuery(Nullable):
    """The query for a page of a list."""

    cursor: Annotated[tuple[int, str], BeforeValidator(_cursor)] | None = None
    limit: Annotated[Number, Field(ge=1, le=1000)] = _PAGE


class VmQuery(PageQuery):
    """Filters of a list of computers."""

    region: str | None = None
    provider: str | None = None
    org_id: str | None = None
    public: Truth | None = None
    state: Literal["idle", "running"] | None = None
    platform: str | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    pool_id: Uuid | None = None


class RunQuery(PageQuery):
    """Filters of a list of a computer's runs."""

    state: Literal["pending", "running", "completed", "failed", "cancelled"] | None = None
    started_after: Moment | None = None
    started_before: Moment | None = None
    completed_after: Moment | None = None


class SessionQuery(PageQuery):
    """Filters of a list of sessions."""

    state: Literal["idle", "pending", "running"] | None = None


class MountQuery(PageQuery):
    """Filters of a list of mounts."""

    filesystem_id: str | None = None


class FilesystemQuery(PageQuery):
    """Filters of a list of file systems."""

    name_prefix: str = ""


class OrgRunQuery(Nullable):
    """Filters of the activity log."""

    since: Number | None = None
    until: Number | None = None
    vm: str | None = None
    vms: str | None = None
    search: str = ""
    limit: Annotated[Number, Field(ge=1, le=20_000)] = 50
    offset: Number = 0
    lite: Truth = False
    runtime: str | None = None
    endpoint: Literal["run", "fork", "sync"] | None = None
    actions: str | None = None
    status: str | None = None
    status_min: Number | None = None
    status_max: Number | None = None
    sort: Literal["when", "status", "path", "total", "queue", "your_code", "runtime"] = "when"
    dir: Literal["asc", "desc"] = "desc"

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if self.limit > 200 and not self.lite:
            raise ValueError("limit: at most 200, with lite=true 20000")
        return self
