"""Files and trees of a live computer, looked at and changed from outside as its user may."""

from arker.local.engine.filesystem.files import ComputerFiles
from arker.local.engine.filesystem.values import (
    ANY,
    Conditions,
    FileChanged,
    FileExists,
    FileInfo,
    Marks,
    NewEntry,
    Page,
    Refused,
)

__all__ = [
    "ANY",
    "ComputerFiles",
    "Conditions",
    "FileChanged",
    "FileExists",
    "FileInfo",
    "Marks",
    "NewEntry",
    "Page",
    "Refused",
]
