"""Where to send requests and with which key: from arguments and the environment. No I/O here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from .errors import ArkerError, bad_request

__all__ = ["Timeouts"]

BASE_URL: Final = "https://aws-us-west-2.burst.arker.ai"
GLOBAL_URL: Final = "https://arker.ai"
#: Longest time for any option, in seconds: operating systems count no further than some centuries.
LONGEST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds; each value is above 0 and at most 1 000 000 000. A call never waits for more
    than 23 days.

    Args:
        total: A whole call, with its retries and the pauses between them. A file transfer gets one more
            second for each 64 KiB. `run` has its own limit instead; see `run`.
        connect: Opening a connection, with TLS.
        read: From one piece of an answer to the next, and how long a `run` waits beyond the timeout of its
            command.
        write: From one piece of a request to the next.
        pool: Waiting for one of `max_connections` to become free.
        run: Waiting for a command that has no `timeout` of its own. It does not stop the command.

    Raises:
        ValueError: for a time out of range.
    """

    total: float = 120.0
    connect: float = 10.0
    read: float = 60.0
    write: float = 60.0
    pool: float = 60.0
    run: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("total", "connect", "read", "write", "pool", "run"):
            check_seconds(name, getattr(self, name))


def check_seconds(name: str, value: float) -> float:
    """Return `value` if it is a valid time in seconds; otherwise raise ValueError, or TypeError if it is not a
    number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {type(value).__name__}")
    if not 0 < value <= LONGEST:
        raise ValueError(f"{name} must be above 0 and at most {LONGEST} seconds, not {str(value)[:20]}")
    return value


_PLACE: Final = re.compile("[a-z0-9-]{1,40}")


class Unchanged:
    """Marks an option that was not given, where None is a valid value."""

    def __repr__(self) -> str:
        return "unchanged"


UNCHANGED: Final = Unchanged()


class Secret(str):
    """A str that tracebacks which show variables, such as pytest's, do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[redacted]'"


class SecretBytes(bytes):
    """Bytes that tracebacks do not show; see `Secret`."""

    def __repr__(self) -> str:
        return "b'[redacted]'"


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL that a connection and a request need."""

    scheme: str
    #: An IPv6 address includes its zone, if it has one: `fe80::1%eth0`.
    host: str
    port: int
    #: Path and query. In a base URL, the prefix of all paths, without a slash at its end. In a signed URL,
    #: secret.
    target: str = field(repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port; URLs with the same origin can share connections."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of a `Host` header: without the zone of an IPv6 address, which only has a meaning on this
        machine."""
        return self._with_port(self.host.partition("%")[0])

    @property
    def netloc(self) -> str:
        """Host and port in a URL."""
        return self._with_port(self.host.replace("%", "%25"))

    def _with_port(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"


def parse_url(url: str) -> Url:
    """Parse a URL. Raises ValueError, whose message does not contain the URL, because it may be secret."""
    url = Secret(url)
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError("a URL has only printable ASCII characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL begins with https:// or http://")
    try:
        if not parts.hostname or parts.hostname.startswith("."):
            raise ValueError
        parts.hostname.encode("idna")
    except ValueError:
        raise ValueError("a URL names a host") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not carry a user name or password")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ValueError("the port of a URL is a number from 1 to 65535") from None
    target = Secret(parts.path + (f"?{parts.query}" if parts.query else ""))
    # RFC 6874: the % before a zone is percent-encoded.
    return Url(parts.scheme, parts.hostname.replace("%25", "%", 1), port, target)


def global_url_of(base_url: str) -> str:
    """The global host that belongs to a regional one: Arker's own for its regions. Any other deployment serves
    both APIs at one URL, so that its key is never sent to Arker."""
    return GLOBAL_URL if is_platform(urlsplit(base_url).hostname or "") else base_url


def is_platform(host: str) -> bool:
    """Whether a host is one of Arker's own."""
    return host == "arker.ai" or host.endswith(".arker.ai")


@dataclass(frozen=True, slots=True)
class Config:
    """A deployment: its two hosts and its key."""

    api_key: str = field(repr=False)
    regional: Url
    control: Url
    #: Whether the hosts belong to different deployments: the regional host is a private deployment, and the global
    #: host is Arker's because none is set.
    mixed: bool = False


def resolve(
    api_key: str | None,
    base_url: str | None,
    global_url: str | None,
    environ: Mapping[str, str],
    *,
    provider: str | None = None,
    region: str | None = None,
    allow_http: bool = False,
) -> Config:
    """Combine arguments, environment and defaults, in this order; an empty variable counts as absent.

    Raises ArkerError: `unauthorized` without a key, `bad_request` for an invalid key or URL;
    TypeError.
    """
    names = (
        "ARKER_API_KEY", "ARKER_BASE_URL", "ARKER_GLOBAL_URL", "ARKER_CONTROL_BASE_URL",
        "ARKER_PROVIDER", "ARKER_REGION",
    )  # fmt: skip
    key, base, control, control_base, its_provider, its_region = [
        Secret(environ.get(name, "")) or None for name in names
    ]
    control = control or control_base
    placed = _placed(provider or its_provider, region or its_region)
    if base_url is None and (base is None or provider or region):
        base = placed or base
    # It may contain any secrets of the process, and tracebacks with variables would show them.
    del environ
    key = _key(api_key if api_key is not None else key)
    regional = _base("base_url", "ARKER_BASE_URL", base_url, base, BASE_URL, allow_http)
    given = global_url is not None or control is not None
    return Config(
        key,
        regional,
        _base("global_url", "ARKER_GLOBAL_URL", global_url, control, GLOBAL_URL, allow_http),
        mixed=not given and not is_platform(regional.host),
    )


def _placed(provider: str | None, region: str | None) -> Secret | None:
    """The platform's host of a region; None if no region is given."""
    if provider is None and region is None:
        return None
    if provider is None or region is None:
        raise bad_request("provider and region go together: give both, or neither")
    if not _PLACE.fullmatch(provider) or not _PLACE.fullmatch(region):
        raise bad_request("provider and region are lowercase letters, digits and `-`")
    return Secret(f"https://{provider}-{region}.arker.ai")


def _key(key: str | None) -> Secret:
    if not isinstance(key, (str, type(None))):
        raise TypeError(f"api_key is a str, not {type(key).__name__}")
    if not key:
        raise ArkerError(
            "unauthorized",
            "no API key: pass api_key=, or set ARKER_API_KEY (and for a deployment of your own the URLs; `arker serve` "
            "prints all three); Arker.local() needs no key",
            401,
        )
    # Never show the key, not even partly.
    key = Secret(key)
    if not key.isascii() or not key.isprintable() or key != key.strip() or " " in key:
        raise bad_request(
            "the API key has characters that no key has: white space, control or non-ASCII ones"
        )
    return key


def _base(
    name: str, variable: str, argument: str | None, found: str | None, default: str, allow_http: bool
) -> Url:
    origin, text = (variable, found) if argument is None and found is not None else (name, argument)
    if not isinstance(text, (str, type(None))):
        raise TypeError(f"{name} is a str, not {type(text).__name__}")
    try:
        url = parse_url(text if text is not None else default)
        if "?" in url.target or "#" in (text or ""):
            raise ValueError("the URL of a deployment has no query and no fragment")
    except ValueError as error:
        raise bad_request(f"{origin}: {error}") from None
    if url.scheme == "http" and not allow_http and not is_loopback(url.host):
        raise bad_request(
            f"{origin}: http:// would send the API key in clear to {url.host}; use https://, or "
            "allow_http=True on a network that you trust"
        )
    # URLs of contract 0.3 end with the prefix that paths of contract 0.1 begin with.
    return Url(url.scheme, url.host, url.port, url.target.rstrip("/").removesuffix("/api"))


def is_loopback(host: str) -> bool:
    """Whether a host name denotes this machine without a lookup."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
