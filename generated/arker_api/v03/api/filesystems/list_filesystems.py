from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from ...models.error_response import ErrorResponse
from ...models.filesystem_page import FilesystemPage
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    name_prefix: str | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params["name_prefix"] = name_prefix

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/filesystems",
        "params": params,
    }

    return _kwargs


def parse(body: Any) -> FilesystemPage:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = FilesystemPage.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | FilesystemPage:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | FilesystemPage]:
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
    name_prefix: str | Unset = UNSET,
) -> Response[ErrorResponse | FilesystemPage]:
    """List file systems

     The organization's file systems, newest first.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        name_prefix (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | FilesystemPage]
    """

    response = client.get_httpx_client().request(
        **build(
            cursor=cursor,
            limit=limit,
            name_prefix=name_prefix,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    name_prefix: str | Unset = UNSET,
) -> ErrorResponse | FilesystemPage | None:
    """List file systems

     The organization's file systems, newest first.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        name_prefix (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | FilesystemPage
    """

    return (
        sync_detailed(
            client=client,
            cursor=cursor,
            limit=limit,
            name_prefix=name_prefix,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    name_prefix: str | Unset = UNSET,
) -> Response[ErrorResponse | FilesystemPage]:
    """List file systems

     The organization's file systems, newest first.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        name_prefix (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | FilesystemPage]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            cursor=cursor,
            limit=limit,
            name_prefix=name_prefix,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    name_prefix: str | Unset = UNSET,
) -> ErrorResponse | FilesystemPage | None:
    """List file systems

     The organization's file systems, newest first.

    Args:
        cursor (str | Unset):
        limit (int | Unset):
        name_prefix (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | FilesystemPage
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            limit=limit,
            name_prefix=name_prefix,
        )
    ).parsed
