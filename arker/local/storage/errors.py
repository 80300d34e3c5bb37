"""Errors of stored state."""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of this package."""


class StateError(StorageError):
    """The state folder cannot be used; the message says why and how to fix it."""


class DiskFull(StorageError):
    """The disk is full; the transaction was rolled back."""


class TooManyComputers(StorageError):
    """The organization has its maximum number of computers."""


class ImageGone(StorageError):
    """The base image of a new computer was removed meanwhile."""


class ImageInUse(StorageError):
    """Computers are based on the image; `vm_ids` lists them."""

    def __init__(self, vm_ids: list[str]) -> None:
        super().__init__(f"{len(vm_ids)} computers are based on the image")
        self.vm_ids = vm_ids


class NameTaken(StorageError):
    """The name is in use."""
