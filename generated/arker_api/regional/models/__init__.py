"""Contains all the data models used in inputs/outputs"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .byte_range import ByteRange
    from .deleted import Deleted
    from .entry_error import EntryError
    from .error_detail import ErrorDetail
    from .error_envelope import ErrorEnvelope
    from .fork_request import ForkRequest
    from .fork_response import ForkResponse
    from .health import Health
    from .inline_file import InlineFile
    from .network import Network
    from .read_request import ReadRequest
    from .resources import Resources
    from .run_request import RunRequest
    from .run_response import RunResponse
    from .session import Session
    from .session_env import SessionEnv
    from .signed_file import SignedFile
    from .upload_commit import UploadCommit
    from .upload_request import UploadRequest
    from .vm import Vm
    from .write_chunk import WriteChunk
    from .write_request import WriteRequest
    from .write_response import WriteResponse
    from .write_result import WriteResult

__all__ = (
    "ByteRange",
    "Deleted",
    "EntryError",
    "ErrorDetail",
    "ErrorEnvelope",
    "ForkRequest",
    "ForkResponse",
    "Health",
    "InlineFile",
    "Network",
    "ReadRequest",
    "Resources",
    "RunRequest",
    "RunResponse",
    "Session",
    "SessionEnv",
    "SignedFile",
    "UploadCommit",
    "UploadRequest",
    "Vm",
    "WriteChunk",
    "WriteRequest",
    "WriteResponse",
    "WriteResult",
)

_MODULES = {
    "ByteRange": ".byte_range",
    "Deleted": ".deleted",
    "EntryError": ".entry_error",
    "ErrorDetail": ".error_detail",
    "ErrorEnvelope": ".error_envelope",
    "ForkRequest": ".fork_request",
    "ForkResponse": ".fork_response",
    "Health": ".health",
    "InlineFile": ".inline_file",
    "Network": ".network",
    "ReadRequest": ".read_request",
    "Resources": ".resources",
    "RunRequest": ".run_request",
    "RunResponse": ".run_response",
    "Session": ".session",
    "SessionEnv": ".session_env",
    "SignedFile": ".signed_file",
    "UploadCommit": ".upload_commit",
    "UploadRequest": ".upload_request",
    "Vm": ".vm",
    "WriteChunk": ".write_chunk",
    "WriteRequest": ".write_request",
    "WriteResponse": ".write_response",
    "WriteResult": ".write_result",
}


def __getattr__(name: str) -> Any:
    # Each is a class that attrs makes, in a millisecond; a program uses a few of them.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value
    return value
