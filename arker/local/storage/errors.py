"""What can go wrong with stored state."""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of this package."""


class StateError(StorageError):
    """The state folder cannot be used; the message says why and what mends it."""


class DiskFull(StorageError):
    """The disk is full; nothing of the transaction was kept."""


class TooManyComputers(StorageError):
    """The organization has as many computers as it may have."""


class ImageGone(StorageError):
    """The base image of a new computer was removed meanwhile."""


class ImageInUse(StorageError):
    """Computers stand on the image; `vm_ids` names them."""

    def __init__(self, vm_ids: list[str]) -> None:
        super().__init__(f"{len(vm_ids)} computers stand on the image")
        self.vm_ids = vm_ids


class NameTaken(StorageError):
    """Something else has the name already."""
