from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.vm import Vm
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/vms/{id}".format(
            id=quote(str(id), safe=""),
        ),
    }

    return _kwargs


def parse(body: Any) -> Vm:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = Vm.from_dict(body)

    return response_200


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorResponse | Vm:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | Vm]:
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
) -> Response[ErrorResponse | Vm]:
    """Get a computer

     The computer with its sessions.

    Args:
        id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Vm]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    *,
    client: AuthenticatedClient,
) -> ErrorResponse | Vm | None:
    """Get a computer

     The computer with its sessions.

    Args:
        id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Vm
    """

    return (
        sync_detailed(
            id=id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
) -> Response[ErrorResponse | Vm]:
    """Get a computer

     The computer with its sessions.

    Args:
        id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Vm]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    *,
    client: AuthenticatedClient,
) -> ErrorResponse | Vm | None:
    """Get a computer

     The computer with its sessions.

    Args:
        id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Vm
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
        )
    ).parsed
