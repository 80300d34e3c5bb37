from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from ...models.error_response import ErrorResponse
from ...models.org_runs import OrgRuns
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.list_org_runs_dir import ListOrgRunsDir
    from ...models.list_org_runs_endpoint import (
        ListOrgRunsEndpoint,
    )
    from ...models.list_org_runs_sort import ListOrgRunsSort

HOST: Final[Literal["regional", "global"]] = "global"
"""The host that answers this operation."""


def build(
    *,
    since: int | Unset = UNSET,
    until: int | Unset = UNSET,
    vm: str | Unset = UNSET,
    vms: str | Unset = UNSET,
    search: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    lite: bool | Unset = UNSET,
    runtime: str | Unset = UNSET,
    endpoint: ListOrgRunsEndpoint | Unset = UNSET,
    actions: str | Unset = UNSET,
    status: str | Unset = UNSET,
    status_min: int | Unset = UNSET,
    status_max: int | Unset = UNSET,
    sort: ListOrgRunsSort | Unset = UNSET,
    dir_: ListOrgRunsDir | Unset = UNSET,
) -> dict[str, Any]:
    """The request: `method` and `url` (a path), and where the operation has them `params`, `json` and `headers`;
    arguments of `httpx.Client.request`."""

    params: dict[str, Any] = {}

    params["since"] = since

    params["until"] = until

    params["vm"] = vm

    params["vms"] = vms

    params["search"] = search

    params["limit"] = limit

    params["offset"] = offset

    params["lite"] = lite

    params["runtime"] = runtime

    json_endpoint: str | Unset = UNSET
    if not isinstance(endpoint, Unset):
        json_endpoint = endpoint

    params["endpoint"] = json_endpoint

    params["actions"] = actions

    params["status"] = status

    params["status_min"] = status_min

    params["status_max"] = status_max

    json_sort: str | Unset = UNSET
    if not isinstance(sort, Unset):
        json_sort = sort

    params["sort"] = json_sort

    json_dir_: str | Unset = UNSET
    if not isinstance(dir_, Unset):
        json_dir_ = dir_

    params["dir"] = json_dir_

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/runs",
        "params": params,
    }

    return _kwargs


def parse(body: Any) -> OrgRuns:
    """The answer of a success, out of its body: decoded JSON.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: for a body that is not what the spec says.
    """
    response_200 = OrgRuns.from_dict(body)

    return response_200


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorResponse | OrgRuns:
    if response.status_code == 200:
        return parse(response.json())
    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorResponse | OrgRuns]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    since: int | Unset = UNSET,
    until: int | Unset = UNSET,
    vm: str | Unset = UNSET,
    vms: str | Unset = UNSET,
    search: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    lite: bool | Unset = UNSET,
    runtime: str | Unset = UNSET,
    endpoint: ListOrgRunsEndpoint | Unset = UNSET,
    actions: str | Unset = UNSET,
    status: str | Unset = UNSET,
    status_min: int | Unset = UNSET,
    status_max: int | Unset = UNSET,
    sort: ListOrgRunsSort | Unset = UNSET,
    dir_: ListOrgRunsDir | Unset = UNSET,
) -> Response[ErrorResponse | OrgRuns]:
    """List the activity of the organization's computers

     Runs, forks and file operations in a time span, with their durations and resources. Rows are kept
    after their computer is deleted.

    Args:
        since (int | Unset):
        until (int | Unset):
        vm (str | Unset):
        vms (str | Unset):
        search (str | Unset):
        limit (int | Unset):
        offset (int | Unset):
        lite (bool | Unset):
        runtime (str | Unset):
        endpoint (ListOrgRunsEndpoint | Unset):
        actions (str | Unset):
        status (str | Unset):
        status_min (int | Unset):
        status_max (int | Unset):
        sort (ListOrgRunsSort | Unset):
        dir_ (ListOrgRunsDir | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | OrgRuns]
    """

    response = client.get_httpx_client().request(
        **build(
            since=since,
            until=until,
            vm=vm,
            vms=vms,
            search=search,
            limit=limit,
            offset=offset,
            lite=lite,
            runtime=runtime,
            endpoint=endpoint,
            actions=actions,
            status=status,
            status_min=status_min,
            status_max=status_max,
            sort=sort,
            dir_=dir_,
        )
    )
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    since: int | Unset = UNSET,
    until: int | Unset = UNSET,
    vm: str | Unset = UNSET,
    vms: str | Unset = UNSET,
    search: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    lite: bool | Unset = UNSET,
    runtime: str | Unset = UNSET,
    endpoint: ListOrgRunsEndpoint | Unset = UNSET,
    actions: str | Unset = UNSET,
    status: str | Unset = UNSET,
    status_min: int | Unset = UNSET,
    status_max: int | Unset = UNSET,
    sort: ListOrgRunsSort | Unset = UNSET,
    dir_: ListOrgRunsDir | Unset = UNSET,
) -> ErrorResponse | OrgRuns | None:
    """List the activity of the organization's computers

     Runs, forks and file operations in a time span, with their durations and resources. Rows are kept
    after their computer is deleted.

    Args:
        since (int | Unset):
        until (int | Unset):
        vm (str | Unset):
        vms (str | Unset):
        search (str | Unset):
        limit (int | Unset):
        offset (int | Unset):
        lite (bool | Unset):
        runtime (str | Unset):
        endpoint (ListOrgRunsEndpoint | Unset):
        actions (str | Unset):
        status (str | Unset):
        status_min (int | Unset):
        status_max (int | Unset):
        sort (ListOrgRunsSort | Unset):
        dir_ (ListOrgRunsDir | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | OrgRuns
    """

    return (
        sync_detailed(
            client=client,
            since=since,
            until=until,
            vm=vm,
            vms=vms,
            search=search,
            limit=limit,
            offset=offset,
            lite=lite,
            runtime=runtime,
            endpoint=endpoint,
            actions=actions,
            status=status,
            status_min=status_min,
            status_max=status_max,
            sort=sort,
            dir_=dir_,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    since: int | Unset = UNSET,
    until: int | Unset = UNSET,
    vm: str | Unset = UNSET,
    vms: str | Unset = UNSET,
    search: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    lite: bool | Unset = UNSET,
    runtime: str | Unset = UNSET,
    endpoint: ListOrgRunsEndpoint | Unset = UNSET,
    actions: str | Unset = UNSET,
    status: str | Unset = UNSET,
    status_min: int | Unset = UNSET,
    status_max: int | Unset = UNSET,
    sort: ListOrgRunsSort | Unset = UNSET,
    dir_: ListOrgRunsDir | Unset = UNSET,
) -> Response[ErrorResponse | OrgRuns]:
    """List the activity of the organization's computers

     Runs, forks and file operations in a time span, with their durations and resources. Rows are kept
    after their computer is deleted.

    Args:
        since (int | Unset):
        until (int | Unset):
        vm (str | Unset):
        vms (str | Unset):
        search (str | Unset):
        limit (int | Unset):
        offset (int | Unset):
        lite (bool | Unset):
        runtime (str | Unset):
        endpoint (ListOrgRunsEndpoint | Unset):
        actions (str | Unset):
        status (str | Unset):
        status_min (int | Unset):
        status_max (int | Unset):
        sort (ListOrgRunsSort | Unset):
        dir_ (ListOrgRunsDir | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorResponse | OrgRuns]
    """

    response = await client.get_async_httpx_client().request(
        **build(
            since=since,
            until=until,
            vm=vm,
            vms=vms,
            search=search,
            limit=limit,
            offset=offset,
            lite=lite,
            runtime=runtime,
            endpoint=endpoint,
            actions=actions,
            status=status,
            status_min=status_min,
            status_max=status_max,
            sort=sort,
            dir_=dir_,
        )
    )
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    since: int | Unset = UNSET,
    until: int | Unset = UNSET,
    vm: str | Unset = UNSET,
    vms: str | Unset = UNSET,
    search: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    lite: bool | Unset = UNSET,
    runtime: str | Unset = UNSET,
    endpoint: ListOrgRunsEndpoint | Unset = UNSET,
    actions: str | Unset = UNSET,
    status: str | Unset = UNSET,
    status_min: int | Unset = UNSET,
    status_max: int | Unset = UNSET,
    sort: ListOrgRunsSort | Unset = UNSET,
    dir_: ListOrgRunsDir | Unset = UNSET,
) -> ErrorResponse | OrgRuns | None:
    """List the activity of the organization's computers

     Runs, forks and file operations in a time span, with their durations and resources. Rows are kept
    after their computer is deleted.

    Args:
        since (int | Unset):
        until (int | Unset):
        vm (str | Unset):
        vms (str | Unset):
        search (str | Unset):
        limit (int | Unset):
        offset (int | Unset):
        lite (bool | Unset):
        runtime (str | Unset):
        endpoint (ListOrgRunsEndpoint | Unset):
        actions (str | Unset):
        status (str | Unset):
        status_min (int | Unset):
        status_max (int | Unset):
        sort (ListOrgRunsSort | Unset):
        dir_ (ListOrgRunsDir | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorResponse | OrgRuns
    """

    return (
        await asyncio_detailed(
            client=client,
            since=since,
            until=until,
            vm=vm,
            vms=vms,
            search=search,
            limit=limit,
            offset=offset,
            lite=lite,
            runtime=runtime,
            endpoint=endpoint,
            actions=actions,
            status=status,
            status_min=status_min,
            status_max=status_max,
            sort=sort,
            dir_=dir_,
        )
    ).parsed
