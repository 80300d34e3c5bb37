from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.recovery_context import RecoveryContext


T = TypeVar("T", bound="Recovery")


@_attrs_define
class Recovery:
    """The state of the work that the request asked for."""

    work: str
    """ `not_started`, `stopped`, `continuing` or `unknown`. """
    context: RecoveryContext | Unset = UNSET
    """ The computer and the run concerned. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        work = self.work

        context: dict[str, Any] | Unset = UNSET
        if not isinstance(self.context, Unset):
            context = self.context.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "work": work,
            }
        )
        if context is not UNSET:
            field_dict["context"] = context

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recovery_context import RecoveryContext  # noqa: PLC0415

        d = dict(src_dict)
        work = d.pop("work")

        _context = d.pop("context", UNSET)
        context: RecoveryContext | Unset
        if isinstance(_context, Unset):
            context = UNSET
        else:
            context = RecoveryContext.from_dict(_context)

        recovery = cls(
            work=work,
            context=context,
        )

        recovery.additional_properties = d
        return recovery

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
