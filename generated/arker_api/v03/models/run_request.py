from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.run_request_signal_type_0 import (
    RunRequestSignalType0,
    check_run_request_signal_type_0,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.run_request_policies_type_0 import RunRequestPoliciesType0


T = TypeVar("T", bound="RunRequest")


@_attrs_define
class RunRequest:
    """A command, or a signal. A null is the same as a field that is left out."""

    command: str | Unset = UNSET
    """ The command for the shell of the session. """
    session_id: None | str | Unset = UNSET
    """ The session, by its id; it must exist. """
    session_idx: int | None | Unset = UNSET
    """ The session, by its index; it is created if it does not exist. Default 0. """
    timeout: int | None | Unset = UNSET
    """ Seconds until the run is ended; 0 for no limit. """
    time_to_background: int | None | Unset = UNSET
    """ Seconds after which the run continues in the background and only its id is returned; default 300. """
    background: bool | None | Unset = UNSET
    """ The same as a `time_to_background` of 0; deprecated. """
    queueing_timeout: int | None | Unset = UNSET
    """ Seconds to wait for capacity. """
    end_symbol: None | str | Unset = "auto"
    """ `auto` ends the run with the command; `none` ends it when all processes that the command started have ended.
    """
    signal: None | RunRequestSignalType0 | Unset = UNSET
    """ A signal for the foreground processes of the session. """
    policies: None | RunRequestPoliciesType0 | Unset = UNSET
    """ Deprecated. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.run_request_policies_type_0 import RunRequestPoliciesType0  # noqa: PLC0415

        command = self.command

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        session_idx: int | None | Unset
        if isinstance(self.session_idx, Unset):
            session_idx = UNSET
        else:
            session_idx = self.session_idx

        timeout: int | None | Unset
        if isinstance(self.timeout, Unset):
            timeout = UNSET
        else:
            timeout = self.timeout

        time_to_background: int | None | Unset
        if isinstance(self.time_to_background, Unset):
            time_to_background = UNSET
        else:
            time_to_background = self.time_to_background

        background: bool | None | Unset
        if isinstance(self.background, Unset):
            background = UNSET
        else:
            background = self.background

        queueing_timeout: int | None | Unset
        if isinstance(self.queueing_timeout, Unset):
            queueing_timeout = UNSET
        else:
            queueing_timeout = self.queueing_timeout

        end_symbol: None | str | Unset
        if isinstance(self.end_symbol, Unset):
            end_symbol = UNSET
        else:
            end_symbol = self.end_symbol

        signal: None | str | Unset
        if isinstance(self.signal, Unset):
            signal = UNSET
        elif isinstance(self.signal, str):
            signal = self.signal
        else:
            signal = self.signal

        policies: dict[str, Any] | None | Unset
        if isinstance(self.policies, Unset):
            policies = UNSET
        elif isinstance(self.policies, RunRequestPoliciesType0):
            policies = self.policies.to_dict()
        else:
            policies = self.policies

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if command is not UNSET:
            field_dict["command"] = command
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if session_idx is not UNSET:
            field_dict["session_idx"] = session_idx
        if timeout is not UNSET:
            field_dict["timeout"] = timeout
        if time_to_background is not UNSET:
            field_dict["time_to_background"] = time_to_background
        if background is not UNSET:
            field_dict["background"] = background
        if queueing_timeout is not UNSET:
            field_dict["queueing_timeout"] = queueing_timeout
        if end_symbol is not UNSET:
            field_dict["end_symbol"] = end_symbol
        if signal is not UNSET:
            field_dict["signal"] = signal
        if policies is not UNSET:
            field_dict["policies"] = policies

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_request_policies_type_0 import RunRequestPoliciesType0  # noqa: PLC0415

        d = dict(src_dict)
        command = d.pop("command", UNSET)

        def _parse_session_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session_id = _parse_session_id(d.pop("session_id", UNSET))

        def _parse_session_idx(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        session_idx = _parse_session_idx(d.pop("session_idx", UNSET))

        def _parse_timeout(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        timeout = _parse_timeout(d.pop("timeout", UNSET))

        def _parse_time_to_background(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        time_to_background = _parse_time_to_background(d.pop("time_to_background", UNSET))

        def _parse_background(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        background = _parse_background(d.pop("background", UNSET))

        def _parse_queueing_timeout(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        queueing_timeout = _parse_queueing_timeout(d.pop("queueing_timeout", UNSET))

        def _parse_end_symbol(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        end_symbol = _parse_end_symbol(d.pop("end_symbol", UNSET))

        def _parse_signal(data: object) -> None | RunRequestSignalType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                signal_type_0 = check_run_request_signal_type_0(data)

                return signal_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RunRequestSignalType0 | Unset, data)

        signal = _parse_signal(d.pop("signal", UNSET))

        def _parse_policies(data: object) -> None | RunRequestPoliciesType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                policies_type_0 = RunRequestPoliciesType0.from_dict(data)

                return policies_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RunRequestPoliciesType0 | Unset, data)

        policies = _parse_policies(d.pop("policies", UNSET))

        run_request = cls(
            command=command,
            session_id=session_id,
            session_idx=session_idx,
            timeout=timeout,
            time_to_background=time_to_background,
            background=background,
            queueing_timeout=queueing_timeout,
            end_symbol=end_symbol,
            signal=signal,
            policies=policies,
        )

        return run_request
