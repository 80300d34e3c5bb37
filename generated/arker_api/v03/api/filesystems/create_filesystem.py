from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from ...models.error_response import ErrorResponse
from ...models.filesystem import Filesystem
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.filesystem_create_request import FilesystemCreateRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    *,
    body: FilesystemCreateRequest,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/filesystems",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
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
    *,
    client: AuthenticatedClient,
    body: FilesystemCreateRequest,
) -> Response[ErrorResponse | Filesystem]:
    """Create a file system

     Creates an empty folder that exists independently of computers and can be mounted into several. A
    name that is taken is `already_exists`.

    Args:
        body (FilesystemCreateRequest): A file system to create.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Filesystem]
    """

    response = client.get_httpx_client().request(
        **build(
            body=body,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: FilesystemCreateRequest,
) -> ErrorResponse | Filesystem | None:
    """Create a file system

     Creates an empty folder that exists independently of computers and can be mounted into several. A
    name that is taken is `already_exists`.

    Args:
        body (FilesystemCreateRequest): A file system to create.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Filesystem
    """

    return (
        sync_detailed(
            client=client,
            body=body,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: FilesystemCreateRequest,
) -> Response[ErrorResponse | Filesystem]:
    """Create a file system

     Creates an empty folder that exists independently of computers and can be mounted into several. A
    name that is taken is `already_exists`.

    Args:
        body (FilesystemCreateRequest): A file system to create.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Filesystem]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            body=body,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: FilesystemCreateRequest,
) -> ErrorResponse | Filesystem | None:
    """Create a file system

     Creates an empty folder that exists independently of computers and can be mounted into several. A
    name that is taken is `already_exists`.

    Args:
        body (FilesystemCreateRequest): A file system to create.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Filesystem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
