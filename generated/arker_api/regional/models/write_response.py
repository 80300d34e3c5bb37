from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.write_result import WriteResult


T = TypeVar("T", bound="WriteResponse")


@_attrs_define
class WriteResponse:
    """One result for each entry, in order."""

    results: list[WriteResult]
    """ The results. """
    ok: bool | Unset = UNSET
    """ True, even if some entries failed. """
    op: str | Unset = UNSET
    """ `write`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        results = []
        for results_item_data in self.results:
            results_item = results_item_data.to_dict()
            results.append(results_item)

        ok = self.ok

        op = self.op

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "results": results,
            }
        )
        if ok is not UNSET:
            field_dict["ok"] = ok
        if op is not UNSET:
            field_dict["op"] = op

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.write_result import WriteResult  # noqa: PLC0415

        d = dict(src_dict)
        results = []
        _results = d.pop("results")
        for results_item_data in _results:
            results_item = WriteResult.from_dict(results_item_data)

            results.append(results_item)

        ok = d.pop("ok", UNSET)

        op = d.pop("op", UNSET)

        write_response = cls(
            results=results,
            ok=ok,
            op=op,
        )

        write_response.additional_properties = d
        return write_response

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
