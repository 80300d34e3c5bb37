"""Which contract a host speaks."""

from __future__ import annotations

from typing import Final, Literal

from arker.errors import ArkerError

CONTRACTS: Final = ("auto", "0.1", "0.3")

_Host = Literal["regional", "global"]


class Speaks:
    """What is known of the hosts of a deployment. Nothing is asked to find out: a host that does not know a path of
    contract 0.1 has done nothing, and says so.

    Attributes:
        sessions: Over contract 0.3, the session that stands for a name in a computer.
    """

    def __init__(self, contract: str) -> None:
        self._auto = contract == "auto"
        self._new: set[_Host] = {"regional", "global"} if contract == "0.3" else set()
        self.sessions: dict[tuple[str, str], str] = {}

    def old(self, host: _Host) -> bool:
        """Whether to speak contract 0.1."""
        return host not in self._new

    def learn(self, host: _Host, error: ArkerError) -> bool:
        """Whether an error says that contract 0.1 is not spoken, so that the request is to be made anew."""
        # To contract 0.3, the `list` of `/vms/list` is the name of a computer.
        if not self._auto or error._operation not in ("", "getVm"):
            return False
        self._new.add(host)
        return True
