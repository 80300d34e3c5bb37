"""Reads and changes files and trees of a live computer from outside, with the permissions of its user."""

from arker.local.engine.filesystem.files import ComputerFiles

__all__ = ["ComputerFiles"]
