"""Published clients of contract 0.3 refuse resources with fields that they do not know."""

from __future__ import annotations

from pathlib import Path

import yaml

SPEC = Path(__file__).parents[2] / "openapi" / "v03.yaml"
#: The fields of each resource in the document that client 1.3.0 contains; `make compat` compares them with it.
PUBLISHED = {
    name: frozenset(fields.split())
    for name, fields in {
        "ApiKey": "action api_key_id created_at pool_id role scopes vm_id",
        "CreatedApiKey": "action api_key_id created_at key pool_id role scopes vm_id",
        "Filesystem": "created_at filesystem_id name owner_org_id provider region size_bytes",
        "ManifestEntry": "hash mode path size",
        "Mount": "filesystem_id mount_id path region state state_detail vm_id",
        "Run": "command completed_at exit_code fail_reason provider region retry_count run_id session_id "
        "source_org_id started_at state stderr stderr_encoding stdout stdout_encoding vm_id vm_name",
        "RunSummary": "command completed_at exit_code fail_reason provider region run_id session_id "
        "source_org_id started_at state vm_id vm_name",
        "Session": "cwd env provider region session_id session_idx source_org_id started_at state vm_id vm_name",
        "Vm": "compatible_platforms created_at description gpu_platforms hostname immutable last_active_at "
        "max_disk_mib max_memory_mib max_vcpus min_disk_mib min_memory_mib min_vcpus name network "
        "owner_org_id platform policies pool_id provider public region resources root_source_vm_id "
        "root_source_vm_name sessions state vm_id",
        "VmNetwork": "ssh_public_keys",
        "VmResources": "disk_mib gpu_count gpu_sms gpu_vram_mib memory_mib vcpu",
    }.items()
}


def test_resources_have_the_published_fields_only() -> None:
    schemas = yaml.safe_load(SPEC.read_text())["components"]["schemas"]
    unknown = {name: schemas[name]["properties"].keys() - fields for name, fields in PUBLISHED.items()}
    refused = {name: sorted(fields) for name, fields in unknown.items() if fields}
    assert not refused, (
        f"published clients refuse answers with {refused}: leave these fields out of v03.yaml, and send them only in "
        "answers to requests with the header `Arker-Local: 1`, as `_ours` in arker/local/http/v03/vms.py does"
    )
