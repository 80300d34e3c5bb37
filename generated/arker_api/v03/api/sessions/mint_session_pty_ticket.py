from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.pty_ticket import PtyTicket
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    sid: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/vms/{id}/sessions/{sid}/pty-ticket".format(
            id=quote(str(id), safe=""),
            sid=quote(str(sid), safe=""),
        ),
    }

    return _kwargs


def parse(body: Any) -> PtyTicket:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = PtyTicket.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | PtyTicket:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | PtyTicket]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
) -> Response[ErrorResponse | PtyTicket]:
    """Get a ticket for a session's terminal

     A short-lived ticket that replaces the key in the URL of the terminal.

    Args:
        id (str):
        sid (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | PtyTicket]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            sid=sid,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
) -> ErrorResponse | PtyTicket | None:
    """Get a ticket for a session's terminal

     A short-lived ticket that replaces the key in the URL of the terminal.

    Args:
        id (str):
        sid (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | PtyTicket
    """

    return (
        sync_detailed(
            id=id,
            sid=sid,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
) -> Response[ErrorResponse | PtyTicket]:
    """Get a ticket for a session's terminal

     A short-lived ticket that replaces the key in the URL of the terminal.

    Args:
        id (str):
        sid (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | PtyTicket]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            sid=sid,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
) -> ErrorResponse | PtyTicket | None:
    """Get a ticket for a session's terminal

     A short-lived ticket that replaces the key in the URL of the terminal.

    Args:
        id (str):
        sid (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | PtyTicket
    """

    return (
        await asyncio_detailed(
            id=id,
            sid=sid,
            client=client,
        )
    ).parsed
