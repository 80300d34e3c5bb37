from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from ...models.error_response import ErrorResponse
from ...models.vm import Vm
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.fork_request import ForkRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
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
        "url": "/v1/fork",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
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
    *,
    client: AuthenticatedClient,
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorResponse | Vm]:
    """Fork a computer

     Creates a computer from exactly one source: `source_vm_id`, `source_vm_name` or `image`. A
    `dockerfile` is
    refused; clients build it with an image and runs. Names are unique in the organization; a name that
    is taken is
    `already_exists`.

    A request that is repeated with the same `Idempotency-Key` returns the computer that the first one
    created.

    Args:
        idempotency_key (str | Unset):
        body (ForkRequest): The source and the properties of a new computer. A null is the same as
            a missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Vm]
    """

    response = client.get_httpx_client().request(
        **build(
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorResponse | Vm | None:
    """Fork a computer

     Creates a computer from exactly one source: `source_vm_id`, `source_vm_name` or `image`. A
    `dockerfile` is
    refused; clients build it with an image and runs. Names are unique in the organization; a name that
    is taken is
    `already_exists`.

    A request that is repeated with the same `Idempotency-Key` returns the computer that the first one
    created.

    Args:
        idempotency_key (str | Unset):
        body (ForkRequest): The source and the properties of a new computer. A null is the same as
            a missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Vm
    """

    return (
        sync_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorResponse | Vm]:
    """Fork a computer

     Creates a computer from exactly one source: `source_vm_id`, `source_vm_name` or `image`. A
    `dockerfile` is
    refused; clients build it with an image and runs. Names are unique in the organization; a name that
    is taken is
    `already_exists`.

    A request that is repeated with the same `Idempotency-Key` returns the computer that the first one
    created.

    Args:
        idempotency_key (str | Unset):
        body (ForkRequest): The source and the properties of a new computer. A null is the same as
            a missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | Vm]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            body=body,
            idempotency_key=idempotency_key,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: ForkRequest,
    idempotency_key: str | Unset = UNSET,
) -> ErrorResponse | Vm | None:
    """Fork a computer

     Creates a computer from exactly one source: `source_vm_id`, `source_vm_name` or `image`. A
    `dockerfile` is
    refused; clients build it with an image and runs. Names are unique in the organization; a name that
    is taken is
    `already_exists`.

    A request that is repeated with the same `Idempotency-Key` returns the computer that the first one
    created.

    Args:
        idempotency_key (str | Unset):
        body (ForkRequest): The source and the properties of a new computer. A null is the same as
            a missing field.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | Vm
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
