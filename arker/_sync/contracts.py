# Derived from arker/_async/contracts.py by `make generate`; do not edit.
"""Which contract a host speaks."""

from __future__ import annotations

from typing import Final, Literal

from arker.errors import ArkerError

CONTRACTS: Final = ("auto", "0.1", "0.3")

_Host = Literal["regional", "global"]


class Speaks:
    """What is known about the contracts of a deployment's hosts. This takes no extra requests: the answer of a host
    that does not know a path of contract 0.1 says so, and the host has done nothing.

    Attributes:
        sessions: The ids of the sessions of each computer that have handles: `run` takes these for ids, not for names.
        runs: How runs are followed, once that is known: by streams, or by polling.
        files: How `computer.files` works, once that is known: by endpoints, or by runs of a shell.
    """

    def __init__(self, contract: str) -> None:
        self._auto = contract == "auto"
        self._new: set[_Host] = {"regional", "global"} if contract == "0.3" else set()
        self.sessions: dict[str, set[str]] = {}
        self.runs: Literal["streams", "polling"] | None = None
        self.files: Literal["endpoints", "shell"] | None = None

    def old(self, host: _Host) -> bool:
        """Whether to speak contract 0.1."""
        return host not in self._new

    def learn(self, host: _Host, error: ArkerError) -> bool:
        """Whether an error says that the host does not speak contract 0.1; the request is then made for 0.3."""
        # Contract 0.3 takes the `list` in `/vms/list` for the name of a computer.
        if not self._auto or error._operation not in ("", "getVm"):
            return False
        self._new.add(host)
        return True
