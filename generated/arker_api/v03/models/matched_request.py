from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="MatchedRequest")


@_attrs_define
class MatchedRequest:
    """The operation of the request - `matched` with an `operation_id`, or `unmatched` with a `method`."""

    kind: str
    """ `matched` or `unmatched`. """
    operation_id: str | Unset = UNSET
    """ The operation, in camel case (`create_run` is `createRun`). """
    method: str | Unset = UNSET
    """ The method of a request to a path that does not exist. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind

        operation_id = self.operation_id

        method = self.method

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "kind": kind,
            }
        )
        if operation_id is not UNSET:
            field_dict["operation_id"] = operation_id
        if method is not UNSET:
            field_dict["method"] = method

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        kind = d.pop("kind")

        operation_id = d.pop("operation_id", UNSET)

        method = d.pop("method", UNSET)

        matched_request = cls(
            kind=kind,
            operation_id=operation_id,
            method=method,
        )

        matched_request.additional_properties = d
        return matched_request

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
