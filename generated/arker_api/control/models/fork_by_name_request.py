from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ForkByNameRequest")


@_attrs_define
class ForkByNameRequest:
    """The source, and how the child differs from it."""

    from_: str
    """ The name of an image or computer; one that is neither a VM id nor a known alias. """
    is_public: bool
    """ Whether other organizations may fork the child. They can never run commands in it, read it or delete it. """
    name: str | Unset = UNSET
    """ A name, by which it can be found and forked. """
    region: str | Unset = UNSET
    """ The region to create it in; default that of the source. """

    def to_dict(self) -> dict[str, Any]:
        from_ = self.from_

        is_public = self.is_public

        name = self.name

        region = self.region

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "from": from_,
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
        from_ = d.pop("from")

        is_public = d.pop("is_public")

        name = d.pop("name", UNSET)

        region = d.pop("region", UNSET)

        fork_by_name_request = cls(
            from_=from_,
            is_public=is_public,
            name=name,
            region=region,
        )

        return fork_by_name_request
