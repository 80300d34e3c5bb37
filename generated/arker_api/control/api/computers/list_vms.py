from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from ...models.error_envelope import ErrorEnvelope
from ...models.vm_page import VmPage
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.vm_sort import VmSort

HOST: Final[Literal["regional", "global"]] = "global"
"""The host that answers this operation."""


def build(
    *,
    limit: int | Unset = 25,
    offset: int | Unset = 0,
    q: str | Unset = UNSET,
    sort: VmSort | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["offset"] = offset

    params["q"] = q

    json_sort: str | Unset = UNSET
    if not isinstance(sort, Unset):
        json_sort = sort

    params["sort"] = json_sort

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/vms/list",
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
) -> ErrorEnvelope | VmPage:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorEnvelope.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | VmPage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 25,
    offset: int | Unset = 0,
    q: str | Unset = UNSET,
    sort: VmSort | Unset = UNSET,
) -> Response[ErrorEnvelope | VmPage]:
    """List the organization's computers

     A page of the computers of the key's organization, over all regions.

    Errors: `bad_request`, `unauthorized`, `rate_limited`.

    Args:
        limit (int | Unset):  Default: 25.
        offset (int | Unset):  Default: 0.
        q (str | Unset):
        sort (VmSort | Unset): By age or by region; `-` reverses the order.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | VmPage]
    """

    response = client.get_httpx_client().request(
        **build(
            limit=limit,
            offset=offset,
            q=q,
            sort=sort,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 25,
    offset: int | Unset = 0,
    q: str | Unset = UNSET,
    sort: VmSort | Unset = UNSET,
) -> ErrorEnvelope | VmPage | None:
    """List the organization's computers

     A page of the computers of the key's organization, over all regions.

    Errors: `bad_request`, `unauthorized`, `rate_limited`.

    Args:
        limit (int | Unset):  Default: 25.
        offset (int | Unset):  Default: 0.
        q (str | Unset):
        sort (VmSort | Unset): By age or by region; `-` reverses the order.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | VmPage
    """

    return (
        sync_detailed(
            client=client,
            limit=limit,
            offset=offset,
            q=q,
            sort=sort,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 25,
    offset: int | Unset = 0,
    q: str | Unset = UNSET,
    sort: VmSort | Unset = UNSET,
) -> Response[ErrorEnvelope | VmPage]:
    """List the organization's computers

     A page of the computers of the key's organization, over all regions.

    Errors: `bad_request`, `unauthorized`, `rate_limited`.

    Args:
        limit (int | Unset):  Default: 25.
        offset (int | Unset):  Default: 0.
        q (str | Unset):
        sort (VmSort | Unset): By age or by region; `-` reverses the order.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | VmPage]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            limit=limit,
            offset=offset,
            q=q,
            sort=sort,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 25,
    offset: int | Unset = 0,
    q: str | Unset = UNSET,
    sort: VmSort | Unset = UNSET,
) -> ErrorEnvelope | VmPage | None:
    """List the organization's computers

     A page of the computers of the key's organization, over all regions.

    Errors: `bad_request`, `unauthorized`, `rate_limited`.

    Args:
        limit (int | Unset):  Default: 25.
        offset (int | Unset):  Default: 0.
        q (str | Unset):
        sort (VmSort | Unset): By age or by region; `-` reverses the order.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | VmPage
    """

    return (
        await asyncio_detailed(
            client=client,
            limit=limit,
            offset=offset,
            q=q,
            sort=sort,
        )
    ).parsed
