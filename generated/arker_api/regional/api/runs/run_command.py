from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_envelope import ErrorEnvelope
from ...models.run_response import RunResponse
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.run_request import RunRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    vm_id: str,
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
        "url": "/api/v1/vms/{vm_id}/run".format(
            vm_id=quote(str(vm_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> RunResponse:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = RunResponse.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorEnvelope | RunResponse:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorEnvelope.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | RunResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorEnvelope | RunResponse]:
    """Run a command and wait for it

     Runs a shell command in a session of the computer: a persistent shell that keeps its folder,
    variables, functions
    and aliases from one command to the next. Session `0` is the default one; another name starts
    another shell.
    A session runs one command at a time: a second one is refused with `vm_busy`. Different sessions run
    commands at
    the same time.

    A non-zero exit code is a result, not an error. Output that is not valid UTF-8 is returned as
    base64.

    A request that is repeated with the same `Idempotency-Key` returns the result of the first one and
    runs nothing.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `vm_busy`, `idempotency_conflict`,
    `payload_too_large`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command for a session's shell.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | RunResponse]
    """

    response = client.get_httpx_client().request(
        **build(
            vm_id=vm_id,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorEnvelope | RunResponse | None:
    """Run a command and wait for it

     Runs a shell command in a session of the computer: a persistent shell that keeps its folder,
    variables, functions
    and aliases from one command to the next. Session `0` is the default one; another name starts
    another shell.
    A session runs one command at a time: a second one is refused with `vm_busy`. Different sessions run
    commands at
    the same time.

    A non-zero exit code is a result, not an error. Output that is not valid UTF-8 is returned as
    base64.

    A request that is repeated with the same `Idempotency-Key` returns the result of the first one and
    runs nothing.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `vm_busy`, `idempotency_conflict`,
    `payload_too_large`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command for a session's shell.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | RunResponse
    """

    return (
        sync_detailed(
            vm_id=vm_id,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed


async def asyncio_detailed(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorEnvelope | RunResponse]:
    """Run a command and wait for it

     Runs a shell command in a session of the computer: a persistent shell that keeps its folder,
    variables, functions
    and aliases from one command to the next. Session `0` is the default one; another name starts
    another shell.
    A session runs one command at a time: a second one is refused with `vm_busy`. Different sessions run
    commands at
    the same time.

    A non-zero exit code is a result, not an error. Output that is not valid UTF-8 is returned as
    base64.

    A request that is repeated with the same `Idempotency-Key` returns the result of the first one and
    runs nothing.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `vm_busy`, `idempotency_conflict`,
    `payload_too_large`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command for a session's shell.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | RunResponse]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            vm_id=vm_id,
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: RunRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorEnvelope | RunResponse | None:
    """Run a command and wait for it

     Runs a shell command in a session of the computer: a persistent shell that keeps its folder,
    variables, functions
    and aliases from one command to the next. Session `0` is the default one; another name starts
    another shell.
    A session runs one command at a time: a second one is refused with `vm_busy`. Different sessions run
    commands at
    the same time.

    A non-zero exit code is a result, not an error. Output that is not valid UTF-8 is returned as
    base64.

    A request that is repeated with the same `Idempotency-Key` returns the result of the first one and
    runs nothing.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `vm_busy`, `idempotency_conflict`,
    `payload_too_large`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (RunRequest): A command for a session's shell.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | RunResponse
    """

    return (
        await asyncio_detailed(
            vm_id=vm_id,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
