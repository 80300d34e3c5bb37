"""The API keys of an organization."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arker_api.v03.api.organization import create_api_key, list_api_keys, revoke_api_key
from arker_api.v03.models import ApiKeyScope, CreateApiKeyRequest

from arker.errors import ArkerError
from arker.info import ApiKey, api_key, created_api_key
from arker.operations import same

from .v03 import ask

if TYPE_CHECKING:
    from .client import AsyncArker


class AsyncApiKeys:
    """The API keys of an organization. They need a deployment that speaks contract 0.3."""

    __slots__ = ("_client",)

    def __init__(self, client: AsyncArker) -> None:
        self._client = client

    async def create(self, name: str, *, vm_ids: Sequence[str] = (), timeout: float | None = None) -> ApiKey:
        """Make a key. Only this call returns the key itself.

        It is not sent again after a failure: after an error with `processed="maybe"`, check `list()` before another
        try.

        Args:
            name: The beginning of its id, 1 to 255 characters.
            vm_ids: Ids of the computers that it is limited to, 16 at most; default is all of the organization. A
                limited key can make neither computers nor keys.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `forbidden` when the client's key may make none, and any other failure.
        """
        body = CreateApiKeyRequest(name=name)
        if vm_ids:
            body.scopes = [ApiKeyScope(vm_id=vm_id) for vm_id in vm_ids]
        client = self._client
        parts = create_api_key.build(body=body)
        return await ask(client, client._budget(timeout), create_api_key, parts, created_api_key)

    async def list(self, *, timeout: float | None = None) -> builtins.list[ApiKey]:
        """Return the records of keys that are not revoked, newest first; never the keys themselves.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: any failure.
        """
        client = self._client
        return await ask(
            client,
            client._budget(timeout),
            list_api_keys,
            list_api_keys.build(),
            lambda answer: [api_key(one) for one in answer.api_keys],
        )

    async def revoke(self, key_id: str, *, timeout: float | None = None) -> None:
        """Revoke a key, at once and permanently.

        Args:
            key_id: The id of the key, as `list()` returns it; not the key itself.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found` when there is no such key, or it is revoked already, unless an earlier try of this
                call may have revoked it.
        """
        client = self._client
        budget = client._budget(timeout)
        parts = revoke_api_key.build(key_id)
        try:
            await ask(client, budget, revoke_api_key, parts, same)
        except ArkerError as error:
            if error.code != "not_found" or not budget.doubtful:
                raise
