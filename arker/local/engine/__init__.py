"""Computers on this machine: bubblewrap sandboxes over stacks of overlay layers. Knows nothing of HTTP or accounts."""

from arker.local.engine.diagnosis import Check, diagnose
from arker.local.engine.engine import BubblewrapEngine
from arker.local.engine.limits import Limits
from arker.local.engine.privileges import DEFAULT_UID, drop_privileges
from arker.local.engine.protocol import (
    ComputerBusy,
    Engine,
    EngineError,
    FileMissing,
    FileRefused,
    FileTooLarge,
    ImageMissing,
    LimitReached,
    PortClosed,
    RunOutcome,
    SandboxUnavailable,
    SessionBusy,
    SessionState,
    StorageFull,
    SystemBroken,
    VmMissing,
)

__all__ = [
    "DEFAULT_UID",
    "BubblewrapEngine",
    "Check",
    "ComputerBusy",
    "Engine",
    "EngineError",
    "FileMissing",
    "FileRefused",
    "FileTooLarge",
    "ImageMissing",
    "LimitReached",
    "Limits",
    "PortClosed",
    "RunOutcome",
    "SandboxUnavailable",
    "SessionBusy",
    "SessionState",
    "StorageFull",
    "SystemBroken",
    "VmMissing",
    "diagnose",
    "drop_privileges",
]
