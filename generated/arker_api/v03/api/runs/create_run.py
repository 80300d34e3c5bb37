from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.run_answer import RunAnswer
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.run_request import RunRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    *,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/vms/{id}/runs".format(
            id=quote(str(id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> RunAnswer:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = RunAnswer.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | RunAnswer:
    if response.status_code == 200:
        return parse(response.json())
    if response.status_code == 202:
        response_202 = RunAnswer.from_dict(response.json())

        return response_202

    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | RunAnswer]:
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
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorResponse | RunAnswer]:
    """Run a command

     Runs a command in a session. Returns the result (200) if the command ends within
    `time_to_background` seconds,
    and otherwise the id of the run (202). A session runs one command at a time; further ones wait as
    `pending`.
    Different sessions run commands at the same time.

    With `signal` and no command, sends the signal to the foreground processes of the session.

    A request that is repeated with the same `Idempotency-Key` returns the same run and starts nothing.

    Args:
        id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command, or a signal. A null is the same as a field that is left out.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | RunAnswer]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorResponse | RunAnswer | None:
    """Run a command

     Runs a command in a session. Returns the result (200) if the command ends within
    `time_to_background` seconds,
    and otherwise the id of the run (202). A session runs one command at a time; further ones wait as
    `pending`.
    Different sessions run commands at the same time.

    With `signal` and no command, sends the signal to the foreground processes of the session.

    A request that is repeated with the same `Idempotency-Key` returns the same run and starts nothing.

    Args:
        id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command, or a signal. A null is the same as a field that is left out.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | RunAnswer
    """

    return (
        sync_detailed(
            id=id,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorResponse | RunAnswer]:
    """Run a command

     Runs a command in a session. Returns the result (200) if the command ends within
    `time_to_background` seconds,
    and otherwise the id of the run (202). A session runs one command at a time; further ones wait as
    `pending`.
    Different sessions run commands at the same time.

    With `signal` and no command, sends the signal to the foreground processes of the session.

    A request that is repeated with the same `Idempotency-Key` returns the same run and starts nothing.

    Args:
        id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command, or a signal. A null is the same as a field that is left out.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | RunAnswer]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorResponse | RunAnswer | None:
    """Run a command

     Runs a command in a session. Returns the result (200) if the command ends within
    `time_to_background` seconds,
    and otherwise the id of the run (202). A session runs one command at a time; further ones wait as
    `pending`.
    Different sessions run commands at the same time.

    With `signal` and no command, sends the signal to the foreground processes of the session.

    A request that is repeated with the same `Idempotency-Key` returns the same run and starts nothing.

    Args:
        id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command, or a signal. A null is the same as a field that is left out.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | RunAnswer
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
