from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Region")


@_attrs_define
class Region:
    """A region."""

    region: str
    """ Its name. """
    endpoint: str
    """ The URL of its regional API. """
    provider: str | Unset = UNSET
    """ Its provider. """
    platforms: list[str] | Unset = UNSET
    """ The platforms that it offers, such as `linux/amd64`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        region = self.region

        endpoint = self.endpoint

        provider = self.provider

        platforms: list[str] | Unset = UNSET
        if not isinstance(self.platforms, Unset):
            platforms = self.platforms

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "region": region,
                "endpoint": endpoint,
            }
        )
        if provider is not UNSET:
            field_dict["provider"] = provider
        if platforms is not UNSET:
            field_dict["platforms"] = platforms

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        region = d.pop("region")

        endpoint = d.pop("endpoint")

        provider = d.pop("provider", UNSET)

        platforms = cast(list[str], d.pop("platforms", UNSET))

        region = cls(
            region=region,
            endpoint=endpoint,
            provider=provider,
            platforms=platforms,
        )

        region.additional_properties = d
        return region

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
