from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.deleted import Deleted
from ...models.error_envelope import ErrorEnvelope
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    vm_id: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/api/v1/vms/{vm_id}".format(
            vm_id=quote(str(vm_id), safe=""),
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
) -> Deleted | ErrorEnvelope:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorEnvelope.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Deleted | ErrorEnvelope]:
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
) -> Response[Deleted | ErrorEnvelope]:
    """Delete a computer

     Ends everything that runs in the computer and removes its files. Its forks are not affected.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`.

    Args:
        vm_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Deleted | ErrorEnvelope]
    """

    response = client.get_httpx_client().request(
        **build(
            vm_id=vm_id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    vm_id: str,
    *,
    client: AuthenticatedClient,
) -> Deleted | ErrorEnvelope | None:
    """Delete a computer

     Ends everything that runs in the computer and removes its files. Its forks are not affected.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`.

    Args:
        vm_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Deleted | ErrorEnvelope
    """

    return (
        sync_detailed(
            vm_id=vm_id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    vm_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Deleted | ErrorEnvelope]:
    """Delete a computer

     Ends everything that runs in the computer and removes its files. Its forks are not affected.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`.

    Args:
        vm_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Deleted | ErrorEnvelope]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            vm_id=vm_id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    vm_id: str,
    *,
    client: AuthenticatedClient,
) -> Deleted | ErrorEnvelope | None:
    """Delete a computer

     Ends everything that runs in the computer and removes its files. Its forks are not affected.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`.

    Args:
        vm_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Deleted | ErrorEnvelope
    """

    return (
        await asyncio_detailed(
            vm_id=vm_id,
            client=client,
        )
    ).parsed
