# Derived from arker/_async/transport.py by `make generate`; do not edit.
"""Between an operation and the wire: keys, budgets, retries, errors, and what is told of it."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from arker import operations
from arker._io import Buffer
from arker._io_sync import sleep
from arker._version import __version__
from arker.config import FURTHEST, Config, SecretBytes, Timeouts, Url
from arker.errors import Answer, ArkerError, bad_request, read_answer
from arker.hooks import Hooks, RequestEvent, RetryEvent, logger, tell
from arker.operations import Operation
from arker.retry import RetryPolicy, decide

from .wire import Headers, Pooled, Reply, Wire, needs_proxy, whole

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
R = TypeVar("R")

#: Methods that may be sent again without asking what became of the first.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_AGENT = f"arker-python/{__version__}".encode()


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is streamed, and can be again."""

    size: int
    pieces: Callable[[], Generator[Buffer]]


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A request, ready to be sent any number of times."""

    url: Url
    method: str
    target: str
    route: str
    headers: Headers
    body: bytes | Body
    repeatable: bool
    #: Whether it has an `Idempotency-Key`.
    keyed: bool
    #: Longest wait for the answer, in seconds.
    read: float


class Budget:
    """What one call of the user's may spend, over all the requests that it takes."""

    __slots__ = ("attempt", "deadline", "doubtful", "policy")

    def __init__(self, policy: RetryPolicy, seconds: float) -> None:
        self.policy = policy
        self.deadline = time.monotonic() + min(seconds, FURTHEST)
        self.attempt = 1
        #: Whether a failed try may have been acted on.
        self.doubtful = False

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


class Transport:
    """Everything that the clients of one deployment share."""

    def __init__(
        self, config: Config, *, max_connections: int, http_client: httpx.Client | None, hooks: Hooks
    ) -> None:
        self.config = config
        self.hooks = hooks
        self.closed = False
        self._pooled = Pooled(max_connections)
        self._given = None if http_client is None else _through_httpx(http_client)
        self._proxied: Wire | None = None
        self._wires: dict[str, Wire] = {}
        self._heads = {url: self._head(url) for url in (config.regional, config.control)}

    def _head(self, url: Url) -> Headers:
        return [
            (b"Host", url.authority.encode()),
            (b"Authorization", SecretBytes(b"Bearer " + self.config.api_key.encode())),
            *_common(b"application/json"),
        ]

    def _wire(self, host: str) -> Wire:
        wire = self._wires.get(host)
        if wire is None:
            if self._given is not None:
                wire = self._given
            elif needs_proxy(host):
                wire = self._proxied = self._proxied or _through_httpx(None)
            else:
                wire = self._pooled
            self._wires[host] = wire
        return wire

    def close(self) -> None:
        """Close what was opened here."""
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
        """A request to the API, with the key."""
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
            repeatable,
            "Idempotency-Key" in (headers or {}),
            timeouts.read if read is None else read,
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
        """A request to a signed URL: without the key, and without a word of the URL in what is told of it."""
        head = [(b"Host", url.authority.encode()), *_common(b"*/*"), *(headers or [])]
        if body is not None:
            head.append((b"Content-Length", str(body.size).encode()))
        return Request(
            url, method, url.target or "/", "(signed url)", head, body or b"", True, False, timeouts.read
        )

    def perform(
        self,
        budget: Budget,
        timeouts: Timeouts,
        make: Callable[[], Request],
        consume: Callable[[Reply], T],
    ) -> T:
        """Send a request, made anew for every try, as often as the budget and the policy allow, until
        `consume` takes an answer; it raises ArkerError for one that it does not take. Raises ArkerError."""
        while True:
            request = make()
            try:
                return self._try(budget, timeouts, request, consume)
            except ArkerError as error:
                delay = decide(
                    budget.policy,
                    error,
                    attempt=budget.attempt,
                    repeatable=request.repeatable,
                    keyed=request.keyed,
                    remaining=budget.left,
                    draw=random.random(),  # noqa: S311  # spreads load, keeps no secret
                )
                if delay is None:
                    raise
                tell(
                    self.hooks.on_retry,
                    RetryEvent(request.method, request.route, budget.attempt, delay, error),
                )
                sleep(delay)
                budget.attempt += 1
                budget.doubtful = budget.doubtful or error.processed == "maybe"

    def _try(
        self,
        budget: Budget,
        timeouts: Timeouts,
        request: Request,
        consume: Callable[[Reply], T],
    ) -> T:
        if self.closed:
            raise bad_request("the client is closed")
        if budget.left <= 0:
            raise ArkerError(
                "timeout",
                "the deadline of the call has passed",
                attempts=budget.attempt - 1,
                method=request.method,
                route=request.route,
            )
        started = time.perf_counter()
        status = 0
        failure: ArkerError | None = None
        body = request.body
        try:
            reply = self._wire(request.url.host).send(
                request.url,
                request.method,
                request.target,
                request.headers,
                body if isinstance(body, bytes) else body.pieces(),
                timeouts,
                request.read,
                budget.deadline,
            )
            with reply:
                status = reply.status
                return consume(reply)
        except ArkerError as error:
            failure = error
            error.attempts = budget.attempt
            error.method = request.method
            error.route = request.route
            raise
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
        """The whole answer of the API, if it is a success. Raises ArkerError."""
        return read_answer(reply.status, reply.headers, whole(reply), self.config.api_key)

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
        """A generated operation; `parts` is the request as the operation gave it. `convert` makes a value of
        the answer; it may refuse one by raising ArkerError, or KeyError, TypeError or ValueError for one that
        is not what the contract says, and is then dealt with like any other failure. Raises ArkerError."""
        request = self.request(
            parts["method"],
            operations.target(parts["url"], parts.get("params") or {}),
            timeouts,
            control=operation.HOST == "global" if control is None else control,
            repeatable=parts["method"].upper() in _REPEATABLE if repeatable is None else repeatable,
            body=dump(parts["json"]) if "json" in parts else None,
            headers=parts.get("headers"),
            read=read,
        )

        def consume(reply: Reply) -> R:
            return parse(operation, self.answer(reply), convert)

        return self.perform(budget, timeouts, lambda: request, consume)


def _through_httpx(client: httpx.Client | None) -> Wire:
    from .through_httpx import ThroughHttpx

    return ThroughHttpx(client)


def _common(accept: bytes) -> Headers:
    return [(b"User-Agent", _AGENT), (b"Accept", accept), (b"Accept-Encoding", b"identity")]


def dump(body: Any) -> bytes:
    """JSON for the wire."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # A lone surrogate is not text in UTF-8, but has an escape in JSON.
        return json.dumps(body, separators=(",", ":")).encode()


def parse(operation: Operation[..., T], answer: Answer, convert: Callable[[T], R]) -> R:
    """What a generated parser and then `convert` make of a success. Raises ArkerError."""
    try:
        return convert(operation.parse(answer.body))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ArkerError(
            "internal",
            f"HTTP {answer.status_code}: the answer is not what the contract says: {error!r}"[:500],
            answer.status_code,
            processed="maybe",
        ) from error
