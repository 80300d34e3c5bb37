from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ForkRequest")


@_attrs_define
class ForkRequest:
    """How the child differs from its parent."""

    is_public: bool
    """ Whether other organizations may fork the child. They can never run commands in it, read it or delete it. """
    name: str | Unset = UNSET
    """ A name, by which it can be found, and forked with the global API. """
    region: str | Unset = UNSET
    """ The region to create it in; default that of the host. """

    def to_dict(self) -> dict[str, Any]:
        is_public = self.is_public

        name = self.name

        region = self.region

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "is_public": is_public,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name
        if region is not UNSET:
            field_dict["region"] = region

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        is_public = d.pop("is_public")

        name = d.pop("name", UNSET)

        region = d.pop("region", UNSET)

        fork_request = cls(
            is_public=is_public,
            name=name,
            region=region,
        )

        return fork_request
