from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.session import Session
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.create_session_request import CreateSessionRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    *,
    body: CreateSessionRequest,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/vms/{id}/sessions".format(
            id=quote(str(id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> Session:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = Session.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | Session:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | Session]:
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
    body: CreateSessionRequest,
) -> Response[ErrorResponse | Session]:
    """Create a session

     Creates a shell with an initial folder and initial variables. `pty`, `cols`, `rows` and `command`
    are only hints.

    Args:
        id (str):
        body (CreateSessionRequest): The initial state of a session. A null is the same as a
            missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Session]
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
    body: CreateSessionRequest,
) -> ErrorResponse | Session | None:
    """Create a session

     Creates a shell with an initial folder and initial variables. `pty`, `cols`, `rows` and `command`
    are only hints.

    Args:
        id (str):
        body (CreateSessionRequest): The initial state of a session. A null is the same as a
            missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Session
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
    body: CreateSessionRequest,
) -> Response[ErrorResponse | Session]:
    """Create a session

     Creates a shell with an initial folder and initial variables. `pty`, `cols`, `rows` and `command`
    are only hints.

    Args:
        id (str):
        body (CreateSessionRequest): The initial state of a session. A null is the same as a
            missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Session]
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
    body: CreateSessionRequest,
) -> ErrorResponse | Session | None:
    """Create a session

     Creates a shell with an initial folder and initial variables. `pty`, `cols`, `rows` and `command`
    are only hints.

    Args:
        id (str):
        body (CreateSessionRequest): The initial state of a session. A null is the same as a
            missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Session
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            body=body,
        )
    ).parsed
