from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="OrgRun")


@_attrs_define
class OrgRun:
    """A request that a computer served."""

    t_ms: int
    """ The time of the request, in milliseconds since the epoch. """
    request_id: str
    """ The id of the request. """
    run_id: str
    """ The run. """
    vm_id: str
    """ The computer. """
    session_id: str
    """ The session. """
    region: str
    """ The region. """
    provider: str
    """ The provider. """
    status: int
    """ The HTTP status. """
    total_ms: float
    """ The total duration in milliseconds. """
    queue_ms: float
    """ The time in the queue in milliseconds. """
    executor_duration_ms: int
    """ The run time in milliseconds. """
    executor_kind: str
    """ The kind of executor. """
    executor_cpu_ms: int
    """ CPU time in milliseconds. """
    executor_mem_mb: int
    """ Peak memory in MB. """
    vm_vcpus: int
    """ The computer's CPUs. """
    vm_memory_mib: int
    """ The computer's memory. """
    path: str
    """ The path of the request. """
    method: str
    """ The method of the request. """
    command: str
    """ The command. """
    source_vm_id: str
    """ The computer that was forked. """
    endpoint: str
    """ `run`, `fork` or `sync`. """
    api_key_prefix: str
    """ The prefix of the API key. """
    body_bytes_in: int
    """ Size of the request body in bytes. """
    body_bytes_out: int
    """ Size of the response body in bytes. """
    body_in: str
    """ The request body. """
    body_out: str
    """ The response body. """
    source: str | Unset = UNSET
    """ The origin of the row. """
    exit_code: int | None | Unset = UNSET
    """ Its exit code. """
    state: str | Unset = UNSET
    """ The state of the run. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        t_ms = self.t_ms

        request_id = self.request_id

        run_id = self.run_id

        vm_id = self.vm_id

        session_id = self.session_id

        region = self.region

        provider = self.provider

        status = self.status

        total_ms = self.total_ms

        queue_ms = self.queue_ms

        executor_duration_ms = self.executor_duration_ms

        executor_kind = self.executor_kind

        executor_cpu_ms = self.executor_cpu_ms

        executor_mem_mb = self.executor_mem_mb

        vm_vcpus = self.vm_vcpus

        vm_memory_mib = self.vm_memory_mib

        path = self.path

        method = self.method

        command = self.command

        source_vm_id = self.source_vm_id

        endpoint = self.endpoint

        api_key_prefix = self.api_key_prefix

        body_bytes_in = self.body_bytes_in

        body_bytes_out = self.body_bytes_out

        body_in = self.body_in

        body_out = self.body_out

        source = self.source

        exit_code: int | None | Unset
        if isinstance(self.exit_code, Unset):
            exit_code = UNSET
        else:
            exit_code = self.exit_code

        state = self.state

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "t_ms": t_ms,
                "request_id": request_id,
                "run_id": run_id,
                "vm_id": vm_id,
                "session_id": session_id,
                "region": region,
                "provider": provider,
                "status": status,
                "total_ms": total_ms,
                "queue_ms": queue_ms,
                "executor_duration_ms": executor_duration_ms,
                "executor_kind": executor_kind,
                "executor_cpu_ms": executor_cpu_ms,
                "executor_mem_mb": executor_mem_mb,
                "vm_vcpus": vm_vcpus,
                "vm_memory_mib": vm_memory_mib,
                "path": path,
                "method": method,
                "command": command,
                "source_vm_id": source_vm_id,
                "endpoint": endpoint,
                "api_key_prefix": api_key_prefix,
                "body_bytes_in": body_bytes_in,
                "body_bytes_out": body_bytes_out,
                "body_in": body_in,
                "body_out": body_out,
            }
        )
        if source is not UNSET:
            field_dict["source"] = source
        if exit_code is not UNSET:
            field_dict["exit_code"] = exit_code
        if state is not UNSET:
            field_dict["state"] = state

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        t_ms = d.pop("t_ms")

        request_id = d.pop("request_id")

        run_id = d.pop("run_id")

        vm_id = d.pop("vm_id")

        session_id = d.pop("session_id")

        region = d.pop("region")

        provider = d.pop("provider")

        status = d.pop("status")

        total_ms = d.pop("total_ms")

        queue_ms = d.pop("queue_ms")

        executor_duration_ms = d.pop("executor_duration_ms")

        executor_kind = d.pop("executor_kind")

        executor_cpu_ms = d.pop("executor_cpu_ms")

        executor_mem_mb = d.pop("executor_mem_mb")

        vm_vcpus = d.pop("vm_vcpus")

        vm_memory_mib = d.pop("vm_memory_mib")

        path = d.pop("path")

        method = d.pop("method")

        command = d.pop("command")

        source_vm_id = d.pop("source_vm_id")

        endpoint = d.pop("endpoint")

        api_key_prefix = d.pop("api_key_prefix")

        body_bytes_in = d.pop("body_bytes_in")

        body_bytes_out = d.pop("body_bytes_out")

        body_in = d.pop("body_in")

        body_out = d.pop("body_out")

        source = d.pop("source", UNSET)

        def _parse_exit_code(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        exit_code = _parse_exit_code(d.pop("exit_code", UNSET))

        state = d.pop("state", UNSET)

        org_run = cls(
            t_ms=t_ms,
            request_id=request_id,
            run_id=run_id,
            vm_id=vm_id,
            session_id=session_id,
            region=region,
            provider=provider,
            status=status,
            total_ms=total_ms,
            queue_ms=queue_ms,
            executor_duration_ms=executor_duration_ms,
            executor_kind=executor_kind,
            executor_cpu_ms=executor_cpu_ms,
            executor_mem_mb=executor_mem_mb,
            vm_vcpus=vm_vcpus,
            vm_memory_mib=vm_memory_mib,
            path=path,
            method=method,
            command=command,
            source_vm_id=source_vm_id,
            endpoint=endpoint,
            api_key_prefix=api_key_prefix,
            body_bytes_in=body_bytes_in,
            body_bytes_out=body_bytes_out,
            body_in=body_in,
            body_out=body_out,
            source=source,
            exit_code=exit_code,
            state=state,
        )

        org_run.additional_properties = d
        return org_run

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
