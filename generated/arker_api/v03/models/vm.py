from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.session import Session
    from ..models.vm_network import VmNetwork
    from ..models.vm_policies_type_0 import VmPoliciesType0
    from ..models.vm_resources import VmResources


T = TypeVar("T", bound="Vm")


@_attrs_define
class Vm:
    """A computer."""

    vm_id: str
    """ Its id. """
    owner_org_id: str
    """ The organization that owns it. """
    created_at: datetime.datetime
    """ When it was created. """
    description: None | str
    """ A description of its purpose. Forks do not inherit it. """
    public: bool
    """ Whether other organizations may fork it. """
    state: str
    """ `running` while something uses it, else `idle`. """
    network: VmNetwork
    """ How a computer is reached. """
    sessions: list[Session]
    """ Its sessions. """
    resources: VmResources
    """ What a computer may use. """
    name: None | str | Unset = UNSET
    """ Its name. """
    hostname: None | str | Unset = UNSET
    """ The DNS name of its services, if it has one. """
    immutable: bool | Unset = UNSET
    """ Whether it refuses every change. """
    root_source_vm_id: None | str | Unset = UNSET
    """ The base that it descends from. """
    root_source_vm_name: None | str | Unset = UNSET
    """ The name of that base. """
    region: None | str | Unset = UNSET
    """ Its region. """
    provider: None | str | Unset = UNSET
    """ Its provider. """
    last_active_at: datetime.datetime | None | Unset = UNSET
    """ When it was last used. """
    policies: None | Unset | VmPoliciesType0 = UNSET
    """ Network rules. """
    platform: None | str | Unset = UNSET
    """ Its platform. """
    pool_id: str | Unset = UNSET
    """ The pool that it is in. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.vm_policies_type_0 import VmPoliciesType0  # noqa: PLC0415

        vm_id = self.vm_id

        owner_org_id = self.owner_org_id

        created_at = self.created_at.isoformat()

        description: None | str
        description = self.description

        public = self.public

        state = self.state

        network = self.network.to_dict()

        sessions = []
        for sessions_item_data in self.sessions:
            sessions_item = sessions_item_data.to_dict()
            sessions.append(sessions_item)

        resources = self.resources.to_dict()

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        hostname: None | str | Unset
        if isinstance(self.hostname, Unset):
            hostname = UNSET
        else:
            hostname = self.hostname

        immutable = self.immutable

        root_source_vm_id: None | str | Unset
        if isinstance(self.root_source_vm_id, Unset):
            root_source_vm_id = UNSET
        else:
            root_source_vm_id = self.root_source_vm_id

        root_source_vm_name: None | str | Unset
        if isinstance(self.root_source_vm_name, Unset):
            root_source_vm_name = UNSET
        else:
            root_source_vm_name = self.root_source_vm_name

        region: None | str | Unset
        if isinstance(self.region, Unset):
            region = UNSET
        else:
            region = self.region

        provider: None | str | Unset
        if isinstance(self.provider, Unset):
            provider = UNSET
        else:
            provider = self.provider

        last_active_at: None | str | Unset
        if isinstance(self.last_active_at, Unset):
            last_active_at = UNSET
        elif isinstance(self.last_active_at, datetime.datetime):
            last_active_at = self.last_active_at.isoformat()
        else:
            last_active_at = self.last_active_at

        policies: dict[str, Any] | None | Unset
        if isinstance(self.policies, Unset):
            policies = UNSET
        elif isinstance(self.policies, VmPoliciesType0):
            policies = self.policies.to_dict()
        else:
            policies = self.policies

        platform: None | str | Unset
        if isinstance(self.platform, Unset):
            platform = UNSET
        else:
            platform = self.platform

        pool_id = self.pool_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "vm_id": vm_id,
                "owner_org_id": owner_org_id,
                "created_at": created_at,
                "description": description,
                "public": public,
                "state": state,
                "network": network,
                "sessions": sessions,
                "resources": resources,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name
        if hostname is not UNSET:
            field_dict["hostname"] = hostname
        if immutable is not UNSET:
            field_dict["immutable"] = immutable
        if root_source_vm_id is not UNSET:
            field_dict["root_source_vm_id"] = root_source_vm_id
        if root_source_vm_name is not UNSET:
            field_dict["root_source_vm_name"] = root_source_vm_name
        if region is not UNSET:
            field_dict["region"] = region
        if provider is not UNSET:
            field_dict["provider"] = provider
        if last_active_at is not UNSET:
            field_dict["last_active_at"] = last_active_at
        if policies is not UNSET:
            field_dict["policies"] = policies
        if platform is not UNSET:
            field_dict["platform"] = platform
        if pool_id is not UNSET:
            field_dict["pool_id"] = pool_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.session import Session  # noqa: PLC0415
        from ..models.vm_network import VmNetwork  # noqa: PLC0415
        from ..models.vm_policies_type_0 import VmPoliciesType0  # noqa: PLC0415
        from ..models.vm_resources import VmResources  # noqa: PLC0415

        d = dict(src_dict)
        vm_id = d.pop("vm_id")

        owner_org_id = d.pop("owner_org_id")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_description(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        description = _parse_description(d.pop("description"))

        public = d.pop("public")

        state = d.pop("state")

        network = VmNetwork.from_dict(d.pop("network"))

        sessions = []
        _sessions = d.pop("sessions")
        for sessions_item_data in _sessions:
            sessions_item = Session.from_dict(sessions_item_data)

            sessions.append(sessions_item)

        resources = VmResources.from_dict(d.pop("resources"))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_hostname(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        hostname = _parse_hostname(d.pop("hostname", UNSET))

        immutable = d.pop("immutable", UNSET)

        def _parse_root_source_vm_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        root_source_vm_id = _parse_root_source_vm_id(d.pop("root_source_vm_id", UNSET))

        def _parse_root_source_vm_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        root_source_vm_name = _parse_root_source_vm_name(d.pop("root_source_vm_name", UNSET))

        def _parse_region(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        region = _parse_region(d.pop("region", UNSET))

        def _parse_provider(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        provider = _parse_provider(d.pop("provider", UNSET))

        def _parse_last_active_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_active_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_active_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        last_active_at = _parse_last_active_at(d.pop("last_active_at", UNSET))

        def _parse_policies(data: object) -> None | Unset | VmPoliciesType0:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                policies_type_0 = VmPoliciesType0.from_dict(data)

                return policies_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | VmPoliciesType0, data)

        policies = _parse_policies(d.pop("policies", UNSET))

        def _parse_platform(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        platform = _parse_platform(d.pop("platform", UNSET))

        pool_id = d.pop("pool_id", UNSET)

        vm = cls(
            vm_id=vm_id,
            owner_org_id=owner_org_id,
            created_at=created_at,
            description=description,
            public=public,
            state=state,
            network=network,
            sessions=sessions,
            resources=resources,
            name=name,
            hostname=hostname,
            immutable=immutable,
            root_source_vm_id=root_source_vm_id,
            root_source_vm_name=root_source_vm_name,
            region=region,
            provider=provider,
            last_active_at=last_active_at,
            policies=policies,
            platform=platform,
            pool_id=pool_id,
        )

        vm.additional_properties = d
        return vm

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
