"""Where profiles and keys are kept."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arker.cli import profiles
from arker.cli.base import Failure
from arker.cli.profiles import Profile, Profiles

KEY = "ark_" + "s" * 30


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests must not write to the keyring of the machine.
    monkeypatch.setitem(sys.modules, "keyring", None)


def test_profiles_are_read_as_they_were_written(tmp_path: Path) -> None:
    where = tmp_path / "config" / "arker"
    assert profiles.load(where) == Profiles(None, {})
    kept = Profiles(
        "a",
        {
            "a": Profile("https://a", "https://b", "file"),
            "c": Profile("https://c", "https://c", "keyring", True),
        },
    )
    profiles.save(where, kept)
    assert profiles.load(where) == kept
    assert stat.S_IMODE(where.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"current": "x", "profiles": {}}',
        '{"current": null, "profiles": {"a": {}}}',
        '{"current": null, "profiles": {"a": {"base_url": 1, "global_url": "", "key_in": "file"}}}',
        '{"current": null, "profiles": {"a": {"base_url": "", "global_url": "", "key_in": "sky"}}}',
        '{"current": null, "profiles": {"a": {"base_url": "", "global_url": "", "key_in": "file", "z": 1}}}',
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Failure, match=r"config\.json is not valid") as refused:
        profiles.load(tmp_path)
    assert refused.value.status == 2


def test_a_key_is_kept_where_only_its_owner_can_read(tmp_path: Path) -> None:
    assert profiles.keep_key(tmp_path, "a", KEY) == "file"
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert profiles.find_key(tmp_path, "a", "file") == KEY
    assert profiles.find_key(tmp_path, "b", "file") is None
    profiles.keep_key(tmp_path, "b", KEY + "b")
    profiles.forget_key(tmp_path, "a", "file")
    assert json.loads((tmp_path / "keys.json").read_text()) == {"b": KEY + "b"}


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    profiles.keep_key(tmp_path, "a", KEY)
    (tmp_path / "keys.json").chmod(0o640)
    with pytest.raises(Failure, match="other users can read the keys") as refused:
        profiles.find_key(tmp_path, "a", "file")
    assert KEY not in str(refused.value)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.keep_key(tmp_path, "a", KEY)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        profiles.keep_key(tmp_path, "a", "another")
    assert profiles.find_key(tmp_path, "a", "file") == KEY
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


# --- keyrings

Use = Callable[..., None]


@pytest.fixture
def use_keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Put a backend behind the real keyring package."""
    monkeypatch.delitem(sys.modules, "keyring")
    import keyring
    from keyring.backend import KeyringBackend
    from keyring.errors import KeyringLocked, PasswordDeleteError

    class Backend(KeyringBackend):  # type: ignore[misc]
        priority = 1  # type: ignore[assignment]

        def __init__(self, *, locked: bool, deaf: bool) -> None:
            super().__init__()
            self.held: dict[tuple[str, str], str] = {}
            self.locked = locked
            self.deaf = deaf

        def set_password(self, service: str, username: str, password: str) -> None:
            if self.locked:
                raise KeyringLocked("locked")
            if not self.deaf:
                self.held[service, username] = password

        def get_password(self, service: str, username: str) -> str | None:
            if self.locked:
                raise KeyringLocked("locked")
            return self.held.get((service, username))

        def delete_password(self, service: str, username: str) -> None:
            if self.held.pop((service, username), None) is None:
                raise PasswordDeleteError("none")

    previous = keyring.get_keyring()

    def use(*, locked: bool = False, deaf: bool = False) -> None:
        keyring.set_keyring(Backend(locked=locked, deaf=deaf))

    yield use
    keyring.set_keyring(previous)


def test_a_key_goes_to_the_keyring_if_there_is_one(tmp_path: Path, use_keyring: Use) -> None:
    use_keyring()
    assert profiles.keep_key(tmp_path, "a", KEY) == "keyring"
    assert not any(tmp_path.iterdir())
    assert profiles.find_key(tmp_path, "a", "keyring") == KEY
    profiles.forget_key(tmp_path, "a", "keyring")
    assert profiles.find_key(tmp_path, "a", "keyring") is None
    profiles.forget_key(tmp_path, "a", "keyring")


@pytest.mark.parametrize("trouble", ["locked", "deaf"])
def test_a_keyring_that_does_not_keep_is_passed_over(tmp_path: Path, use_keyring: Use, trouble: str) -> None:
    use_keyring(**{trouble: True})
    assert profiles.keep_key(tmp_path, "a", KEY) == "file"
    assert profiles.find_key(tmp_path, "a", "file") == KEY


def test_a_keyring_that_fails_later_says_so_and_not_the_key(tmp_path: Path, use_keyring: Use) -> None:
    use_keyring(locked=True)
    with pytest.raises(Failure, match="keyring, which fails: KeyringLocked"):
        profiles.find_key(tmp_path, "a", "keyring")


def test_a_keyring_can_be_refused(tmp_path: Path, use_keyring: Use) -> None:
    use_keyring()
    assert profiles.keep_key(tmp_path, "a", KEY, keyring=False) == "file"


def test_a_key_in_a_keyring_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="keyring package is not installed"):
        profiles.find_key(tmp_path, "a", "keyring")
