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
    filesystem_id: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/filesystems/{filesystem_id}".format(
            filesystem_id=quote(str(filesystem_id), safe=""),
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
    filesystem_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Deleted | ErrorResponse]:
    """Delete a file system

     Removes the file system and its files. A mounted one is refused.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Deleted | ErrorResponse]
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
) -> Deleted | ErrorResponse | None:
    """Delete a file system

     Removes the file system and its files. A mounted one is refused.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Deleted | ErrorResponse
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
) -> Response[Deleted | ErrorResponse]:
    """Delete a file system

     Removes the file system and its files. A mounted one is refused.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Deleted | ErrorResponse]
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
) -> Deleted | ErrorResponse | None:
    """Delete a file system

     Removes the file system and its files. A mounted one is refused.

    Args:
        filesystem_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Deleted | ErrorResponse
    """

    return (
        await asyncio_detailed(
            filesystem_id=filesystem_id,
            client=client,
        )
    ).parsed
