from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_envelope import ErrorEnvelope
from ...models.inline_file import InlineFile
from ...models.read_request import ReadRequest
from ...models.signed_file import SignedFile
from ...models.write_response import WriteResponse
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.write_request import WriteRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    vm_id: str,
    *,
    body: ReadRequest | WriteRequest,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/vms/{vm_id}/sync".format(
            vm_id=quote(str(vm_id), safe=""),
        ),
    }

    if isinstance(body, ReadRequest):
        _kwargs["json"] = body.to_dict()
    else:
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> InlineFile | SignedFile | WriteResponse:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """

    def _parse_response_200(data: object) -> InlineFile | SignedFile | WriteResponse:
        try:
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_sync_response_type_0 = InlineFile.from_dict(data)

            return componentsschemas_sync_response_type_0
        except (TypeError, ValueError, AttributeError, KeyError):
            pass
        try:
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_sync_response_type_1 = SignedFile.from_dict(data)

            return componentsschemas_sync_response_type_1
        except (TypeError, ValueError, AttributeError, KeyError):
            pass
        if not isinstance(data, dict):
            raise TypeError()
        componentsschemas_sync_response_type_2 = WriteResponse.from_dict(data)

        return componentsschemas_sync_response_type_2

    response_200 = _parse_response_200(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorEnvelope | InlineFile | SignedFile | WriteResponse:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorEnvelope.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | InlineFile | SignedFile | WriteResponse]:
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
    body: ReadRequest | WriteRequest,
) -> Response[ErrorEnvelope | InlineFile | SignedFile | WriteResponse]:
    """Read or write files

     One of two operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of bytes
    `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed URL to
    `PUT` the raw
    bytes to), or a *commit* (publishes the bytes that were `PUT`). A write is idempotent on its
    `upload_id`; a file
    appears at its path only when it is complete. An entry that fails has its own `error` and does not
    affect the others.

    Paths are absolute, with no `..` segment. The permissions are those of the computer's user. A file
    has at most
    100 000 000 bytes.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `conflict`, `payload_too_large`,
    `unsupported_op`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        body (ReadRequest | WriteRequest): A read or a write, selected by `op`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | InlineFile | SignedFile | WriteResponse]
    """

    response = client.get_httpx_client().request(
        **build(
            vm_id=vm_id,
            body=body,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: ReadRequest | WriteRequest,
) -> ErrorEnvelope | InlineFile | SignedFile | WriteResponse | None:
    """Read or write files

     One of two operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of bytes
    `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed URL to
    `PUT` the raw
    bytes to), or a *commit* (publishes the bytes that were `PUT`). A write is idempotent on its
    `upload_id`; a file
    appears at its path only when it is complete. An entry that fails has its own `error` and does not
    affect the others.

    Paths are absolute, with no `..` segment. The permissions are those of the computer's user. A file
    has at most
    100 000 000 bytes.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `conflict`, `payload_too_large`,
    `unsupported_op`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        body (ReadRequest | WriteRequest): A read or a write, selected by `op`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | InlineFile | SignedFile | WriteResponse
    """

    return (
        sync_detailed(
            vm_id=vm_id,
            client=client,
            body=body,
        )
    ).parsed


async def asyncio_detailed(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: ReadRequest | WriteRequest,
) -> Response[ErrorEnvelope | InlineFile | SignedFile | WriteResponse]:
    """Read or write files

     One of two operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of bytes
    `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed URL to
    `PUT` the raw
    bytes to), or a *commit* (publishes the bytes that were `PUT`). A write is idempotent on its
    `upload_id`; a file
    appears at its path only when it is complete. An entry that fails has its own `error` and does not
    affect the others.

    Paths are absolute, with no `..` segment. The permissions are those of the computer's user. A file
    has at most
    100 000 000 bytes.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `conflict`, `payload_too_large`,
    `unsupported_op`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        body (ReadRequest | WriteRequest): A read or a write, selected by `op`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | InlineFile | SignedFile | WriteResponse]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            vm_id=vm_id,
            body=body,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    vm_id: str,
    *,
    client: AuthenticatedClient,
    body: ReadRequest | WriteRequest,
) -> ErrorEnvelope | InlineFile | SignedFile | WriteResponse | None:
    """Read or write files

     One of two operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of bytes
    `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed URL to
    `PUT` the raw
    bytes to), or a *commit* (publishes the bytes that were `PUT`). A write is idempotent on its
    `upload_id`; a file
    appears at its path only when it is complete. An entry that fails has its own `error` and does not
    affect the others.

    Paths are absolute, with no `..` segment. The permissions are those of the computer's user. A file
    has at most
    100 000 000 bytes.

    Errors: `bad_request`, `unauthorized`, `forbidden`, `not_found`, `conflict`, `payload_too_large`,
    `unsupported_op`, `rate_limited`, `unavailable`.

    Args:
        vm_id (str):
        body (ReadRequest | WriteRequest): A read or a write, selected by `op`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | InlineFile | SignedFile | WriteResponse
    """

    return (
        await asyncio_detailed(
            vm_id=vm_id,
            client=client,
            body=body,
        )
    ).parsed
