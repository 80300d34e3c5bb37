from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.cancelled import Cancelled
from ...models.error_response import ErrorResponse
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    run_id: str,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/vms/{id}/runs/{run_id}".format(
            id=quote(str(id), safe=""),
            run_id=quote(str(run_id), safe=""),
        ),
    }

    return _kwargs


def parse(body: Any) -> Cancelled:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = Cancelled.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Cancelled | ErrorResponse:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Cancelled | ErrorResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Cancelled | ErrorResponse]:
    """Cancel a run

     Ends all processes that the run started. `cancelled` is false if the run had already ended.

    Args:
        id (str):
        run_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Cancelled | ErrorResponse]
    """

    response = client.get_httpx_client().request(
        **build(
            id=id,
            run_id=run_id,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    id: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
) -> Cancelled | ErrorResponse | None:
    """Cancel a run

     Ends all processes that the run started. `cancelled` is false if the run had already ended.

    Args:
        id (str):
        run_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Cancelled | ErrorResponse
    """

    return (
        sync_detailed(
            id=id,
            run_id=run_id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    id: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Cancelled | ErrorResponse]:
    """Cancel a run

     Ends all processes that the run started. `cancelled` is false if the run had already ended.

    Args:
        id (str):
        run_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Cancelled | ErrorResponse]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            id=id,
            run_id=run_id,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    run_id: str,
    *,
    client: AuthenticatedClient,
) -> Cancelled | ErrorResponse | None:
    """Cancel a run

     Ends all processes that the run started. `cancelled` is false if the run had already ended.

    Args:
        id (str):
        run_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Cancelled | ErrorResponse
    """

    return (
        await asyncio_detailed(
            id=id,
            run_id=run_id,
            client=client,
        )
    ).parsed
