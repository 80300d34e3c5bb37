from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..models.fork_request_layers_type_0_item import (
    ForkRequestLayersType0Item,
    check_fork_request_layers_type_0_item,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.fork_request_policies_type_0 import ForkRequestPoliciesType0
    from ..models.fork_request_registry_auth_type_0 import ForkRequestRegistryAuthType0
    from ..models.fork_request_ssh_public_keys_type_0 import ForkRequestSshPublicKeysType0
    from ..models.resources_input import ResourcesInput


T = TypeVar("T", bound="ForkRequest")


@_attrs_define
class ForkRequest:
    """The source and the properties of a new computer. A null is the same as a missing field."""

    source_vm_id: None | str | Unset = UNSET
    """ The computer to fork, by its id. """
    source_vm_name: None | str | Unset = UNSET
    """ The computer to fork, by its name: one of the organization, otherwise a public base. """
    source_org_id: None | str | Unset = UNSET
    """ The id of the organization that owns the named computer; deprecated. """
    source_org_name: None | str | Unset = UNSET
    """ The name of the organization that owns the named computer. """
    image: None | str | Unset = UNSET
    """ An OCI image to create the computer from. """
    dockerfile: None | str | Unset = UNSET
    """ Always refused. """
    name: None | str | Unset = UNSET
    """ Its name, unique in the organization. """
    description: None | str | Unset = UNSET
    """ A description of its purpose. """
    public: bool | None | Unset = UNSET
    """ Whether other organizations may fork it. They can never run commands in it, read it or delete it. """
    ssh_public_keys: ForkRequestSshPublicKeysType0 | None | Unset = UNSET
    """ SSH keys, by ids that the caller chooses. """
    disk: bool | None | Unset = UNSET
    """ Whether it has a disk. """
    durable: bool | None | Unset = UNSET
    """ Whether its disk is durable. """
    nestedvirt: bool | None | Unset = UNSET
    """ Whether it can run virtual machines. """
    platforms: list[str] | None | Unset = UNSET
    """ Platforms to choose from. """
    layers: list[ForkRequestLayersType0Item] | None | Unset = UNSET
    """ What to copy from the source; default both. """
    queueing_timeout: int | None | Unset = UNSET
    """ Seconds to wait for capacity. """
    policies: ForkRequestPoliciesType0 | None | Unset = UNSET
    """ Network rules. """
    resources: None | ResourcesInput | Unset = UNSET
    """ The requested resources. """
    registry_auth: ForkRequestRegistryAuthType0 | None | Unset = UNSET
    """ Credentials for the registry of the image. """
    pool_id: None | Unset | UUID = UNSET
    """ The pool to place it in. """
    pool_name: None | str | Unset = UNSET
    """ The pool to place it in. """
    command: None | str | Unset = UNSET
    """ A command to start in its default session. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.fork_request_policies_type_0 import ForkRequestPoliciesType0  # noqa: PLC0415
        from ..models.fork_request_registry_auth_type_0 import (
            ForkRequestRegistryAuthType0,  # noqa: PLC0415
        )
        from ..models.fork_request_ssh_public_keys_type_0 import (
            ForkRequestSshPublicKeysType0,  # noqa: PLC0415
        )
        from ..models.resources_input import ResourcesInput  # noqa: PLC0415

        source_vm_id: None | str | Unset
        if isinstance(self.source_vm_id, Unset):
            source_vm_id = UNSET
        else:
            source_vm_id = self.source_vm_id

        source_vm_name: None | str | Unset
        if isinstance(self.source_vm_name, Unset):
            source_vm_name = UNSET
        else:
            source_vm_name = self.source_vm_name

        source_org_id: None | str | Unset
        if isinstance(self.source_org_id, Unset):
            source_org_id = UNSET
        else:
            source_org_id = self.source_org_id

        source_org_name: None | str | Unset
        if isinstance(self.source_org_name, Unset):
            source_org_name = UNSET
        else:
            source_org_name = self.source_org_name

        image: None | str | Unset
        if isinstance(self.image, Unset):
            image = UNSET
        else:
            image = self.image

        dockerfile: None | str | Unset
        if isinstance(self.dockerfile, Unset):
            dockerfile = UNSET
        else:
            dockerfile = self.dockerfile

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

        public: bool | None | Unset
        if isinstance(self.public, Unset):
            public = UNSET
        else:
            public = self.public

        ssh_public_keys: dict[str, Any] | None | Unset
        if isinstance(self.ssh_public_keys, Unset):
            ssh_public_keys = UNSET
        elif isinstance(self.ssh_public_keys, ForkRequestSshPublicKeysType0):
            ssh_public_keys = self.ssh_public_keys.to_dict()
        else:
            ssh_public_keys = self.ssh_public_keys

        disk: bool | None | Unset
        if isinstance(self.disk, Unset):
            disk = UNSET
        else:
            disk = self.disk

        durable: bool | None | Unset
        if isinstance(self.durable, Unset):
            durable = UNSET
        else:
            durable = self.durable

        nestedvirt: bool | None | Unset
        if isinstance(self.nestedvirt, Unset):
            nestedvirt = UNSET
        else:
            nestedvirt = self.nestedvirt

        platforms: list[str] | None | Unset
        if isinstance(self.platforms, Unset):
            platforms = UNSET
        elif isinstance(self.platforms, list):
            platforms = self.platforms

        else:
            platforms = self.platforms

        layers: list[str] | None | Unset
        if isinstance(self.layers, Unset):
            layers = UNSET
        elif isinstance(self.layers, list):
            layers = []
            for layers_type_0_item_data in self.layers:
                layers_type_0_item: str = layers_type_0_item_data
                layers.append(layers_type_0_item)

        else:
            layers = self.layers

        queueing_timeout: int | None | Unset
        if isinstance(self.queueing_timeout, Unset):
            queueing_timeout = UNSET
        else:
            queueing_timeout = self.queueing_timeout

        policies: dict[str, Any] | None | Unset
        if isinstance(self.policies, Unset):
            policies = UNSET
        elif isinstance(self.policies, ForkRequestPoliciesType0):
            policies = self.policies.to_dict()
        else:
            policies = self.policies

        resources: dict[str, Any] | None | Unset
        if isinstance(self.resources, Unset):
            resources = UNSET
        elif isinstance(self.resources, ResourcesInput):
            resources = self.resources.to_dict()
        else:
            resources = self.resources

        registry_auth: dict[str, Any] | None | Unset
        if isinstance(self.registry_auth, Unset):
            registry_auth = UNSET
        elif isinstance(self.registry_auth, ForkRequestRegistryAuthType0):
            registry_auth = self.registry_auth.to_dict()
        else:
            registry_auth = self.registry_auth

        pool_id: None | str | Unset
        if isinstance(self.pool_id, Unset):
            pool_id = UNSET
        elif isinstance(self.pool_id, UUID):
            pool_id = str(self.pool_id)
        else:
            pool_id = self.pool_id

        pool_name: None | str | Unset
        if isinstance(self.pool_name, Unset):
            pool_name = UNSET
        else:
            pool_name = self.pool_name

        command: None | str | Unset
        if isinstance(self.command, Unset):
            command = UNSET
        else:
            command = self.command

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if source_vm_id is not UNSET:
            field_dict["source_vm_id"] = source_vm_id
        if source_vm_name is not UNSET:
            field_dict["source_vm_name"] = source_vm_name
        if source_org_id is not UNSET:
            field_dict["source_org_id"] = source_org_id
        if source_org_name is not UNSET:
            field_dict["source_org_name"] = source_org_name
        if image is not UNSET:
            field_dict["image"] = image
        if dockerfile is not UNSET:
            field_dict["dockerfile"] = dockerfile
        if name is not UNSET:
            field_dict["name"] = name
        if description is not UNSET:
            field_dict["description"] = description
        if public is not UNSET:
            field_dict["public"] = public
        if ssh_public_keys is not UNSET:
            field_dict["ssh_public_keys"] = ssh_public_keys
        if disk is not UNSET:
            field_dict["disk"] = disk
        if durable is not UNSET:
            field_dict["durable"] = durable
        if nestedvirt is not UNSET:
            field_dict["nestedvirt"] = nestedvirt
        if platforms is not UNSET:
            field_dict["platforms"] = platforms
        if layers is not UNSET:
            field_dict["layers"] = layers
        if queueing_timeout is not UNSET:
            field_dict["queueing_timeout"] = queueing_timeout
        if policies is not UNSET:
            field_dict["policies"] = policies
        if resources is not UNSET:
            field_dict["resources"] = resources
        if registry_auth is not UNSET:
            field_dict["registry_auth"] = registry_auth
        if pool_id is not UNSET:
            field_dict["pool_id"] = pool_id
        if pool_name is not UNSET:
            field_dict["pool_name"] = pool_name
        if command is not UNSET:
            field_dict["command"] = command

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.fork_request_policies_type_0 import ForkRequestPoliciesType0  # noqa: PLC0415
        from ..models.fork_request_registry_auth_type_0 import (
            ForkRequestRegistryAuthType0,  # noqa: PLC0415
        )
        from ..models.fork_request_ssh_public_keys_type_0 import (
            ForkRequestSshPublicKeysType0,  # noqa: PLC0415
        )
        from ..models.resources_input import ResourcesInput  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_source_vm_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_vm_id = _parse_source_vm_id(d.pop("source_vm_id", UNSET))

        def _parse_source_vm_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_vm_name = _parse_source_vm_name(d.pop("source_vm_name", UNSET))

        def _parse_source_org_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_org_id = _parse_source_org_id(d.pop("source_org_id", UNSET))

        def _parse_source_org_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_org_name = _parse_source_org_name(d.pop("source_org_name", UNSET))

        def _parse_image(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        image = _parse_image(d.pop("image", UNSET))

        def _parse_dockerfile(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        dockerfile = _parse_dockerfile(d.pop("dockerfile", UNSET))

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

        def _parse_public(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        public = _parse_public(d.pop("public", UNSET))

        def _parse_ssh_public_keys(data: object) -> ForkRequestSshPublicKeysType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                ssh_public_keys_type_0 = ForkRequestSshPublicKeysType0.from_dict(data)

                return ssh_public_keys_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ForkRequestSshPublicKeysType0 | None | Unset, data)

        ssh_public_keys = _parse_ssh_public_keys(d.pop("ssh_public_keys", UNSET))

        def _parse_disk(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        disk = _parse_disk(d.pop("disk", UNSET))

        def _parse_durable(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        durable = _parse_durable(d.pop("durable", UNSET))

        def _parse_nestedvirt(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        nestedvirt = _parse_nestedvirt(d.pop("nestedvirt", UNSET))

        def _parse_platforms(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                platforms_type_0 = cast(list[str], data)

                return platforms_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        platforms = _parse_platforms(d.pop("platforms", UNSET))

        def _parse_layers(data: object) -> list[ForkRequestLayersType0Item] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                layers_type_0 = []
                _layers_type_0 = data
                for layers_type_0_item_data in _layers_type_0:
                    layers_type_0_item = check_fork_request_layers_type_0_item(layers_type_0_item_data)

                    layers_type_0.append(layers_type_0_item)

                return layers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ForkRequestLayersType0Item] | None | Unset, data)

        layers = _parse_layers(d.pop("layers", UNSET))

        def _parse_queueing_timeout(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        queueing_timeout = _parse_queueing_timeout(d.pop("queueing_timeout", UNSET))

        def _parse_policies(data: object) -> ForkRequestPoliciesType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                policies_type_0 = ForkRequestPoliciesType0.from_dict(data)

                return policies_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ForkRequestPoliciesType0 | None | Unset, data)

        policies = _parse_policies(d.pop("policies", UNSET))

        def _parse_resources(data: object) -> None | ResourcesInput | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                resources_type_0 = ResourcesInput.from_dict(data)

                return resources_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ResourcesInput | Unset, data)

        resources = _parse_resources(d.pop("resources", UNSET))

        def _parse_registry_auth(data: object) -> ForkRequestRegistryAuthType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                registry_auth_type_0 = ForkRequestRegistryAuthType0.from_dict(data)

                return registry_auth_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ForkRequestRegistryAuthType0 | None | Unset, data)

        registry_auth = _parse_registry_auth(d.pop("registry_auth", UNSET))

        def _parse_pool_id(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                pool_id_type_0 = UUID(data)

                return pool_id_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        pool_id = _parse_pool_id(d.pop("pool_id", UNSET))

        def _parse_pool_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pool_name = _parse_pool_name(d.pop("pool_name", UNSET))

        def _parse_command(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command = _parse_command(d.pop("command", UNSET))

        fork_request = cls(
            source_vm_id=source_vm_id,
            source_vm_name=source_vm_name,
            source_org_id=source_org_id,
            source_org_name=source_org_name,
            image=image,
            dockerfile=dockerfile,
            name=name,
            description=description,
            public=public,
            ssh_public_keys=ssh_public_keys,
            disk=disk,
            durable=durable,
            nestedvirt=nestedvirt,
            platforms=platforms,
            layers=layers,
            queueing_timeout=queueing_timeout,
            policies=policies,
            resources=resources,
            registry_auth=registry_auth,
            pool_id=pool_id,
            pool_name=pool_name,
            command=command,
        )

        return fork_request
