"""Contains all the data models used in inputs/outputs"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api_key import ApiKey
    from .api_key_list import ApiKeyList
    from .api_key_scope import ApiKeyScope
    from .byte_range import ByteRange
    from .cancelled import Cancelled
    from .create_api_key_request import CreateApiKeyRequest
    from .create_session_request import CreateSessionRequest
    from .create_session_request_env_type_0 import CreateSessionRequestEnvType0
    from .created_api_key import CreatedApiKey
    from .deleted import Deleted
    from .error import Error
    from .error_details import ErrorDetails
    from .error_response import ErrorResponse
    from .filesystem import Filesystem
    from .filesystem_create_request import FilesystemCreateRequest
    from .filesystem_page import FilesystemPage
    from .fork_request import ForkRequest
    from .fork_request_layers_type_0_item import ForkRequestLayersType0Item
    from .fork_request_policies_type_0 import ForkRequestPoliciesType0
    from .fork_request_registry_auth_type_0 import ForkRequestRegistryAuthType0
    from .fork_request_ssh_public_keys_type_0 import ForkRequestSshPublicKeysType0
    from .health import Health
    from .inline_file import InlineFile
    from .list_org_runs_dir import ListOrgRunsDir
    from .list_org_runs_endpoint import ListOrgRunsEndpoint
    from .list_org_runs_sort import ListOrgRunsSort
    from .list_runs_state import ListRunsState
    from .list_sessions_state import ListSessionsState
    from .list_vms_state import ListVmsState
    from .manifest import Manifest
    from .manifest_entry import ManifestEntry
    from .manifest_request import ManifestRequest
    from .matched_request import MatchedRequest
    from .mount import Mount
    from .mount_create_request import MountCreateRequest
    from .mount_page import MountPage
    from .org_run import OrgRun
    from .org_runs import OrgRuns
    from .patch_session_request import PatchSessionRequest
    from .patch_vm_request import PatchVmRequest
    from .patch_vm_request_policies_type_0 import PatchVmRequestPoliciesType0
    from .patch_vm_request_ssh_public_keys_type_0 import (
        PatchVmRequestSshPublicKeysType0,
    )
    from .pty_ticket import PtyTicket
    from .read_request import ReadRequest
    from .recovery import Recovery
    from .recovery_context import RecoveryContext
    from .region import Region
    from .region_list import RegionList
    from .resources_input import ResourcesInput
    from .run import Run
    from .run_answer import RunAnswer
    from .run_page import RunPage
    from .run_request import RunRequest
    from .run_request_policies_type_0 import RunRequestPoliciesType0
    from .run_request_signal_type_0 import RunRequestSignalType0
    from .run_summary import RunSummary
    from .session import Session
    from .session_env_type_0 import SessionEnvType0
    from .session_page import SessionPage
    from .session_patched import SessionPatched
    from .signed_file import SignedFile
    from .vm import Vm
    from .vm_network import VmNetwork
    from .vm_network_ssh_public_keys_item import VmNetworkSshPublicKeysItem
    from .vm_page import VmPage
    from .vm_policies_type_0 import VmPoliciesType0
    from .vm_resources import VmResources
    from .whoami import Whoami
    from .write_chunk import WriteChunk
    from .write_commit import WriteCommit
    from .write_error import WriteError
    from .write_error_details import WriteErrorDetails
    from .write_request import WriteRequest
    from .write_result import WriteResult
    from .write_upload import WriteUpload
    from .written import Written

__all__ = (
    "ApiKey",
    "ApiKeyList",
    "ApiKeyScope",
    "ByteRange",
    "Cancelled",
    "CreateApiKeyRequest",
    "CreatedApiKey",
    "CreateSessionRequest",
    "CreateSessionRequestEnvType0",
    "Deleted",
    "Error",
    "ErrorDetails",
    "ErrorResponse",
    "Filesystem",
    "FilesystemCreateRequest",
    "FilesystemPage",
    "ForkRequest",
    "ForkRequestLayersType0Item",
    "ForkRequestPoliciesType0",
    "ForkRequestRegistryAuthType0",
    "ForkRequestSshPublicKeysType0",
    "Health",
    "InlineFile",
    "ListOrgRunsDir",
    "ListOrgRunsEndpoint",
    "ListOrgRunsSort",
    "ListRunsState",
    "ListSessionsState",
    "ListVmsState",
    "Manifest",
    "ManifestEntry",
    "ManifestRequest",
    "MatchedRequest",
    "Mount",
    "MountCreateRequest",
    "MountPage",
    "OrgRun",
    "OrgRuns",
    "PatchSessionRequest",
    "PatchVmRequest",
    "PatchVmRequestPoliciesType0",
    "PatchVmRequestSshPublicKeysType0",
    "PtyTicket",
    "ReadRequest",
    "Recovery",
    "RecoveryContext",
    "Region",
    "RegionList",
    "ResourcesInput",
    "Run",
    "RunAnswer",
    "RunPage",
    "RunRequest",
    "RunRequestPoliciesType0",
    "RunRequestSignalType0",
    "RunSummary",
    "Session",
    "SessionEnvType0",
    "SessionPage",
    "SessionPatched",
    "SignedFile",
    "Vm",
    "VmNetwork",
    "VmNetworkSshPublicKeysItem",
    "VmPage",
    "VmPoliciesType0",
    "VmResources",
    "Whoami",
    "WriteChunk",
    "WriteCommit",
    "WriteError",
    "WriteErrorDetails",
    "WriteRequest",
    "WriteResult",
    "WriteUpload",
    "Written",
)

_MODULES = {
    "ApiKey": ".api_key",
    "ApiKeyList": ".api_key_list",
    "ApiKeyScope": ".api_key_scope",
    "ByteRange": ".byte_range",
    "Cancelled": ".cancelled",
    "CreateApiKeyRequest": ".create_api_key_request",
    "CreateSessionRequest": ".create_session_request",
    "CreateSessionRequestEnvType0": ".create_session_request_env_type_0",
    "CreatedApiKey": ".created_api_key",
    "Deleted": ".deleted",
    "Error": ".error",
    "ErrorDetails": ".error_details",
    "ErrorResponse": ".error_response",
    "Filesystem": ".filesystem",
    "FilesystemCreateRequest": ".filesystem_create_request",
    "FilesystemPage": ".filesystem_page",
    "ForkRequest": ".fork_request",
    "ForkRequestLayersType0Item": ".fork_request_layers_type_0_item",
    "ForkRequestPoliciesType0": ".fork_request_policies_type_0",
    "ForkRequestRegistryAuthType0": ".fork_request_registry_auth_type_0",
    "ForkRequestSshPublicKeysType0": ".fork_request_ssh_public_keys_type_0",
    "Health": ".health",
    "InlineFile": ".inline_file",
    "ListOrgRunsDir": ".list_org_runs_dir",
    "ListOrgRunsEndpoint": ".list_org_runs_endpoint",
    "ListOrgRunsSort": ".list_org_runs_sort",
    "ListRunsState": ".list_runs_state",
    "ListSessionsState": ".list_sessions_state",
    "ListVmsState": ".list_vms_state",
    "Manifest": ".manifest",
    "ManifestEntry": ".manifest_entry",
    "ManifestRequest": ".manifest_request",
    "MatchedRequest": ".matched_request",
    "Mount": ".mount",
    "MountCreateRequest": ".mount_create_request",
    "MountPage": ".mount_page",
    "OrgRun": ".org_run",
    "OrgRuns": ".org_runs",
    "PatchSessionRequest": ".patch_session_request",
    "PatchVmRequest": ".patch_vm_request",
    "PatchVmRequestPoliciesType0": ".patch_vm_request_policies_type_0",
    "PatchVmRequestSshPublicKeysType0": ".patch_vm_request_ssh_public_keys_type_0",
    "PtyTicket": ".pty_ticket",
    "ReadRequest": ".read_request",
    "Recovery": ".recovery",
    "RecoveryContext": ".recovery_context",
    "Region": ".region",
    "RegionList": ".region_list",
    "ResourcesInput": ".resources_input",
    "Run": ".run",
    "RunAnswer": ".run_answer",
    "RunPage": ".run_page",
    "RunRequest": ".run_request",
    "RunRequestPoliciesType0": ".run_request_policies_type_0",
    "RunRequestSignalType0": ".run_request_signal_type_0",
    "RunSummary": ".run_summary",
    "Session": ".session",
    "SessionEnvType0": ".session_env_type_0",
    "SessionPage": ".session_page",
    "SessionPatched": ".session_patched",
    "SignedFile": ".signed_file",
    "Vm": ".vm",
    "VmNetwork": ".vm_network",
    "VmNetworkSshPublicKeysItem": ".vm_network_ssh_public_keys_item",
    "VmPage": ".vm_page",
    "VmPoliciesType0": ".vm_policies_type_0",
    "VmResources": ".vm_resources",
    "Whoami": ".whoami",
    "WriteChunk": ".write_chunk",
    "WriteCommit": ".write_commit",
    "WriteError": ".write_error",
    "WriteErrorDetails": ".write_error_details",
    "WriteRequest": ".write_request",
    "WriteResult": ".write_result",
    "WriteUpload": ".write_upload",
    "Written": ".written",
}


def __getattr__(name: str) -> Any:
    # Each is a class that attrs makes, in a millisecond; a program uses a few of them.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value
    return value
