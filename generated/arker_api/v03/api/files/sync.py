from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from ...models.error_response import ErrorResponse
from ...models.inline_file import InlineFile
from ...models.manifest import Manifest
from ...models.read_request import ReadRequest
from ...models.signed_file import SignedFile
from ...models.write_request import WriteRequest
from ...models.written import Written
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.manifest_request import ManifestRequest

HOST: Final[Literal["regional", "global"]] = "regional"
"""The host that answers this operation."""


def build(
    id: str,
    *,
    body: ManifestRequest | ReadRequest | WriteRequest,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/vms/{id}/sync".format(
            id=quote(str(id), safe=""),
        ),
    }

    if isinstance(body, ReadRequest):
        _kwargs["json"] = body.to_dict()
    elif isinstance(body, WriteRequest):
        _kwargs["json"] = body.to_dict()
    else:
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def parse(body: Any) -> InlineFile | Manifest | SignedFile | Written:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """

    def _parse_response_200(data: object) -> InlineFile | Manifest | SignedFile | Written:
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
        try:
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_sync_response_type_2 = Written.from_dict(data)

            return componentsschemas_sync_response_type_2
        except (TypeError, ValueError, AttributeError, KeyError):
            pass
        if not isinstance(data, dict):
            raise TypeError()
        componentsschemas_sync_response_type_3 = Manifest.from_dict(data)

        return componentsschemas_sync_response_type_3

    response_200 = _parse_response_200(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | InlineFile | Manifest | SignedFile | Written:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | InlineFile | Manifest | SignedFile | Written]:
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
    body: ManifestRequest | ReadRequest | WriteRequest,
) -> Response[ErrorResponse | InlineFile | Manifest | SignedFile | Written]:
    """Read, write or compare files

     One of three operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of
    bytes `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed
    URL to `PUT` the
    raw bytes to), or a *commit* (publishes the bytes that were `PUT`). A file appears at its path when
    it is complete.
    An entry that fails has its own `error`.

    **manifest** lists the regular files of a folder with their SHA-256; none for a folder that does not
    exist.

    Args:
        id (str):
        body (ManifestRequest | ReadRequest | WriteRequest): A read, a write or a manifest.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | InlineFile | Manifest | SignedFile | Written]
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
    body: ManifestRequest | ReadRequest | WriteRequest,
) -> ErrorResponse | InlineFile | Manifest | SignedFile | Written | None:
    """Read, write or compare files

     One of three operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of
    bytes `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed
    URL to `PUT` the
    raw bytes to), or a *commit* (publishes the bytes that were `PUT`). A file appears at its path when
    it is complete.
    An entry that fails has its own `error`.

    **manifest** lists the regular files of a folder with their SHA-256; none for a folder that does not
    exist.

    Args:
        id (str):
        body (ManifestRequest | ReadRequest | WriteRequest): A read, a write or a manifest.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | InlineFile | Manifest | SignedFile | Written
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
    body: ManifestRequest | ReadRequest | WriteRequest,
) -> Response[ErrorResponse | InlineFile | Manifest | SignedFile | Written]:
    """Read, write or compare files

     One of three operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of
    bytes `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed
    URL to `PUT` the
    raw bytes to), or a *commit* (publishes the bytes that were `PUT`). A file appears at its path when
    it is complete.
    An entry that fails has its own `error`.

    **manifest** lists the regular files of a folder with their SHA-256; none for a folder that does not
    exist.

    Args:
        id (str):
        body (ManifestRequest | ReadRequest | WriteRequest): A read, a write or a manifest.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | InlineFile | Manifest | SignedFile | Written]
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
    body: ManifestRequest | ReadRequest | WriteRequest,
) -> ErrorResponse | InlineFile | Manifest | SignedFile | Written | None:
    """Read, write or compare files

     One of three operations, selected by `op`.

    **read** returns the file inline or as a signed URL to `GET`; the server chooses.

    **write** takes one or more entries and returns one result for each, in order. An entry is a *chunk*
    (base64 of
    bytes `[start, end)`; a file in one chunk is the fast path), an *upload request* (returns a signed
    URL to `PUT` the
    raw bytes to), or a *commit* (publishes the bytes that were `PUT`). A file appears at its path when
    it is complete.
    An entry that fails has its own `error`.

    **manifest** lists the regular files of a folder with their SHA-256; none for a folder that does not
    exist.

    Args:
        id (str):
        body (ManifestRequest | ReadRequest | WriteRequest): A read, a write or a manifest.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | InlineFile | Manifest | SignedFile | Written
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            body=body,
        )
    ).parsed
