from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.session_patched import SessionPatched
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.patch_session_request import PatchSessionRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    sid: str,
    *,
    body: PatchSessionRequest,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "patch",
        "url": "/v1/vms/{id}/sessions/{sid}".format(
            id=quote(str(id), safe=""),
            sid=quote(str(sid), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> SessionPatched:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = SessionPatched.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | SessionPatched:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | SessionPatched]:
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
    body: PatchSessionRequest,
) -> Response[ErrorResponse | SessionPatched]:
    """Resize a session's terminal

     Sets the size of the terminal (`cols` and `rows` together), and after how long without an attachment
    it ends.

    Args:
        id (str):
        sid (str):
        body (PatchSessionRequest): Changes to a session.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | SessionPatched]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            sid=sid,
            body=body,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
    body: PatchSessionRequest,
) -> ErrorResponse | SessionPatched | None:
    """Resize a session's terminal

     Sets the size of the terminal (`cols` and `rows` together), and after how long without an attachment
    it ends.

    Args:
        id (str):
        sid (str):
        body (PatchSessionRequest): Changes to a session.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | SessionPatched
    """

    return (
        sync_detailed(
            id=id,
            sid=sid,
            client=client,
            body=body,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
    body: PatchSessionRequest,
) -> Response[ErrorResponse | SessionPatched]:
    """Resize a session's terminal

     Sets the size of the terminal (`cols` and `rows` together), and after how long without an attachment
    it ends.

    Args:
        id (str):
        sid (str):
        body (PatchSessionRequest): Changes to a session.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | SessionPatched]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            sid=sid,
            body=body,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    sid: str,
    *,
    client: AuthenticatedClient,
    body: PatchSessionRequest,
) -> ErrorResponse | SessionPatched | None:
    """Resize a session's terminal

     Sets the size of the terminal (`cols` and `rows` together), and after how long without an attachment
    it ends.

    Args:
        id (str):
        sid (str):
        body (PatchSessionRequest): Changes to a session.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | SessionPatched
    """

    return (
        await asyncio_detailed(
            id=id,
            sid=sid,
            client=client,
            body=body,
        )
    ).parsed
