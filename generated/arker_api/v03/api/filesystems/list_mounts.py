from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.mount_page import MountPage
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    filesystem_id: str | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params["filesystem_id"] = filesystem_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/vms/{id}/mounts".format(
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def parse(body: Any) -> MountPage:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = MountPage.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | MountPage:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | MountPage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    filesystem_id: str | Unset = UNSET,
) -> Response[ErrorResponse | MountPage]:
    """List the mounts of a computer

     The file systems that are mounted in the computer, and their paths.

    Args:
        id (str):
        cursor (str | Unset):
        limit (int | Unset):
        filesystem_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | MountPage]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            cursor=cursor,
            limit=limit,
            filesystem_id=filesystem_id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    filesystem_id: str | Unset = UNSET,
) -> ErrorResponse | MountPage | None:
    """List the mounts of a computer

     The file systems that are mounted in the computer, and their paths.

    Args:
        id (str):
        cursor (str | Unset):
        limit (int | Unset):
        filesystem_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | MountPage
    """

    return (
        sync_detailed(
            id=id,
            client=client,
            cursor=cursor,
            limit=limit,
            filesystem_id=filesystem_id,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    filesystem_id: str | Unset = UNSET,
) -> Response[ErrorResponse | MountPage]:
    """List the mounts of a computer

     The file systems that are mounted in the computer, and their paths.

    Args:
        id (str):
        cursor (str | Unset):
        limit (int | Unset):
        filesystem_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | MountPage]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            cursor=cursor,
            limit=limit,
            filesystem_id=filesystem_id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    filesystem_id: str | Unset = UNSET,
) -> ErrorResponse | MountPage | None:
    """List the mounts of a computer

     The file systems that are mounted in the computer, and their paths.

    Args:
        id (str):
        cursor (str | Unset):
        limit (int | Unset):
        filesystem_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | MountPage
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            cursor=cursor,
            limit=limit,
            filesystem_id=filesystem_id,
        )
    ).parsed
