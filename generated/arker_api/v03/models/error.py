from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.error_details import ErrorDetails
    from ..models.matched_request import MatchedRequest
    from ..models.recovery import Recovery


T = TypeVar("T", bound="Error")


@_attrs_define
class Error:
    """The error."""

    code: str
    """ A code for programs; see the table above. """
    message: str
    """ A message for people; its text may change. """
    timestamp: datetime.datetime
    """ The time of the error, by the server's clock. """
    request_id: str
    """ The id of the request in the server's log. """
    request: MatchedRequest
    """ The operation of the request - `matched` with an `operation_id`, or `unmatched` with a `method`. """
    details: ErrorDetails | Unset = UNSET
    """ Fields that depend on `code`; see the table above. """
    retry_after_seconds: int | Unset = UNSET
    """ Seconds to wait before the request may succeed. """
    stage: str | Unset = UNSET
    """ The part of a fork that failed. """
    recovery: Recovery | Unset = UNSET
    """ The state of the work that the request asked for. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        code = self.code

        message = self.message

        timestamp = self.timestamp.isoformat()

        request_id = self.request_id

        request = self.request.to_dict()

        details: dict[str, Any] | Unset = UNSET
        if not isinstance(self.details, Unset):
            details = self.details.to_dict()

        retry_after_seconds = self.retry_after_seconds

        stage = self.stage

        recovery: dict[str, Any] | Unset = UNSET
        if not isinstance(self.recovery, Unset):
            recovery = self.recovery.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "code": code,
                "message": message,
                "timestamp": timestamp,
                "request_id": request_id,
                "request": request,
            }
        )
        if details is not UNSET:
            field_dict["details"] = details
        if retry_after_seconds is not UNSET:
            field_dict["retry_after_seconds"] = retry_after_seconds
        if stage is not UNSET:
            field_dict["stage"] = stage
        if recovery is not UNSET:
            field_dict["recovery"] = recovery

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.error_details import ErrorDetails  # noqa: PLC0415
        from ..models.matched_request import MatchedRequest  # noqa: PLC0415
        from ..models.recovery import Recovery  # noqa: PLC0415

        d = dict(src_dict)
        code = d.pop("code")

        message = d.pop("message")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        request_id = d.pop("request_id")

        request = MatchedRequest.from_dict(d.pop("request"))

        _details = d.pop("details", UNSET)
        details: ErrorDetails | Unset
        if isinstance(_details, Unset):
            details = UNSET
        else:
            details = ErrorDetails.from_dict(_details)

        retry_after_seconds = d.pop("retry_after_seconds", UNSET)

        stage = d.pop("stage", UNSET)

        _recovery = d.pop("recovery", UNSET)
        recovery: Recovery | Unset
        if isinstance(_recovery, Unset):
            recovery = UNSET
        else:
            recovery = Recovery.from_dict(_recovery)

        error = cls(
            code=code,
            message=message,
            timestamp=timestamp,
            request_id=request_id,
            request=request,
            details=details,
            retry_after_seconds=retry_after_seconds,
            stage=stage,
            recovery=recovery,
        )

        error.additional_properties = d
        return error

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
