"""Turns errors of the engine and the storage into errors of the API."""

from __future__ import annotations

from typing import Final

from arker.local.engine import file_protocol, protocol
from arker.local.storage.errors import DiskFull

from .errors import ApiError

_CODES: Final[dict[type[protocol.EngineError], str]] = {
    protocol.VmMissing: "not_found",
    protocol.ImageMissing: "not_found",
    protocol.SessionBusy: "vm_busy",
    protocol.RunMissing: "not_found",
    file_protocol.FileExists: "already_exists",
    file_protocol.FileChanged: "conflict",
    protocol.FileMissing: "not_found",
    protocol.FileRefused: "bad_request",
    protocol.FileTooLarge: "payload_too_large",
    # Unlike a full disk of the deployment, this does not pass by itself. No client retries this code, also not for one
    # file among several.
    protocol.ComputerFull: "payload_too_large",
    protocol.StorageFull: "unavailable",
    protocol.LimitReached: "quota_exceeded",
    protocol.ComputerBusy: "vm_busy",
    protocol.PortClosed: "port_closed",
    protocol.Unsupported: "unsupported_operation",
    protocol.SandboxUnavailable: "unavailable",
    protocol.SystemBroken: "conflict",
    # No client takes this code for a refusal; in contract 0.3 it means that the outcome is unknown.
    protocol.OutcomeUnknown: "internal",
}

_RESOURCES: Final[dict[type[protocol.EngineError], str]] = {
    protocol.SessionBusy: "session",
    protocol.RunMissing: "run",
    protocol.FileMissing: "file",
}


class api_errors:  # noqa: N801 - used like `contextlib.suppress`
    """Turn an `EngineError` or a full disk within the block into an `ApiError`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, protocol.EngineError):
            code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "internal")
            resource = next((what for kind, what in _RESOURCES.items() if isinstance(error, kind)), "vm")
            raise ApiError(code, str(error), resource=resource) from error
        if isinstance(error, DiskFull):
            raise ApiError("unavailable", str(error), retry_after=10) from error


class Sandboxes:
    """Whether sandboxes start, according to the last use of one."""

    def __init__(self) -> None:
        #: Why the last sandbox did not start; None if it did.
        self.problem: str | None = None

    def used(self) -> _Used:
        """Return a context manager for the use of a sandbox; errors are those of `api_errors`."""
        return _Used(self)


class _Used(api_errors):
    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        cause = error.__cause__ if isinstance(error, ApiError) else error
        if isinstance(cause, protocol.SandboxUnavailable):
            self._sandboxes.problem = str(cause)
        elif error is None:
            self._sandboxes.problem = None
        super().__exit__(kind, error, trace)
