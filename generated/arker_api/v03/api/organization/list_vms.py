from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from ...models.error_response import ErrorResponse
from ...models.vm_page import VmPage
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.list_vms_state import ListVmsState

HOST: Final[Literal["regional", "global"]] = "global"
"""The host that answers this operation."""


def build(
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    region: str | Unset = UNSET,
    provider: str | Unset = UNSET,
    org_id: str | Unset = UNSET,
    public: bool | Unset = UNSET,
    state: ListVmsState | Unset = UNSET,
    platform: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    pool_id: UUID | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params["region"] = region

    params["provider"] = provider

    params["org_id"] = org_id

    params["public"] = public

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state

    params["state"] = json_state

    params["platform"] = platform

    json_created_after: str | Unset = UNSET
    if not isinstance(created_after, Unset):
        json_created_after = created_after.isoformat()
    params["created_after"] = json_created_after

    json_created_before: str | Unset = UNSET
    if not isinstance(created_before, Unset):
        json_created_before = created_before.isoformat()
    params["created_before"] = json_created_before

    json_pool_id: str | Unset = UNSET
    if not isinstance(pool_id, Unset):
        json_pool_id = str(pool_id)
    params["pool_id"] = json_pool_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/vms",
        "params": params,
    }

    return _kwargs


def parse(body: Any) -> VmPage:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = VmPage.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | VmPage:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | VmPage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    region: str | Unset = UNSET,
    provider: str | Unset = UNSET,
    org_id: str | Unset = UNSET,
    public: bool | Unset = UNSET,
    state: ListVmsState | Unset = UNSET,
    platform: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    pool_id: UUID | Unset = UNSET,
) -> Response[ErrorResponse | VmPage]:
    """List computers

     The organization's computers, newest first; with `public` and `org_id`, the public computers of
    another
    organization. Filters are combined with AND.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        region (str | Unset):
        provider (str | Unset):
        org_id (str | Unset):
        public (bool | Unset):
        state (ListVmsState | Unset):
        platform (str | Unset):
        created_after (datetime.datetime | Unset):
        created_before (datetime.datetime | Unset):
        pool_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | VmPage]
    """

    response = client.get_httpx_client().request(
        **build(
            cursor=cursor,
            limit=limit,
            region=region,
            provider=provider,
            org_id=org_id,
            public=public,
            state=state,
            platform=platform,
            created_after=created_after,
            created_before=created_before,
            pool_id=pool_id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    region: str | Unset = UNSET,
    provider: str | Unset = UNSET,
    org_id: str | Unset = UNSET,
    public: bool | Unset = UNSET,
    state: ListVmsState | Unset = UNSET,
    platform: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    pool_id: UUID | Unset = UNSET,
) -> ErrorResponse | VmPage | None:
    """List computers

     The organization's computers, newest first; with `public` and `org_id`, the public computers of
    another
    organization. Filters are combined with AND.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        region (str | Unset):
        provider (str | Unset):
        org_id (str | Unset):
        public (bool | Unset):
        state (ListVmsState | Unset):
        platform (str | Unset):
        created_after (datetime.datetime | Unset):
        created_before (datetime.datetime | Unset):
        pool_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | VmPage
    """

    return (
        sync_detailed(
            client=client,
            cursor=cursor,
            limit=limit,
            region=region,
            provider=provider,
            org_id=org_id,
            public=public,
            state=state,
            platform=platform,
            created_after=created_after,
            created_before=created_before,
            pool_id=pool_id,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    region: str | Unset = UNSET,
    provider: str | Unset = UNSET,
    org_id: str | Unset = UNSET,
    public: bool | Unset = UNSET,
    state: ListVmsState | Unset = UNSET,
    platform: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    pool_id: UUID | Unset = UNSET,
) -> Response[ErrorResponse | VmPage]:
    """List computers

     The organization's computers, newest first; with `public` and `org_id`, the public computers of
    another
    organization. Filters are combined with AND.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        region (str | Unset):
        provider (str | Unset):
        org_id (str | Unset):
        public (bool | Unset):
        state (ListVmsState | Unset):
        platform (str | Unset):
        created_after (datetime.datetime | Unset):
        created_before (datetime.datetime | Unset):
        pool_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | VmPage]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            cursor=cursor,
            limit=limit,
            region=region,
            provider=provider,
            org_id=org_id,
            public=public,
            state=state,
            platform=platform,
            created_after=created_after,
            created_before=created_before,
            pool_id=pool_id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    region: str | Unset = UNSET,
    provider: str | Unset = UNSET,
    org_id: str | Unset = UNSET,
    public: bool | Unset = UNSET,
    state: ListVmsState | Unset = UNSET,
    platform: str | Unset = UNSET,
    created_after: datetime.datetime | Unset = UNSET,
    created_before: datetime.datetime | Unset = UNSET,
    pool_id: UUID | Unset = UNSET,
) -> ErrorResponse | VmPage | None:
    """List computers

     The organization's computers, newest first; with `public` and `org_id`, the public computers of
    another
    organization. Filters are combined with AND.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        region (str | Unset):
        provider (str | Unset):
        org_id (str | Unset):
        public (bool | Unset):
        state (ListVmsState | Unset):
        platform (str | Unset):
        created_after (datetime.datetime | Unset):
        created_before (datetime.datetime | Unset):
        pool_id (UUID | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | VmPage
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            limit=limit,
            region=region,
            provider=provider,
            org_id=org_id,
            public=public,
            state=state,
            platform=platform,
            created_after=created_after,
            created_before=created_before,
            pool_id=pool_id,
        )
    ).parsed
