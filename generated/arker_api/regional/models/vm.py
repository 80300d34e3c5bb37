from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.network import Network
    from ..models.resources import Resources
    from ..models.session import Session


T = TypeVar("T", bound="Vm")


@_attrs_define
class Vm:
    """A computer."""

    vm_id: str
    """ Its id. """
    owner_org_id: str | Unset = UNSET
    """ The organization that owns it. """
    created_at: datetime.datetime | Unset = UNSET
    """ When it was created. """
    name: None | str | Unset = UNSET
    """ Its name. """
    description: None | str | Unset = UNSET
    """ A description of its purpose. """
    hostname: None | str | Unset = UNSET
    """ The DNS name of its services, if it has one. """
    public: bool | Unset = UNSET
    """ Whether other organizations may fork it. """
    root_source_vm_id: None | str | Unset = UNSET
    """ The base image or computer that it descends from. """
    root_source_vm_name: None | str | Unset = UNSET
    """ The name of that image or computer. """
    parent_vm_id: None | str | Unset = UNSET
    """ The computer that it was forked from; only in responses to requests with the header `Arker-Local: 1`. """
    state: str | Unset = UNSET
    """ `running` while a sandbox is alive, otherwise `idle`; the computer can be used in either state. """
    region: str | Unset = UNSET
    """ Its region. """
    provider: str | Unset = UNSET
    """ The provider of the region. """
    last_active_at: datetime.datetime | None | Unset = UNSET
    """ When it was last used. """
    network: Network | Unset = UNSET
    """ How the computer is reached. """
    sessions: list[Session] | Unset = UNSET
    """ Its sessions. """
    resources: Resources | Unset = UNSET
    """ What a computer may use. """
    platform: str | Unset = UNSET
    """ Operating system and architecture, such as `linux/amd64`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        vm_id = self.vm_id

        owner_org_id = self.owner_org_id

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        hostname: None | str | Unset
        if isinstance(self.hostname, Unset):
            hostname = UNSET
        else:
            hostname = self.hostname

        public = self.public

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

        parent_vm_id: None | str | Unset
        if isinstance(self.parent_vm_id, Unset):
            parent_vm_id = UNSET
        else:
            parent_vm_id = self.parent_vm_id

        state = self.state

        region = self.region

        provider = self.provider

        last_active_at: None | str | Unset
        if isinstance(self.last_active_at, Unset):
            last_active_at = UNSET
        elif isinstance(self.last_active_at, datetime.datetime):
            last_active_at = self.last_active_at.isoformat()
        else:
            last_active_at = self.last_active_at

        network: dict[str, Any] | Unset = UNSET
        if not isinstance(self.network, Unset):
            network = self.network.to_dict()

        sessions: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.sessions, Unset):
            sessions = []
            for sessions_item_data in self.sessions:
                sessions_item = sessions_item_data.to_dict()
                sessions.append(sessions_item)

        resources: dict[str, Any] | Unset = UNSET
        if not isinstance(self.resources, Unset):
            resources = self.resources.to_dict()

        platform = self.platform

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "vm_id": vm_id,
            }
        )
        if owner_org_id is not UNSET:
            field_dict["owner_org_id"] = owner_org_id
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if name is not UNSET:
            field_dict["name"] = name
        if description is not UNSET:
            field_dict["description"] = description
        if hostname is not UNSET:
            field_dict["hostname"] = hostname
        if public is not UNSET:
            field_dict["public"] = public
        if root_source_vm_id is not UNSET:
            field_dict["root_source_vm_id"] = root_source_vm_id
        if root_source_vm_name is not UNSET:
            field_dict["root_source_vm_name"] = root_source_vm_name
        if parent_vm_id is not UNSET:
            field_dict["parent_vm_id"] = parent_vm_id
        if state is not UNSET:
            field_dict["state"] = state
        if region is not UNSET:
            field_dict["region"] = region
        if provider is not UNSET:
            field_dict["provider"] = provider
        if last_active_at is not UNSET:
            field_dict["last_active_at"] = last_active_at
        if network is not UNSET:
            field_dict["network"] = network
        if sessions is not UNSET:
            field_dict["sessions"] = sessions
        if resources is not UNSET:
            field_dict["resources"] = resources
        if platform is not UNSET:
            field_dict["platform"] = platform

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.network import Network  # noqa: PLC0415
        from ..models.resources import Resources  # noqa: PLC0415
        from ..models.session import Session  # noqa: PLC0415

        d = dict(src_dict)
        vm_id = d.pop("vm_id")

        owner_org_id = d.pop("owner_org_id", UNSET)

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        def _parse_hostname(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        hostname = _parse_hostname(d.pop("hostname", UNSET))

        public = d.pop("public", UNSET)

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

        def _parse_parent_vm_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_vm_id = _parse_parent_vm_id(d.pop("parent_vm_id", UNSET))

        state = d.pop("state", UNSET)

        region = d.pop("region", UNSET)

        provider = d.pop("provider", UNSET)

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

        _network = d.pop("network", UNSET)
        network: Network | Unset
        if isinstance(_network, Unset):
            network = UNSET
        else:
            network = Network.from_dict(_network)

        _sessions = d.pop("sessions", UNSET)
        sessions: list[Session] | Unset = UNSET
        if _sessions is not UNSET:
            sessions = []
            for sessions_item_data in _sessions:
                sessions_item = Session.from_dict(sessions_item_data)

                sessions.append(sessions_item)

        _resources = d.pop("resources", UNSET)
        resources: Resources | Unset
        if isinstance(_resources, Unset):
            resources = UNSET
        else:
            resources = Resources.from_dict(_resources)

        platform = d.pop("platform", UNSET)

        vm = cls(
            vm_id=vm_id,
            owner_org_id=owner_org_id,
            created_at=created_at,
            name=name,
            description=description,
            hostname=hostname,
            public=public,
            root_source_vm_id=root_source_vm_id,
            root_source_vm_name=root_source_vm_name,
            parent_vm_id=parent_vm_id,
            state=state,
            region=region,
            provider=provider,
            last_active_at=last_active_at,
            network=network,
            sessions=sessions,
            resources=resources,
            platform=platform,
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
