"""`arker_api` by itself, as users of openapi-python-client know it, and what this package's client builds on."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import arker_api.control.api
import arker_api.regional.api
import arker_api.v03.api
import httpx
import pytest
from arker_api.control.api.service import whoami
from arker_api.control.models import ErrorEnvelope as ControlError
from arker_api.regional import AuthenticatedClient
from arker_api.regional.api.computers import delete_vm, fork_vm, get_vm
from arker_api.regional.api.files import sync_files
from arker_api.regional.api.runs import run_command
from arker_api.regional.models import (
    ErrorEnvelope,
    ForkRequest,
    ForkResponse,
    InlineFile,
    ReadRequest,
    RunRequest,
    RunResponse,
    Vm,
)

from arker.ids import SOURCE_ALIASES
from arker.local.process.launcher import Deployment

KEY = "ark_" + "s3cr3t" * 6


def operations() -> Iterator[ModuleType]:
    for package in (arker_api.regional.api, arker_api.control.api, arker_api.v03.api):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.ispkg:
                yield importlib.import_module(found.name)


@pytest.fixture
def client(deployment: Deployment) -> Iterator[AuthenticatedClient]:
    with AuthenticatedClient(
        base_url=deployment.base_url, token=deployment.api_key, timeout=httpx.Timeout(60)
    ) as client:
        yield client


def test_blocking_forms(client: AuthenticatedClient) -> None:
    forked = fork_vm.sync(SOURCE_ALIASES["arkuntu"], client=client, body=ForkRequest(is_public=False))
    assert isinstance(forked, ForkResponse)
    ran = run_command.sync(forked.vm_id, client=client, body=RunRequest("echo $((6 * 7))", 0))
    assert isinstance(ran, RunResponse)
    assert ran.stdout == "42\n"
    vm = get_vm.sync_detailed(forked.vm_id, client=client)
    assert vm.status_code == 200
    assert isinstance(vm.parsed, Vm)
    delete_vm.sync(forked.vm_id, client=client)
    gone = get_vm.sync_detailed(forked.vm_id, client=client)
    assert gone.status_code == 404
    assert isinstance(gone.parsed, ErrorEnvelope)
    assert gone.parsed.error.code == "not_found"


async def test_asyncio_forms(deployment: Deployment) -> None:
    async with AuthenticatedClient(
        base_url=deployment.base_url, token=deployment.api_key, timeout=httpx.Timeout(60)
    ) as client:
        forked = await fork_vm.asyncio(
            SOURCE_ALIASES["arkuntu"], client=client, body=ForkRequest(is_public=False)
        )
        assert isinstance(forked, ForkResponse)
        await run_command.asyncio(forked.vm_id, client=client, body=RunRequest("echo -n there > there", 0))
        read = await sync_files.asyncio_detailed(
            forked.vm_id, client=client, body=ReadRequest(op="read", path="/home/user/there")
        )
        assert isinstance(read.parsed, InlineFile)
        assert read.parsed.content == "there"
        await delete_vm.asyncio(forked.vm_id, client=client)


def test_the_key_is_in_no_repr(client: AuthenticatedClient) -> None:
    secret = AuthenticatedClient(
        base_url="http://127.0.0.1:1", token=KEY, headers={"X-Key": KEY}, cookies={"key": KEY}
    )
    # The header with the key is set when the first request is made.
    secret.get_httpx_client()
    shown = [repr(secret), str(secret), repr(secret.with_headers({"Y": KEY})), repr([secret])]
    assert not any("s3cr3t" in text for text in shown)
    assert "127.0.0.1" in shown[0]


@pytest.mark.parametrize("operation", list(operations()), ids=lambda operation: operation.__name__)
def test_every_operation_has_what_our_client_builds_on(operation: ModuleType) -> None:
    is_global = ".control." in operation.__name__ or ".organization." in operation.__name__
    assert ("global" if is_global else "regional") == operation.HOST
    assert callable(operation.build)
    assert callable(operation.parse)


def test_a_request_is_built_and_its_answer_parsed(deployment: Deployment) -> None:
    assert fork_vm.build("a/b", body=ForkRequest(False, name="x"), idempotency_key="k") == {
        "method": "post",
        "url": "/api/v1/vms/a%2Fb/fork",
        "json": {"is_public": False, "name": "x"},
        "headers": {"Idempotency-Key": "k", "Content-Type": "application/json"},
    }
    with httpx.Client(
        base_url=deployment.base_url, headers={"Authorization": f"Bearer {deployment.api_key}"}
    ) as client:
        answer = client.request(**whoami.build())
        assert whoami.parse(answer.json()).org_name == "Local"
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        whoami.parse([])
    assert not isinstance(whoami.parse(answer.json()), ControlError)
