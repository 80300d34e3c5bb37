"""The base of all endpoints: authentication, and helpers for requests."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from arker.local.service.access import Principal
from arker.local.service.computers import Computer
from arker.local.service.errors import ApiError
from arker.local.service.idempotency import Once
from arker.local.service.platform import Platform

from .answers import Answer
from .bounds import UnderWay
from .headers import header
from .metrics import Metrics
from .ratelimit import RateLimit
from .schemas import Body, digest

#: Key in the scope of a request that counts against its organization's limit; the value is the organization's id.
COUNTED: Final = "arker.counted"
#: Stands for an encoded slash until a route is found; not a character that a name can contain.
SLASH: Final = "\ufdd0"
#: The methods that requests may have.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_HOST: Final = re.compile(
    r"[0-9A-Za-z.-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Context:
    """What endpoints work with; stored as `app.state.context`.

    Attributes:
        public_url: the URL at which clients reach the deployment, if it differs from the Host of their requests.
        own_url: where the deployment listens.
        stopping: set when the deployment is about to stop, so that streaming answers end.
        under_way: how many requests of each organization are under way.
        followers: how many read the events of each run.
    """

    platform: Platform
    metrics: Metrics
    limit: RateLimit
    under_way: UnderWay
    public_url: str | None
    own_url: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    followers: Counter[str] = field(default_factory=Counter)


class Endpoint:
    """A route; the methods of requests to it are those of the class."""

    #: Whether it answers requests without a key.
    public: ClassVar[bool] = False
    #: Whether the path is in contract 0.1 only.
    only_0_1: ClassVar[bool] = False
    #: Whether it is in contract 0.3 only.
    only_0_3: ClassVar[bool] = False
    #: The names of its operations in contract 0.3, by method.
    operations: ClassVar[Mapping[str, str]] = {}

    #: The methods that it has, such as GET.
    methods: ClassVar[Sequence[str]] = ()

    def __init_subclass__(cls) -> None:
        cls.methods = [name for name in METHODS if hasattr(cls, _handler(name))]

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        """Authenticate the caller before anything else is read, then answer."""
        request = Request(self.scope, self.receive)
        if SLASH in self.scope["path"]:
            # An encoded slash is part of the value.
            self.scope["path_params"] = {
                name: value.replace(SLASH, "/") if isinstance(value, str) else value
                for name, value in self.scope["path_params"].items()
            }
        method: str = self.scope["method"]
        if method not in self.methods:
            raise HTTPException(405, headers={"Allow": ", ".join(self.methods)})
        handler: Callable[[Request], Awaitable[Response]] = getattr(self, _handler(method))
        if not self.public:
            authenticate(request)
        response = await handler(request)
        await response(self.scope, self.receive, self.send)


def _handler(method: str) -> str:
    return "get" if method == "HEAD" else method.lower()


def context(connection: HTTPConnection) -> Context:
    """Return the context of the app."""
    found: Context = connection.scope["app"].state.context
    return found


def platform(connection: HTTPConnection) -> Platform:
    """Return the services."""
    return context(connection).platform


def authenticate(connection: HTTPConnection, name: bytes = b"authorization") -> None:
    """Authenticate a request by the key in a header; `who` returns the caller from then on.

    Raises:
        ApiError: `unauthorized` or `rate_limited`.
    """
    scheme, _, key = header(connection, name, "").partition(" ")
    if not key:
        raise ApiError("unauthorized", "no API key: send it as `Authorization: Bearer <api key>`")
    if scheme.lower() != "bearer":
        raise ApiError("unauthorized", "the Authorization header must be `Bearer <api key>`")
    found = context(connection)
    principal = found.platform.access.authenticate(key.strip(" "))
    connection.scope["arker.who"] = principal
    connection.scope["arker.key"] = principal.key_id
    if not found.under_way.begin(principal.org_id):
        raise ApiError("rate_limited", "too many requests of this organization are under way", retry_after=1)
    connection.scope[COUNTED] = principal.org_id
    wait = found.limit.wait(principal.org_id, time.monotonic())
    if wait:
        raise ApiError("rate_limited", "too many requests a second from this organization", retry_after=wait)


def who(connection: HTTPConnection) -> Principal:
    """Return the authenticated caller."""
    found: Principal = connection.scope["arker.who"]
    return found


def owned(request: Request, action: str) -> Computer:
    """Return the computer of the path, if the caller may use it; see `Access.owned`."""
    return platform(request).access.owned(who(request), request.path_params["vm_id"], action)


def json(content: Any) -> Response:
    """Return a JSON response; `content` may be encoded already."""
    return Answer(content if isinstance(content, bytes) else to_json(content), media_type="application/json")


def wants_ours(request: Request) -> bool:
    """Return whether the caller asks for fields that only embedded deployments have."""
    return header(request, b"arker-local", "") == "1"


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key of a request; None if it has none.

    Raises:
        ApiError: `bad_request`.
    """
    key = header(request, b"idempotency-key", None)
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise ApiError("bad_request", "Idempotency-Key: expected 1 to 64 visible ASCII characters")
    return key


def once(key: str | None, body: Body) -> Once | None:
    """Return what the service needs to carry out a request once."""
    return None if key is None else Once(key, digest(body))


def base_url(request: Request) -> str:
    """Return the base of signed URLs.

    The Host header is trusted: only the authenticated caller sees the URL made from it,
    and it is correct behind a tunnel or a published port, where the address that we listen on is not.
    """
    found = context(request)
    if found.public_url is not None:
        return found.public_url
    host = header(request, b"host", "")
    return f"http://{host}" if _HOST.fullmatch(host) else found.own_url
