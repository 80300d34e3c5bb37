from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.patch_vm_request_policies_type_0 import PatchVmRequestPoliciesType0
    from ..models.patch_vm_request_ssh_public_keys_type_0 import (
        PatchVmRequestSshPublicKeysType0,
    )
    from ..models.resources_input import ResourcesInput


T = TypeVar("T", bound="PatchVmRequest")


@_attrs_define
class PatchVmRequest:
    """Changes to a computer."""

    description: None | str | Unset = UNSET
    """ A description of its purpose; null or blank clears it. """
    immutable: bool | Unset = UNSET
    """ Refuse every change from now on. """
    resources: None | ResourcesInput | Unset = UNSET
    """ The requested resources. """
    ssh_public_keys: None | PatchVmRequestSshPublicKeysType0 | Unset = UNSET
    """ SSH keys, by ids that the caller chooses. """
    policies: None | PatchVmRequestPoliciesType0 | Unset = UNSET
    """ Network rules. """
    pool_id: None | Unset | UUID = UNSET
    """ The pool to move it to. """
    pool_name: str | Unset = UNSET
    """ The pool to move it to. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.patch_vm_request_policies_type_0 import (
            PatchVmRequestPoliciesType0,  # noqa: PLC0415
        )
        from ..models.patch_vm_request_ssh_public_keys_type_0 import (
            PatchVmRequestSshPublicKeysType0,  # noqa: PLC0415
        )
        from ..models.resources_input import ResourcesInput  # noqa: PLC0415

        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        immutable = self.immutable

        resources: dict[str, Any] | None | Unset
        if isinstance(self.resources, Unset):
            resources = UNSET
        elif isinstance(self.resources, ResourcesInput):
            resources = self.resources.to_dict()
        else:
            resources = self.resources

        ssh_public_keys: dict[str, Any] | None | Unset
        if isinstance(self.ssh_public_keys, Unset):
            ssh_public_keys = UNSET
        elif isinstance(self.ssh_public_keys, PatchVmRequestSshPublicKeysType0):
            ssh_public_keys = self.ssh_public_keys.to_dict()
        else:
            ssh_public_keys = self.ssh_public_keys

        policies: dict[str, Any] | None | Unset
        if isinstance(self.policies, Unset):
            policies = UNSET
        elif isinstance(self.policies, PatchVmRequestPoliciesType0):
            policies = self.policies.to_dict()
        else:
            policies = self.policies

        pool_id: None | str | Unset
        if isinstance(self.pool_id, Unset):
            pool_id = UNSET
        elif isinstance(self.pool_id, UUID):
            pool_id = str(self.pool_id)
        else:
            pool_id = self.pool_id

        pool_name = self.pool_name

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if description is not UNSET:
            field_dict["description"] = description
        if immutable is not UNSET:
            field_dict["immutable"] = immutable
        if resources is not UNSET:
            field_dict["resources"] = resources
        if ssh_public_keys is not UNSET:
            field_dict["ssh_public_keys"] = ssh_public_keys
        if policies is not UNSET:
            field_dict["policies"] = policies
        if pool_id is not UNSET:
            field_dict["pool_id"] = pool_id
        if pool_name is not UNSET:
            field_dict["pool_name"] = pool_name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.patch_vm_request_policies_type_0 import (
            PatchVmRequestPoliciesType0,  # noqa: PLC0415
        )
        from ..models.patch_vm_request_ssh_public_keys_type_0 import (
            PatchVmRequestSshPublicKeysType0,  # noqa: PLC0415
        )
        from ..models.resources_input import ResourcesInput  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        immutable = d.pop("immutable", UNSET)

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

        def _parse_ssh_public_keys(data: object) -> None | PatchVmRequestSshPublicKeysType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                ssh_public_keys_type_0 = PatchVmRequestSshPublicKeysType0.from_dict(data)

                return ssh_public_keys_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PatchVmRequestSshPublicKeysType0 | Unset, data)

        ssh_public_keys = _parse_ssh_public_keys(d.pop("ssh_public_keys", UNSET))

        def _parse_policies(data: object) -> None | PatchVmRequestPoliciesType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                policies_type_0 = PatchVmRequestPoliciesType0.from_dict(data)

                return policies_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PatchVmRequestPoliciesType0 | Unset, data)

        policies = _parse_policies(d.pop("policies", UNSET))

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

        pool_name = d.pop("pool_name", UNSET)

        patch_vm_request = cls(
            description=description,
            immutable=immutable,
            resources=resources,
            ssh_public_keys=ssh_public_keys,
            policies=policies,
            pool_id=pool_id,
            pool_name=pool_name,
        )

        return patch_vm_request
