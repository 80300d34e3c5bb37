from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="PatchSessionRequest")


@_attrs_define
class PatchSessionRequest:
    """Changes to a session."""

    cols: int | Unset = UNSET
    """ Columns of its terminal; requires `rows`. """
    rows: int | Unset = UNSET
    """ Rows of its terminal; requires `cols`. """
    timeout_secs: int | Unset = UNSET
    """ Seconds without an attachment after which it ends; 0 for never. """

    def to_dict(self) -> dict[str, Any]:
        cols = self.cols

        rows = self.rows

        timeout_secs = self.timeout_secs

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if cols is not UNSET:
            field_dict["cols"] = cols
        if rows is not UNSET:
            field_dict["rows"] = rows
        if timeout_secs is not UNSET:
            field_dict["timeout_secs"] = timeout_secs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        cols = d.pop("cols", UNSET)

        rows = d.pop("rows", UNSET)

        timeout_secs = d.pop("timeout_secs", UNSET)

        patch_session_request = cls(
            cols=cols,
            rows=rows,
            timeout_secs=timeout_secs,
        )

        return patch_session_request
