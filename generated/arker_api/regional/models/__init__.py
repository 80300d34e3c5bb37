"""Contains all the data models used in inputs/outputs"""

from __future__ import annotations

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
