"""Isolated Linux computers: fork, run, read, write. See `Arker` and `AsyncArker`."""

from __future__ import annotations

from ._version import __version__

# Type checkers know this name; importing it from typing would cost more than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._async.api_keys import AsyncApiKeys
    from ._async.client import AsyncArker
    from ._async.computer import AsyncBranches, AsyncComputer
    from ._async.files.api import AsyncFile, AsyncFiles
    from ._async.files.path import AsyncComputerPath
    from ._async.files.sync import AsyncSync
    from ._async.ports import AsyncPort, AsyncPortConnection
    from ._async.python import AsyncPython
    from ._async.runs import AsyncRun, AsyncRunStream
    from ._async.sessions import AsyncSession
    from ._async.terminal import AsyncTerminal
    from ._sync.api_keys import ApiKeys
    from ._sync.client import Arker
    from ._sync.computer import Branches, Computer
    from ._sync.files.api import File, Files
    from ._sync.files.path import ComputerPath
    from ._sync.files.sync import Sync
    from ._sync.ports import Port, PortConnection
    from ._sync.python import Python
    from ._sync.runs import Run, RunStream
    from ._sync.sessions import Session
    from ._sync.terminal import Terminal
    from .config import Timeouts
    from .errors import (
        ArkerError,
        ArkerTimeoutError,
        BadRequestError,
        CommandFailedError,
        ConflictError,
        ErrorCode,
        ForbiddenError,
        NetworkError,
        NotFoundError,
        Processed,
        QuotaExceededError,
        RateLimitedError,
        UnauthorizedError,
        VmBusyError,
    )
    from .events import OutputCut, RunInfo, RunOutput
    from .filechanges import FileChanges
    from .filevalues import FileChange, FileInfo, GrepMatch, TreeResult
    from .hooks import Hooks, RequestEvent, RetryEvent, TransferEvent
    from .ids import SOURCE_ALIASES
    from .info import ApiKey, ComputerInfo, ComputerUsage, Organization, Region, SessionInfo
    from .operations import Operation
    from .pythonvalues import PythonDisplay, PythonError, PythonResult
    from .results import Failure, Outcome, RunResult, Success, Usage, VmList, VmSummary
    from .retry import RetryPolicy

__all__ = [
    "SOURCE_ALIASES",
    "ApiKey",
    "ApiKeys",
    "Arker",
    "ArkerError",
    "ArkerTimeoutError",
    "AsyncApiKeys",
    "AsyncArker",
    "AsyncBranches",
    "AsyncComputer",
    "AsyncComputerPath",
    "AsyncFile",
    "AsyncFiles",
    "AsyncPort",
    "AsyncPortConnection",
    "AsyncPython",
    "AsyncRun",
    "AsyncRunStream",
    "AsyncSession",
    "AsyncSync",
    "AsyncTerminal",
    "BadRequestError",
    "Branches",
    "CommandFailedError",
    "Computer",
    "ComputerInfo",
    "ComputerPath",
    "ComputerUsage",
    "ConflictError",
    "ErrorCode",
    "Failure",
    "File",
    "FileChange",
    "FileChanges",
    "FileInfo",
    "Files",
    "ForbiddenError",
    "GrepMatch",
    "Hooks",
    "NetworkError",
    "NotFoundError",
    "Operation",
    "Organization",
    "Outcome",
    "OutputCut",
    "Port",
    "PortConnection",
    "Processed",
    "Python",
    "PythonDisplay",
    "PythonError",
    "PythonResult",
    "QuotaExceededError",
    "RateLimitedError",
    "Region",
    "RequestEvent",
    "RetryEvent",
    "RetryPolicy",
    "Run",
    "RunInfo",
    "RunOutput",
    "RunResult",
    "RunStream",
    "Session",
    "SessionInfo",
    "Success",
    "Sync",
    "Terminal",
    "Timeouts",
    "TransferEvent",
    "TreeResult",
    "UnauthorizedError",
    "Usage",
    "VmBusyError",
    "VmList",
    "VmSummary",
    "__version__",
]

# Imported on first use, so that `import arker` does not import httpx.
_MODULES = {
    "_async.api_keys": ["AsyncApiKeys"],
    "_async.client": ["AsyncArker"],
    "_async.computer": ["AsyncBranches", "AsyncComputer"],
    "_async.files.sync": ["AsyncSync"],
    "_async.files.api": ["AsyncFile", "AsyncFiles"],
    "_async.files.path": ["AsyncComputerPath"],
    "_async.ports": ["AsyncPort", "AsyncPortConnection"],
    "_async.python": ["AsyncPython"],
    "_async.runs": ["AsyncRun", "AsyncRunStream"],
    "_async.sessions": ["AsyncSession"],
    "_async.terminal": ["AsyncTerminal"],
    "_sync.api_keys": ["ApiKeys"],
    "_sync.client": ["Arker"],
    "_sync.computer": ["Branches", "Computer"],
    "_sync.files.sync": ["Sync"],
    "_sync.files.api": ["File", "Files"],
    "_sync.files.path": ["ComputerPath"],
    "_sync.ports": ["Port", "PortConnection"],
    "_sync.python": ["Python"],
    "_sync.runs": ["Run", "RunStream"],
    "_sync.sessions": ["Session"],
    "_sync.terminal": ["Terminal"],
    "config": ["Timeouts"],
    "events": ["OutputCut", "RunInfo", "RunOutput"],
    "filechanges": ["FileChanges"],
    "filevalues": ["FileChange", "FileInfo", "GrepMatch", "TreeResult"],
    "errors": [
        "ArkerError",
        "ArkerTimeoutError",
        "BadRequestError",
        "CommandFailedError",
        "ConflictError",
        "ErrorCode",
        "ForbiddenError",
        "NetworkError",
        "NotFoundError",
        "Processed",
        "QuotaExceededError",
        "RateLimitedError",
        "UnauthorizedError",
        "VmBusyError",
    ],
    "hooks": ["Hooks", "RequestEvent", "RetryEvent", "TransferEvent"],
    "ids": ["SOURCE_ALIASES"],
    "info": ["ApiKey", "ComputerInfo", "ComputerUsage", "Organization", "Region", "SessionInfo"],
    "operations": ["Operation"],
    "pythonvalues": ["PythonDisplay", "PythonError", "PythonResult"],
    "results": ["Failure", "Outcome", "RunResult", "Success", "Usage", "VmList", "VmSummary"],
    "retry": ["RetryPolicy"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
