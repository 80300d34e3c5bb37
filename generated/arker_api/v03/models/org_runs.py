from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.org_run import OrgRun


T = TypeVar("T", bound="OrgRuns")


@_attrs_define
class OrgRuns:
    """The activity of the organization's computers in a time span."""

    since: int
    """ Start of the time span, in seconds since the epoch. """
    until: int
    """ End of the time span (exclusive), in seconds since the epoch. """
    limit: int
    """ The value from the request. """
    offset: int
    """ The value from the request. """
    lite: bool
    """ The value from the request. """
    rows: list[OrgRun]
    """ The rows. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        since = self.since

        until = self.until

        limit = self.limit

        offset = self.offset

        lite = self.lite

        rows = []
        for rows_item_data in self.rows:
            rows_item = rows_item_data.to_dict()
            rows.append(rows_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "since": since,
                "until": until,
                "limit": limit,
                "offset": offset,
                "lite": lite,
                "rows": rows,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.org_run import OrgRun  # noqa: PLC0415

        d = dict(src_dict)
        since = d.pop("since")

        until = d.pop("until")

        limit = d.pop("limit")

        offset = d.pop("offset")

        lite = d.pop("lite")

        rows = []
        _rows = d.pop("rows")
        for rows_item_data in _rows:
            rows_item = OrgRun.from_dict(rows_item_data)

            rows.append(rows_item)

        org_runs = cls(
            since=since,
            until=until,
            limit=limit,
            offset=offset,
            lite=lite,
            rows=rows,
        )

        org_runs.additional_properties = d
        return org_runs

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
