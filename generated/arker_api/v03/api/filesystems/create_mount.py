from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.mount import Mount
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.mount_create_request import MountCreateRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    *,
    body: MountCreateRequest,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/vms/{id}/mounts".format(
            id=quote(str(id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> Mount:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = Mount.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | Mount:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | Mount]:
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
    body: MountCreateRequest,
) -> Response[ErrorResponse | Mount]:
    """Mount a file system

     Mounts a file system at a path of the computer. Repeating the request returns the existing mount;
    another file
    system at the path, or this one at another path, is `conflict`.

    Args:
        id (str):
        body (MountCreateRequest): A file system to mount, and its path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Mount]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            body=body,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    *,
    client: AuthenticatedClient,
    body: MountCreateRequest,
) -> ErrorResponse | Mount | None:
    """Mount a file system

     Mounts a file system at a path of the computer. Repeating the request returns the existing mount;
    another file
    system at the path, or this one at another path, is `conflict`.

    Args:
        id (str):
        body (MountCreateRequest): A file system to mount, and its path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Mount
    """

    return (
        sync_detailed(
            id=id,
            client=client,
            body=body,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
    body: MountCreateRequest,
) -> Response[ErrorResponse | Mount]:
    """Mount a file system

     Mounts a file system at a path of the computer. Repeating the request returns the existing mount;
    another file
    system at the path, or this one at another path, is `conflict`.

    Args:
        id (str):
        body (MountCreateRequest): A file system to mount, and its path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Mount]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            body=body,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    *,
    client: AuthenticatedClient,
    body: MountCreateRequest,
) -> ErrorResponse | Mount | None:
    """Mount a file system

     Mounts a file system at a path of the computer. Repeating the request returns the existing mount;
    another file
    system at the path, or this one at another path, is `conflict`.

    Args:
        id (str):
        body (MountCreateRequest): A file system to mount, and its path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Mount
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            body=body,
        )
    ).parsed
