"""Computers, and the ids of the base images that every user can fork."""

from __future__ import annotations

from ._async.computer import AsyncComputer
from ._sync.computer import Computer
from .ids import SOURCE_ALIASES

__all__ = ["SOURCE_ALIASES", "AsyncComputer", "Computer"]
