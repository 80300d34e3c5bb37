from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.deleted import Deleted
from ...models.error_response import ErrorResponse
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    mount_id: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/vms/{id}/mounts/{mount_id}".format(
            id=quote(str(id), safe=""),
            mount_id=quote(str(mount_id), safe=""),
        ),
    }

    return _kwargs


def parse(body: Any) -> Deleted:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = Deleted.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Deleted | ErrorResponse:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Deleted | ErrorResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    mount_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Deleted | ErrorResponse]:
    """Remove a mount

     Removes the file system from the computer. Its files are kept.

    Args:
        id (str):
        mount_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Deleted | ErrorResponse]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            mount_id=mount_id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    mount_id: str,
    *,
    client: AuthenticatedClient,
) -> Deleted | ErrorResponse | None:
    """Remove a mount

     Removes the file system from the computer. Its files are kept.

    Args:
        id (str):
        mount_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Deleted | ErrorResponse
    """

    return (
        sync_detailed(
            id=id,
            mount_id=mount_id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    mount_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Deleted | ErrorResponse]:
    """Remove a mount

     Removes the file system from the computer. Its files are kept.

    Args:
        id (str):
        mount_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Deleted | ErrorResponse]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            mount_id=mount_id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    mount_id: str,
    *,
    client: AuthenticatedClient,
) -> Deleted | ErrorResponse | None:
    """Remove a mount

     Removes the file system from the computer. Its files are kept.

    Args:
        id (str):
        mount_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Deleted | ErrorResponse
    """

    return (
        await asyncio_detailed(
            id=id,
            mount_id=mount_id,
            client=client,
        )
    ).parsed
