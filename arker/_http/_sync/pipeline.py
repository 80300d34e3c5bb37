# Derived from arker/_http/_async/pipeline.py by `make generate`; do not edit.
"""From a call to its answer: the key, the deadline, retries, errors, and events for hooks."""

from __future__ import annotations

import json
import logging
import random
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from arker import operations
from arker._http.deadline import FURTHEST, Deadline
from arker._io_sync import sleep, waits_for_sockets
from arker._version import __version__
from arker.config import Config, SecretBytes, Timeouts, Url
from arker.errors import Answer, ArkerError, bad_request, in_doubt, read_answer
from arker.hooks import Hooks, RequestEvent, RetryEvent, logger, tell
from arker.operations import Operation
from arker.retry import RetryPolicy, decide

from .request import Body, Headers, Request
from .transport import PooledTransport, Reply, Transport, needs_proxy, whole

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
R = TypeVar("R")

#: Methods that may be sent again even if the first request may have been acted on.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_AGENT = f"arker-python/{__version__}".encode()
_SET_GLOBAL_URL: Final = "for a deployment of your own, set ARKER_GLOBAL_URL or global_url= to its URL"
#: Most bytes of an answer: of a success (two outputs of 16 MiB of control characters, which take six bytes each in
#: JSON), and of an error.
_LARGEST_ANSWER: Final = 2 * 6 * 16 * 1024 * 1024 + 1024 * 1024
_LARGEST_ERROR: Final = 1024 * 1024


def _level_of_caller() -> int:
    """Return the `stacklevel` with which the function that calls this one warns about the line that called Arker."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] == "arker":
        level, frame = level + 1, frame.f_back
    return level


class Budget:
    """The time and retries of one call of the user, shared by all requests that it makes."""

    __slots__ = ("attempt", "deadline", "doubtful", "policy")

    def __init__(self, policy: RetryPolicy, seconds: float) -> None:
        self.policy = policy
        self.deadline = Deadline(seconds)
        self.attempt = 1
        #: Whether the server may have acted on a failed try.
        self.doubtful = False


class Pipeline:
    """The state that the clients of one deployment share."""

    def __init__(
        self, config: Config, *, max_connections: int, http_client: httpx.Client | None, hooks: Hooks
    ) -> None:
        self.config = config
        self.hooks = hooks
        self.closed = False
        #: Whether to warn before the key of a private deployment is sent to Arker's global host.
        self._to_warn = config.mixed
        self._limit = max_connections
        self._pooled = PooledTransport(max_connections)
        self._given = None if http_client is None else _through_httpx(http_client, max_connections)
        self._proxied: Transport | None = None
        self._transports: dict[str, Transport] = {}
        self._heads = {url: self._head(url) for url in (config.regional, config.control)}

    def _head(self, url: Url) -> Headers:
        return [
            (b"Host", url.authority.encode()),
            (b"Authorization", SecretBytes(b"Bearer " + self.config.api_key.encode())),
            *_common(b"application/json"),
        ]

    def _transport(self, host: str) -> Transport:
        transport = self._transports.get(host)
        if transport is None:
            if self._given is not None:
                transport = self._given
            elif needs_proxy(host) or not waits_for_sockets():
                transport = self._proxied = self._proxied or _through_httpx(None, self._limit)
            else:
                transport = self._pooled
            self._transports[host] = transport
        return transport

    def close(self) -> None:
        """Close what this object opened."""
        self.closed = True
        self._pooled.close()
        if self._proxied is not None:
            self._proxied.close()

    # --- requests ---

    def request(
        self,
        method: str,
        path: str,
        timeouts: Timeouts,
        *,
        control: bool,
        repeatable: bool,
        body: bytes | Body | None = None,
        headers: Mapping[str, Any] | None = None,
        read: float | None = None,
    ) -> Request:
        """Make a request to the API, with the key."""
        url = self.config.control if control else self.config.regional
        head = self._heads[url].copy()
        method = method.upper()
        if body is not None:
            head.append(
                (b"Content-Length", str(len(body) if isinstance(body, bytes) else body.size).encode())
            )
            head.append((b"Content-Type", b"application/json"))
        for name, value in (headers or {}).items():
            if name != "Content-Type":
                text = str(value)
                if not text.isascii() or not text.isprintable() or text != text.strip():
                    raise bad_request(
                        f"{name}: {text[:100]!r} is not printable ASCII without spaces around it"
                    )
                head.append((name.encode(), text.encode()))
        return Request(
            url,
            method,
            url.target + path,
            operations.route(path.partition("?")[0]),
            head,
            body if body is not None else b"",
            timeouts,
            timeouts.read if read is None else read,
            repeatable,
            keyed="Idempotency-Key" in (headers or {}),
        )

    def local_request(
        self,
        method: str,
        path: str,
        timeouts: Timeouts,
        *,
        body: bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        read: float | None = None,
    ) -> Request:
        """Make a request to `/api/v1/local/{path}`, which only embedded deployments have. It must be harmless to repeat
        it."""
        return self.request(
            method,
            f"/api/v1/local/{path}",
            timeouts,
            control=False,
            repeatable=True,
            body=body,
            headers=headers,
            read=read,
        )

    def signed(
        self,
        method: str,
        url: Url,
        timeouts: Timeouts,
        *,
        body: Body | None = None,
        headers: Headers | None = None,
    ) -> Request:
        """Make a request to a signed URL: without the key, and without any part of the URL in events."""
        head = [(b"Host", url.authority.encode()), *_common(b"*/*"), *(headers or [])]
        if body is not None:
            head.append((b"Content-Length", str(body.size).encode()))
        return Request(
            url,
            method,
            url.target or "/",
            "(signed url)",
            head,
            body or b"",
            timeouts,
            timeouts.read,
            repeatable=True,
            keyed=False,
        )

    def perform(self, budget: Budget, make: Callable[[], Request], consume: Callable[[Reply], T]) -> T:
        """Send a request, made anew for every try, as often as the budget and the policy allow, until `consume` accepts
        an answer; it raises ArkerError for an answer that it rejects. Raises ArkerError."""

        def consumed(reply: Reply) -> T:
            with reply:
                return consume(reply)

        return self._until_taken(budget, make, consumed)

    def hold(
        self,
        budget: Budget,
        make: Callable[[], Request],
        *statuses: int,
        deadline: Deadline | None = None,
    ) -> Reply:
        """Send a request as `perform` does, until an answer has one of the statuses; return it after its head.

        The caller must close it; until then it occupies one of the connections. The deadline of the budget no longer
        applies, but the given one, if any: each piece may take as long as the request's `read`. Later failures are not
        retried. Raises ArkerError.
        """

        def held(reply: Reply) -> Reply:
            try:
                if reply.status not in statuses:
                    self.answer(reply)
                    raise ArkerError(
                        "internal",
                        f"HTTP {reply.status} where {' or '.join(map(str, statuses))} was expected",
                        reply.status,
                        processed="maybe",
                    )
                reply.hold(deadline or Deadline(FURTHEST))
                return reply
            except BaseException:
                reply.close()
                raise

        return self._until_taken(budget, make, held)

    def _until_taken(self, budget: Budget, make: Callable[[], Request], take: Callable[[Reply], T]) -> T:
        doubt: str | None = None
        while True:
            request = make()
            try:
                return self._try(budget, request, take)
            except ArkerError as error:
                delay = decide(
                    budget.policy,
                    error,
                    attempt=budget.attempt,
                    repeatable=request.repeatable,
                    keyed=request.keyed,
                    remaining=budget.deadline.left,
                    draw=random.random(),  # noqa: S311  # spreads load, keeps no secret
                )
                if delay is None:
                    in_doubt(error, doubt)
                    raise
                tell(
                    self.hooks.on_retry,
                    RetryEvent(request.method, request.route, budget.attempt, delay, error),
                )
                sleep(delay)
                budget.attempt += 1
                if error.processed == "maybe":
                    budget.doubtful = True
                    doubt = doubt or f"an earlier attempt may have been carried out ({error})"

    def _try(self, budget: Budget, request: Request, take: Callable[[Reply], T]) -> T:
        if self.closed:
            closed = bad_request("the client is closed")
            closed.attempts = budget.attempt - 1
            raise closed
        if budget.deadline.left <= 0:
            raise ArkerError(
                "timeout",
                "the deadline of the call has passed",
                attempts=budget.attempt - 1,
                method=request.method,
                route=request.route,
            )
        stray = request.url is self.config.control and self.config.mixed
        if stray and self._to_warn:
            self._to_warn = False
            warnings.warn(
                f"the key to {self.config.regional} is sent to {request.url}, where lists and forks of a name go; "
                f"{_SET_GLOBAL_URL}",
                stacklevel=_level_of_caller(),
            )
        started = time.perf_counter()
        status = 0
        failure: ArkerError | None = None
        try:
            reply = self._transport(request.url.host).send(request, budget.deadline)
            status = reply.status
            return take(reply)
        except ArkerError as error:
            if self.closed and error.code == "network":
                error = ArkerError("network", "the client was closed meanwhile", processed=error.processed)
            if stray:
                error.message += f" (this request went to {request.url}; {_SET_GLOBAL_URL})"
            failure = error
            error.attempts = budget.attempt
            error.method = request.method
            error.route = request.route
            raise error
        finally:
            if self.hooks.on_request is not None or logger.isEnabledFor(logging.DEBUG):
                self._told(request, budget.attempt, status, (time.perf_counter() - started) * 1000, failure)
            failure = None  # or the frame and the error hold each other

    def _told(
        self, request: Request, attempt: int, status: int, milliseconds: float, error: ArkerError | None
    ) -> None:
        logger.debug(
            "%s %s %s %.1f ms, try %d%s",
            request.method,
            request.route,
            status or "no answer",
            milliseconds,
            attempt,
            f": {error}" if error else "",
        )
        tell(
            self.hooks.on_request,
            RequestEvent(
                request.method, request.route, request.url.authority, attempt, status, milliseconds, error
            ),
        )

    # --- operations ---

    def answer(self, reply: Reply) -> Answer:
        """Return the complete answer of the API if it is a success. Raises ArkerError."""
        return read_answer(reply.status, reply.headers, content(reply), self.config.api_key)

    def operate(
        self,
        budget: Budget,
        timeouts: Timeouts,
        operation: Operation[..., T],
        parts: dict[str, Any],
        convert: Callable[[T], R],
        *,
        control: bool | None = None,
        repeatable: bool | None = None,
        read: float | None = None,
    ) -> R:
        """Call a generated operation; `parts` is the request that the operation built. `convert` makes a value of the
        answer. It may reject an answer by raising ArkerError, or KeyError, TypeError or ValueError if the answer
        violates the contract; this is handled like any other failure. Raises ArkerError."""
        request = self.request(
            parts["method"],
            operations.target(operations.full(parts["url"]), parts.get("params") or {}),
            timeouts,
            control=operation.HOST == "global" if control is None else control,
            repeatable=parts["method"].upper() in _REPEATABLE if repeatable is None else repeatable,
            body=dump(parts["json"]) if "json" in parts else None,
            headers=parts.get("headers"),
            read=read,
        )

        return self.ask(budget, request, lambda body: convert(operation.parse(body)))

    def ask(self, budget: Budget, request: Request, convert: Callable[[Any], R]) -> R:
        """Send a request whose answer is JSON; `convert` makes a value of it, as for `operate`. Raises ArkerError."""

        def consume(reply: Reply) -> R:
            return parse(self.answer(reply), convert)

        return self.perform(budget, lambda: request, consume)


def content(reply: Reply, most: int = 0) -> bytes:
    """Return the body. Raises ArkerError if it is longer than an answer can be, or than `most` bytes; an error has a
    lower limit."""
    return whole(reply, (most or _LARGEST_ANSWER) if 200 <= reply.status < 300 else _LARGEST_ERROR)


def _through_httpx(client: httpx.Client | None, limit: int) -> Transport:
    from .httpx_transport import HttpxTransport

    return HttpxTransport(client, limit)


def _common(accept: bytes) -> Headers:
    return [(b"User-Agent", _AGENT), (b"Accept", accept), (b"Accept-Encoding", b"identity")]


def dump(body: Any) -> bytes:
    """JSON for the wire."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # UTF-8 cannot encode a lone surrogate, but JSON can escape it.
        return json.dumps(body, separators=(",", ":")).encode()


def parse(answer: Answer, convert: Callable[[Any], R]) -> R:
    """Convert the JSON of a success. Raises ArkerError when it is not what `convert` expects."""
    try:
        return convert(answer.body)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ArkerError(
            "internal",
            f"HTTP {answer.status_code}: the answer is not what the contract says: {error!r}"[:500],
            answer.status_code,
            processed="maybe",
        ) from error
