from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_envelope import ErrorEnvelope
from ...models.fork_response import ForkResponse
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.fork_request import ForkRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    vm_id: str,
    *,
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/vms/{vm_id}/fork".format(
            vm_id=quote(str(vm_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> ForkResponse:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = ForkResponse.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorEnvelope | ForkResponse:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorEnvelope.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | ForkResponse]:
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
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorEnvelope | ForkResponse]:
    """Fork a computer

     Creates a computer that starts with the files of this one, in constant time whatever their size
    (copy on
    write). Parent and child are independent from then on. Public computers, such as the base image
    `arkuntu`
    (`01KQBYKEV5WJ7YB010603T1DCT_d8c0`), can be forked by everybody; others only by their organization.

    With an `Idempotency-Key`, the same request under the same key answers what the first one made.

    Errors: `bad_request`, `unauthorized`, `payment_required`, `forbidden`, `not_found`,
    `idempotency_conflict`,
    `quota_exceeded`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (ForkRequest): How the child differs from its parent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | ForkResponse]
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
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorEnvelope | ForkResponse | None:
    """Fork a computer

     Creates a computer that starts with the files of this one, in constant time whatever their size
    (copy on
    write). Parent and child are independent from then on. Public computers, such as the base image
    `arkuntu`
    (`01KQBYKEV5WJ7YB010603T1DCT_d8c0`), can be forked by everybody; others only by their organization.

    With an `Idempotency-Key`, the same request under the same key answers what the first one made.

    Errors: `bad_request`, `unauthorized`, `payment_required`, `forbidden`, `not_found`,
    `idempotency_conflict`,
    `quota_exceeded`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (ForkRequest): How the child differs from its parent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | ForkResponse
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
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorEnvelope | ForkResponse]:
    """Fork a computer

     Creates a computer that starts with the files of this one, in constant time whatever their size
    (copy on
    write). Parent and child are independent from then on. Public computers, such as the base image
    `arkuntu`
    (`01KQBYKEV5WJ7YB010603T1DCT_d8c0`), can be forked by everybody; others only by their organization.

    With an `Idempotency-Key`, the same request under the same key answers what the first one made.

    Errors: `bad_request`, `unauthorized`, `payment_required`, `forbidden`, `not_found`,
    `idempotency_conflict`,
    `quota_exceeded`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (ForkRequest): How the child differs from its parent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | ForkResponse]
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
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorEnvelope | ForkResponse | None:
    """Fork a computer

     Creates a computer that starts with the files of this one, in constant time whatever their size
    (copy on
    write). Parent and child are independent from then on. Public computers, such as the base image
    `arkuntu`
    (`01KQBYKEV5WJ7YB010603T1DCT_d8c0`), can be forked by everybody; others only by their organization.

    With an `Idempotency-Key`, the same request under the same key answers what the first one made.

    Errors: `bad_request`, `unauthorized`, `payment_required`, `forbidden`, `not_found`,
    `idempotency_conflict`,
    `quota_exceeded`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        idempotency_key (str | Unset):
        body (ForkRequest): How the child differs from its parent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | ForkResponse
    """

    return (
        await asyncio_detailed(
            vm_id=vm_id,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
