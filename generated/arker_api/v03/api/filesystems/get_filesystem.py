from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.filesystem import Filesystem
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    filesystem_id: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/filesystems/{filesystem_id}".format(
            filesystem_id=quote(str(filesystem_id), safe=""),
        ),
    }

    return _kwargs


def parse(body: Any) -> Filesystem:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = Filesystem.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | Filesystem:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | Filesystem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    filesystem_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[ErrorResponse | Filesystem]:
    """Get a file system

     The file system.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Filesystem]
    """

    response = client.get_httpx_client().request(
        **build(
            filesystem_id=filesystem_id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    filesystem_id: str,
    *,
    client: AuthenticatedClient,
) -> ErrorResponse | Filesystem | None:
    """Get a file system

     The file system.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Filesystem
    """

    return (
        sync_detailed(
            filesystem_id=filesystem_id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    filesystem_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[ErrorResponse | Filesystem]:
    """Get a file system

     The file system.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Filesystem]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            filesystem_id=filesystem_id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    filesystem_id: str,
    *,
    client: AuthenticatedClient,
) -> ErrorResponse | Filesystem | None:
    """Get a file system

     The file system.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Filesystem
    """

    return (
        await asyncio_detailed(
            filesystem_id=filesystem_id,
            client=client,
        )
    ).parsed
