"""Information about computers, sessions, regions and organizations; values of contract 0.3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from arker_api.v03.models import ApiKey as ApiKeyAnswer
    from arker_api.v03.models import CreatedApiKey, Session, Vm

__all__ = ["ApiKey", "ComputerInfo", "ComputerUsage", "Organization", "Region", "SessionInfo"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ComputerUsage:
    """What a computer uses now.

    Attributes:
        vm_id: Its id.
        name: Its name, or None.
        state: `running` while its sandbox lives, else `idle`.
        cpu_seconds: CPU time since its sandbox started, in seconds; the difference of two readings is its load. A lower
            bound where the deployment has no cgroups.
        memory: Private memory of its processes, in bytes.
        processes: How many processes it has, idle shells included.
        disk: Bytes that it has written to its disk, as last measured while it ran; None if it was not measured since
            the deployment started.
    """

    vm_id: str
    name: str | None
    state: str
    cpu_seconds: float
    memory: int
    processes: int
    disk: int | None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session of a computer.

    Attributes:
        session_id: Its id.
        index: Its number; 0 is the default session.
        state: `idle`, `pending` or `running`.
        cwd: Its folder; empty before its first command.
    """

    session_id: str
    index: int
    state: str
    cwd: str


@dataclass(frozen=True, slots=True)
class ComputerInfo:
    """A computer as the platform knows it; `client.vm(info.vm_id)` is its handle.

    Attributes:
        vm_id: Its id.
        name: Its name, or None.
        description: Its description, or None.
        state: `running` while something uses it, else `idle`.
        is_public: Whether other organizations may fork it.
        created_at: When it was made (UTC).
        last_active_at: When it was last used (UTC), or None.
        base_id: The base image that it descends from, or None.
        base_name: The name of that base image, or None.
        parent_id: The computer that it was forked from, if the deployment reports it; else None.
        region: Where it lives, or None.
        sessions: Its sessions.
        resources: Its limits: `vcpu`, `memory_mib`, `disk_mib` ...; unknown ones are missing.
    """

    vm_id: str
    name: str | None
    description: str | None
    state: str
    is_public: bool
    created_at: datetime
    last_active_at: datetime | None
    base_id: str | None
    base_name: str | None
    parent_id: str | None
    region: str | None
    sessions: tuple[SessionInfo, ...]
    resources: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Region:
    """A place for computers.

    Attributes:
        provider: Who operates the machines.
        region: Where they are.
        endpoint: The URL of its host.
        platforms: The platforms that it offers.
    """

    provider: str
    region: str
    endpoint: str
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Organization:
    """The organization that an API key belongs to.

    Attributes:
        org_id: Its id.
        name: Its name.
    """

    org_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of an API key.

    Attributes:
        key_id: Its id, which `api_keys.revoke()` takes; no secret.
        created_at: When it was made (UTC).
        role: What it may do: `admin`, `developer`, `member` or `viewer`.
        vm_ids: The computers that it is limited to; empty for all of the organization.
        key: The key itself where it was just made, else None. Not in the `repr`.
    """

    key_id: str
    created_at: datetime
    role: str
    vm_ids: tuple[str, ...]
    key: str | None = field(default=None, repr=False)


def given(value: object, kind: type[T]) -> T | None:
    """A field of an answer if it has the type `kind`, else None."""
    return value if isinstance(value, kind) else None


def computer_info(vm: Vm) -> ComputerInfo:
    """Convert the computer in an answer. Raises TypeError for one that violates the contract."""
    created, active = given(vm.created_at, datetime), given(vm.last_active_at, datetime)
    if created is None:
        raise TypeError("no created_at")
    resources = vm.resources.to_dict()
    return ComputerInfo(
        vm.vm_id,
        given(vm.name, str),
        given(vm.description, str),
        vm.state,
        vm.public,
        created.astimezone(UTC),
        None if active is None else active.astimezone(UTC),
        given(vm.root_source_vm_id, str),
        given(vm.root_source_vm_name, str),
        given(vm.additional_properties.get("parent_vm_id"), str),
        given(vm.region, str),
        tuple(session_info(session) for session in vm.sessions),
        {name: value for name, value in resources.items() if isinstance(value, int)},
    )


def api_key(answer: ApiKeyAnswer | CreatedApiKey, key: str | None = None) -> ApiKey:
    """The key in an answer."""
    vm_ids = (given(scope.vm_id, str) for scope in answer.scopes)
    return ApiKey(
        answer.api_key_id,
        answer.created_at.astimezone(UTC),
        answer.role,
        tuple(vm_id for vm_id in vm_ids if vm_id is not None),
        key,
    )


def created_api_key(answer: CreatedApiKey) -> ApiKey:
    """A key that was just made."""
    return api_key(answer, answer.key)


def session_info(session: Session) -> SessionInfo:
    """Convert the session in an answer."""
    return SessionInfo(session.session_id, given(session.session_idx, int) or 0, session.state, session.cwd)


def computer_usage(fields: Mapping[str, Any]) -> ComputerUsage:
    """Convert the usage in an answer. Raises KeyError, TypeError or ValueError for an invalid one."""
    disk = fields["disk_bytes"]
    return ComputerUsage(
        str(fields["vm_id"]),
        given(fields["name"], str),
        str(fields["state"]),
        float(fields["cpu_seconds"]),
        int(fields["memory_bytes"]),
        int(fields["processes"]),
        None if disk is None else int(disk),
    )
