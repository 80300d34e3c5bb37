"""The client of a deployment."""

from __future__ import annotations

import builtins
import functools
import os
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from arker._http._async.pipeline import AsyncPipeline, Budget
from arker._io_async import async_in_thread
from arker.config import UNCHANGED, Timeouts, Unchanged, check_seconds, resolve
from arker.contract import LARGEST_PAGE, PAGE, SORTS, Sort
from arker.errors import ArkerError, bad_request
from arker.hooks import Hooks
from arker.ids import SOURCE_ALIASES, is_vm_id
from arker.operations import Operation, P, same
from arker.results import Outcome, VmList, VmSummary, vm_list
from arker.retry import DEFAULT, NEVER, RetryPolicy
from arker.transfers import SLOWEST

from .cancelling import Running, cancel
from .computer import AsyncComputer
from .contracts import CONTRACTS, Speaks
from .gather import async_gather

if TYPE_CHECKING:
    import httpx

    from arker.info import ComputerInfo, ComputerUsage, Organization, Region

    from .api_keys import AsyncApiKeys

T = TypeVar("T")
R = TypeVar("R")


class AsyncArker:
    """A client of an Arker deployment.

    It is cheap to make and safe to share between threads and event loops, but not between processes: another process
    makes its own, and gets a computer by its id. It opens connections when they are needed and keeps them for later
    calls. Call `close()` at the end, or use it in a with-statement.

    Operations on computers go to the regional host; `list` and forks of a name go to the global host. The global
    host is https://arker.ai whatever `base_url` is. For your own deployment set both: otherwise the first `list`
    sends its key to https://arker.ai, after a warning.

    Args:
        api_key: Default `ARKER_API_KEY`.
        base_url: The regional host; default `ARKER_BASE_URL`, else https://aws-us-west-2.burst.arker.ai.
        global_url: The global host; default `ARKER_GLOBAL_URL`, else https://arker.ai.
        timeout: Longest time for a call with its retries, in seconds, or `Timeouts`; default `Timeouts()`.
        retry: When to retry a call; None for never.
        max_connections: Most connections open at a time, per event loop; further calls wait for a free one.
        http_client: Your own httpx client for all requests (proxy, CA, client certificate, HTTP/2,
            instrumentation). It is not closed. Its timeouts, redirects and `auth` are not used. It logs as it is
            configured: httpx logs URLs, signed ones too, under `httpx` at level INFO.
        hooks: Functions to call when something happens.
        allow_http: Allow a `http://` URL of another machine; the key then travels unencrypted.
        provider: With `region`, selects the platform's host in place of `base_url`; default `ARKER_PROVIDER`.
        region: Default `ARKER_REGION`.
        contract: The contract to use: `0.1`, `0.3`, or `auto`: 0.1 until a host answers that it does not know one of
            its paths, then 0.3 for that host. Over 0.3, `list` reads all computers, and a session with a name has an
            index that is computed from it.

    Raises:
        ArkerError: `unauthorized` without a key, `bad_request` for a key or URL that can never work.
        TypeError, ValueError: for arguments of the wrong kind.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        global_url: str | None = None,
        timeout: float | Timeouts | None = None,
        retry: RetryPolicy | None = DEFAULT,
        max_connections: int = 1000,
        http_client: httpx.AsyncClient | None = None,
        hooks: Hooks | None = None,
        allow_http: bool = False,
        provider: str | None = None,
        region: str | None = None,
        contract: Literal["auto", "0.1", "0.3"] = "auto",
    ) -> None:
        if isinstance(max_connections, bool) or not isinstance(max_connections, int):
            raise TypeError(f"max_connections is an int, not {type(max_connections).__name__}")
        if max_connections < 1:
            raise ValueError(f"max_connections must be 1 or more, not {max_connections}")
        if not isinstance(hooks, Hooks | None):
            raise TypeError(f"hooks is a Hooks, not {type(hooks).__name__}")
        if contract not in CONTRACTS:
            raise ValueError(f"contract is one of {', '.join(CONTRACTS)}, not {contract!r}")
        config = resolve(
            api_key, base_url, global_url, os.environ, provider=provider, region=region, allow_http=allow_http
        )
        self._speaks = Speaks(contract)
        #: The runs whose calls have not returned.
        self._running: set[Running] = set()
        self._timeouts = _timeouts(timeout)
        self._policy = _policy(retry)
        self._host: Literal["regional", "global"] | None = None
        self._pipeline = AsyncPipeline(
            config, max_connections=max_connections, http_client=http_client, hooks=hooks or Hooks()
        )
        #: Releases the embedded deployment, at the latest when the client is garbage-collected or the process ends.
        self._let_go: Callable[[], object] | None = None
        #: The client that this one was made from, kept alive.
        self._parent: AsyncArker | None = None

    @classmethod
    def local(
        cls,
        state: str | os.PathLike[str] | None = None,
        *,
        attach: bool = False,
        network: bool | None = None,
        limits: Mapping[str, float] | None = None,
        max_vms: int | None = None,
        rate_limit: float | None = None,
        timeout: float | Timeouts | None = None,
        retry: RetryPolicy | None = RetryPolicy(resend=True),  # noqa: B008  # immutable
        max_connections: int = 1000,
        hooks: Hooks | None = None,
    ) -> AsyncArker:
        """Return a client of the embedded deployment, starting it in a child process (this blocks for about 0.3
        s). Clients of this process with the same options share it; it ends when the last of them is closed.

        The deployment honours the `Idempotency-Key`, so by default a `run` or `fork` that got no answer is sent
        again.

        Args:
            state: The folder for its computers; default a temporary one, removed at the end. Programs that
                name the same folder share one deployment.
            attach: Whether to use a deployment that `arker serve` started on the folder, if one serves it. Then the
                default folder is that of `arker serve`.
            network: Whether computers can reach the network; default no. If a deployment serves the folder already,
                the options given here and below must agree with it.
            limits: Limits of a computer that differ from the defaults, such as `{"processes": 64}`; `arker
                doctor` lists them.
            max_vms: Most computers; default 0, for no limit.
            rate_limit: Most requests per second; default 0, for no limit.
            timeout: See the class.
            retry: See the class.
            max_connections: See the class.
            hooks: See the class.

        Raises:
            ArkerError: `unavailable` when it is not installed (`pip install 'arker[local]'`), cannot start, or
                serves the folder with other options; the message says which.
        """
        from arker.local.process.launcher import LaunchError, launch

        given = {"network": network, "limits": limits, "max_vms": max_vms, "rate_limit": rate_limit}
        try:
            options = {name: value for name, value in given.items() if value is not None}
            deployment = launch(state, attach=attach, **options)
        except (LaunchError, OSError) as error:
            raise ArkerError("unavailable", f"the embedded deployment could not start: {error}") from error
        try:
            client = cls(
                deployment.api_key,
                deployment.base_url,
                global_url=deployment.base_url,
                timeout=timeout,
                retry=retry,
                max_connections=max_connections,
                hooks=hooks,
            )
        except BaseException:
            deployment.close()
            raise
        client._let_go = weakref.finalize(client, deployment.close)
        return client

    def __repr__(self) -> str:
        if not hasattr(self, "_pipeline"):  # for tracebacks of a failing __init__
            return super().__repr__()
        config = self._pipeline.config
        return f"{type(self).__name__}(base_url={str(config.regional)!r}, global_url={str(config.control)!r})"

    def __reduce__(self) -> NoReturn:
        # Also for what refers to it: computers, files, runs, sessions.
        raise TypeError(
            "a client cannot be pickled or copied: pass the id of a computer, and use `vm(id)` of another client"
        )

    @property
    def _deployment(self) -> tuple[Any, Any]:
        return self._pipeline.config.regional, self._pipeline.config.control

    def _budget(self, timeout: float | None, size: int = 0) -> Budget:
        """The time and retries of a call: the given time, or the default plus what `size` bytes take on a slow
        line."""
        if timeout is None:
            return Budget(self._policy, self._timeouts.total + size / SLOWEST)
        return Budget(self._policy, check_seconds("timeout", timeout))

    def with_options(
        self,
        *,
        timeout: float | Timeouts | Unchanged = UNCHANGED,
        retry: RetryPolicy | Unchanged | None = UNCHANGED,
        host: Literal["regional", "global"] | None = None,
    ) -> AsyncArker:
        """Return this client with other options. Both share the connections; closing either closes both.

        Args:
            timeout: Longest time for a call with its retries, in seconds, or `Timeouts`.
            retry: When to retry a call; None for never.
            host: Where `call` sends every operation, `regional` or `global`; default the host of the operation.

        Raises:
            TypeError, ValueError: for arguments of the wrong kind.
        """
        if host not in (None, "regional", "global"):
            raise ValueError(f"host is 'regional' or 'global', not {host!r}")
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__, _parent=self)
        if host is not None:
            client._host = host
        if not isinstance(timeout, Unchanged):
            client._timeouts = _timeouts(timeout)
        if not isinstance(retry, Unchanged):
            client._policy = _policy(retry)
        return client

    def vm(self, source: str | VmSummary) -> AsyncComputer:
        """Return a handle of a computer, without checking that it exists.

        Args:
            source: Its id, a row of a list, an alias such as `arkuntu`, or a name, which the deployment looks up for
                each call: an ambiguous one is a `conflict`. A deployment that speaks contract 0.1 alone, and is not
                your own, can only fork a name.

        Raises:
            ArkerError: `bad_request` for text that can be none of these.
            TypeError: for any other type.
        """
        if isinstance(source, VmSummary):
            return AsyncComputer(self, source.vm_id)
        if not isinstance(source, str):
            raise TypeError(f"a computer is named by a str or a VmSummary, not {type(source).__name__}")
        if not source.strip() or not source.isprintable() or source in (".", ".."):
            raise bad_request(f"{source!r} is not the id or name of a computer")
        source = SOURCE_ALIASES.get(source, source)
        return AsyncComputer(self, source, by_id=is_vm_id(source))

    async def list(
        self,
        *,
        limit: int = PAGE,
        offset: int = 0,
        q: str | None = None,
        sort: Sort | None = None,
        timeout: float | None = None,
    ) -> VmList:
        """Return one page of the organization's computers, in all regions.

        Args:
            limit: Most computers on the page, 1 to 100.
            offset: How many to skip.
            q: Part of the name.
            sort: `created_at`, `-created_at` (newest first, the default), `region` or `-region`.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `bad_request` for an invalid limit, offset or sort, and any other failure.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise bad_request(f"limit is from 1 to {LARGEST_PAGE}, not {limit}")
        if offset < 0:
            raise bad_request(f"offset is 0 or more, not {offset}")
        if sort is not None and sort not in SORTS:
            raise bad_request(f"sort is one of {', '.join(SORTS)}, not {sort!r}")
        from arker_api.control.api.computers import list_vms
        from arker_api.control.types import UNSET

        parts = list_vms.build(
            limit=limit, offset=offset, q=UNSET if q is None else q, sort=UNSET if sort is None else sort
        )
        budget = self._budget(timeout)

        async def old() -> VmList:
            return await self._pipeline.operate(budget, self._timeouts, list_vms, parts, vm_list)

        async def new() -> VmList:
            from .v03 import page_of

            return await page_of(self, budget, limit, offset, q, sort)

        return await self._either("global", old, new)

    async def vms(
        self, *, state: Literal["idle", "running"] | None = None, timeout: float | None = None
    ) -> AsyncIterator[ComputerInfo]:
        """Iterate over all computers of the organization, newest first, with all that the platform knows of each.
        Pages are fetched as needed.

        Args:
            state: Only computers in this state, `idle` or `running`; default both.
            timeout: Longest time for the whole iteration, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: any failure.
        """
        from .v03 import computers

        async for info in computers(self, self._budget(timeout), state):
            yield info

    async def usage(self, *, timeout: float | None = None) -> tuple[ComputerUsage, ...]:
        """Return the CPU time, memory and disk that each computer of the organization uses now, newest first. Needs
        your own deployment.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: any failure.
        """
        from .usage import usage_of

        return await usage_of(self, self._budget(timeout))

    async def regions(self, *, timeout: float | None = None) -> tuple[Region, ...]:
        """Return the regions where computers can run.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: any failure.
        """
        from .v03 import regions_of

        return await regions_of(self, self._budget(timeout))

    async def whoami(self, *, timeout: float | None = None) -> Organization:
        """Return the organization that the key belongs to.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `unauthorized`, and any other failure.
        """
        from .v03 import organization_of

        return await organization_of(self, self._budget(timeout))

    @property
    def api_keys(self) -> AsyncApiKeys:
        """The API keys of the organization."""
        from .api_keys import AsyncApiKeys

        return AsyncApiKeys(self)

    async def health(self, *, timeout: float | None = None) -> None:
        """Return if computers can be forked and used; raise otherwise.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `unavailable`, whose message says what is missing, and any other failure.
        """
        from .v03 import check_health

        await check_health(self, self._budget(timeout))

    async def _either(
        self,
        host: Literal["regional", "global"],
        old: Callable[[], Awaitable[T]],
        new: Callable[[], Awaitable[T]],
    ) -> T:
        """Call `old` on a host that speaks contract 0.1, else `new`."""
        if self._speaks.old(host):
            try:
                return await old()
            except ArkerError as error:
                if not self._speaks.learn(host, error):
                    raise
        return await new()

    async def iter_vms(
        self,
        *,
        q: str | None = None,
        sort: Sort | None = None,
        page_size: int = LARGEST_PAGE,
        timeout: float | None = None,
    ) -> AsyncIterator[VmSummary]:
        """Iterate over all computers of the organization, fetching pages as needed. A computer that is made or
        deleted meanwhile may be missing; none is returned twice.

        Args:
            q: Part of the name.
            sort: See `list`.
            page_size: Computers per call, 1 to 100.
            timeout: Longest time for each call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: See `list`.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            page = await self.list(limit=page_size, offset=offset, q=q, sort=sort, timeout=timeout)
            for vm in page:
                if vm.vm_id not in seen:
                    seen.add(vm.vm_id)
                    yield vm
            offset += len(page)
            if not page.items or offset >= page.total:
                return

    async def map(
        self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, concurrency: int = 32
    ) -> builtins.list[Outcome[R, Exception]]:
        """Call a function for each of many computers (or other items), several at a time. When it is interrupted, no
        further call begins. In asyncio those in progress are cancelled; threads continue, and closing the client ends
        their calls.

        Args:
            function: The function to call.
            items: Its arguments, one for each call.
            concurrency: How many calls at a time, 1 or more.

        Returns:
            An outcome for each item, in the order of the items.

        Raises:
            ValueError: for a concurrency below 1. What the function raises is in its outcome.
        """
        if concurrency < 1:
            raise ValueError(f"concurrency is 1 or more, not {concurrency}")
        return await async_gather([functools.partial(function, item) for item in items], concurrency)

    async def call(self, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call any operation of the contract, with the key, retries, errors and types of all other calls.

        Args:
            operation: A module of `arker_api.regional.api` or `arker_api.control.api`, which also determines the
                host; see `with_options` for another host, other retries and timeouts.
            args: Arguments of the operation.
            kwargs: Keyword arguments of the operation.

        Returns:
            The answer, in the types of `arker_api`. If the operation has several (`sync_files`), `isinstance` tells
            them apart.

        Raises:
            ArkerError: any failure.
        """
        return await self._pipeline.operate(
            self._budget(None),
            self._timeouts,
            operation,
            operation.build(*args, **kwargs),
            same,
            control=None if self._host is None else self._host == "global",
        )

    async def aclose(self) -> None:
        """Cancel the calls in progress (and their commands, if the deployment can do that), close all connections, and
        release the embedded deployment. Later calls raise `bad_request`."""
        if not self._pipeline.closed:
            jobs = [functools.partial(cancel, self, run) for run in tuple(self._running)]
            await async_gather(jobs, 64)
        await self._pipeline.aclose()
        if self._let_go is not None:
            await async_in_thread(self._let_go)

    async def __aenter__(self) -> AsyncArker:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _timeouts(timeout: float | Timeouts | None) -> Timeouts:
    if timeout is None:
        return Timeouts()
    return timeout if isinstance(timeout, Timeouts) else Timeouts(total=timeout)


def _policy(retry: RetryPolicy | None) -> RetryPolicy:
    if not isinstance(retry, RetryPolicy | None):
        raise TypeError(f"retry is a RetryPolicy or None, not {type(retry).__name__}")
    return retry or NEVER
