"""Profiles: deployments that the user has named. Which one a command uses, and where their keys are kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from .base import Failure

if TYPE_CHECKING:
    from types import ModuleType

#: Built-in profiles: the deployment of this machine, and the one of ARKER_API_KEY and ARKER_BASE_URL.
LOCAL: Final = "local"
ENVIRONMENT: Final = "environment"

#: The service name of our keys in keyrings.
SERVICE: Final = "arker"

KeyPlace = Literal["keyring", "file"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Profile:
    """A deployment: its two URLs, and where its key is. `allow_http`: its URLs may be http:// to other machines."""

    base_url: str
    global_url: str
    key_in: KeyPlace
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles, and the name of the current one, if any."""

    current: str | None
    named: Mapping[str, Profile]


def check_name(name: str) -> None:
    """Refuse a name that is not valid for a profile."""
    if name in (LOCAL, ENVIRONMENT):
        raise Failure(f"{name} is built in; choose another name", code="usage", status=2)
    if _NAME.fullmatch(name) is None:
        raise Failure(
            f"{name!r} cannot name a profile: 1 to 64 letters, digits, `.`, `_` and `-`",
            code="usage",
            status=2,
        )


def choose(asked: str | None, environ: Mapping[str, str], profiles: Profiles) -> str | None:
    """The profile that a command uses: the one asked for, else the environment, else the current one, else None.

    A URL in the environment without a key counts as a choice, so that the key of a profile is not sent to it.
    """
    if asked:
        return asked
    if environ.get("ARKER_API_KEY") or environ.get("ARKER_BASE_URL"):
        return ENVIRONMENT
    return profiles.current


# --- The files


def folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/arker`, or `~/.config/arker`."""
    given = environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".config") / "arker"


def load(where: Path) -> Profiles:
    """The profiles that a folder keeps."""
    file = where / "config.json"
    try:
        data = json.loads(file.read_bytes())
        named = {str(name): _profile(entry) for name, entry in data["profiles"].items()}
        current = data["current"]
        if current is not None and current != LOCAL and current not in named:
            raise ValueError(f"there is no profile {current!r}")
    except FileNotFoundError:
        return Profiles(None, {})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Failure(
            f"{file} is not valid ({type(error).__name__}: {error}); fix or remove it",
            code="usage",
            status=2,
        ) from None
    return Profiles(current, named)


def _profile(entry: dict[str, Any]) -> Profile:
    profile = Profile(**entry)
    urls = (profile.base_url, profile.global_url)
    if (
        not all(isinstance(url, str) for url in urls)
        or profile.key_in not in ("keyring", "file")
        or not isinstance(profile.allow_http, bool)
    ):
        raise ValueError(f"not a profile: {entry}")
    return profile


def save(where: Path, profiles: Profiles) -> None:
    """Write the profiles to a folder."""
    named = {name: asdict(profile) for name, profile in profiles.named.items()}
    _write(where / "config.json", {"current": profiles.current, "profiles": named})


def named(profiles: Profiles, name: str) -> Profile:
    """The profile of a name.

    Raises:
        Failure: there is none.
    """
    if name not in profiles.named:
        there_are = ", ".join([*profiles.named, LOCAL])
        raise Failure(f"there is no profile {name!r}; there are: {there_are}", code="usage", status=2)
    return profiles.named[name]


def with_profile(profiles: Profiles, name: str, profile: Profile) -> Profiles:
    """`profiles` with one added or replaced; the first one becomes the current one."""
    return Profiles(profiles.current or name, {**profiles.named, name: profile})


def without_profile(profiles: Profiles, name: str) -> Profiles:
    """`profiles` without one."""
    rest = {known: profile for known, profile in profiles.named.items() if known != name}
    return Profiles(None if profiles.current == name else profiles.current, rest)


def with_current(profiles: Profiles, name: str | None) -> Profiles:
    """`profiles` with another current one."""
    return replace(profiles, current=name)


# --- The keys


def keep_key(where: Path, name: str, key: str, *, keyring: bool = True) -> KeyPlace:
    """Keep a key in the system's keyring if one works, else in a file that only the user can read."""
    ring = _keyring() if keyring else None
    if ring is not None:
        # Keyrings fail in ways of their own: locked, no session bus, no backend.
        with contextlib.suppress(Exception):
            ring.set_password(SERVICE, name, key)
            if ring.get_password(SERVICE, name) == key:
                return "keyring"
    with _key_file(where) as keys:
        keys[name] = key
    return "file"


def find_key(where: Path, name: str, place: KeyPlace) -> str | None:
    """The key that is kept for a profile, or None."""
    if place == "file":
        return _read_keys(where / "keys.json").get(name)
    ring = _keyring()
    if ring is None:
        raise Failure(
            f"the key of {name} is in the system's keyring, but the keyring package is not installed here"
        )
    try:
        found = ring.get_password(SERVICE, name)
    except Exception as error:
        raise Failure(
            f"the key of {name} is in the system's keyring, which fails: {type(error).__name__}"
        ) from None
    return None if found is None else str(found)


def forget_key(where: Path, name: str, place: KeyPlace) -> None:
    """Remove a key, if it exists."""
    if place == "keyring" and (ring := _keyring()) is not None:
        with contextlib.suppress(Exception):
            ring.delete_password(SERVICE, name)
    if place == "file":
        with _key_file(where) as keys:
            keys.pop(name, None)


def _keyring() -> ModuleType | None:
    try:
        import keyring
    except ImportError:
        return None
    return keyring


@contextlib.contextmanager
def _key_file(where: Path) -> Iterator[dict[str, str]]:
    keys = _read_keys(where / "keys.json")
    yield keys
    _write(where / "keys.json", keys)


def _read_keys(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as opened:
            if os.name == "posix" and stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
                raise Failure(
                    f"other users can read the keys in {file}; revoke them, and run `chmod 600 {file}`"
                )
            keys = json.load(opened)
    except FileNotFoundError:
        return {}
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise Failure(f"{file} is not valid; fix or remove it")
    return keys


def _write(file: Path, data: object) -> None:
    """Replace a file atomically; other users can never read it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, part = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(fd, "w") as opened:
            json.dump(data, opened, indent=2)
            opened.write("\n")
            opened.flush()
            os.fsync(opened.fileno())
        Path(part).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(part).unlink()
        raise
