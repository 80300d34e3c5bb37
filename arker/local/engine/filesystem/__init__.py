"""Files and trees of a live computer, looked at and changed from outside as its user may."""

from arker.local.engine.filesystem.files import ComputerFiles

__all__ = ["ComputerFiles"]
