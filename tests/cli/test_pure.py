"""Decisions of the command line, as functions of values."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker import ArkerError, VmSummary
from arker.cli import units
from arker.cli.base import age, failure_of, printable
from arker.cli.copy import Remote, parse, target_in
from arker.cli.names import pick
from arker.cli.profiles import (
    ENVIRONMENT,
    Profile,
    Profiles,
    choose,
    with_profile,
    without_profile,
)
from arker.cli.tree import Vm, forest, lines, to_json
from arker.config import global_url_of
from arker.local.engine import Limits

# --- names


def vm(vm_id: str, name: str | None = None) -> VmSummary:
    return VmSummary(vm_id, name, "arkuntu", "local", datetime(2026, 1, 1, tzinfo=UTC))


A, B, C = vm("01KAAA", "web"), vm("01KAAB", "web"), vm("01KB", "01KAA")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("web", [A, B]),
        ("01KAAA", [A]),
        ("01kb", [C]),
        ("01K", [A, B, C]),
        # A name goes before the beginning of an id.
        ("01KAA", [C]),
        ("we", []),
        ("WEB", []),
        ("01KAAAA", []),
    ],
)
def test_pick(text: str, found: list[VmSummary]) -> None:
    assert pick(text, [A, B, C]) == found


# --- cp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vm:/home/user/x", Remote("vm", "/home/user/x")),
        ("vm:x/y", Remote("vm", "/home/user/x/y")),
        ("vm:", Remote("vm", "/home/user/")),
        ("vm:/home/user", Remote("vm", "/home/user/")),
        ("vm:sub/", Remote("vm", "/home/user/sub/")),
        ("vm:/etc/passwd", Remote("vm", "/etc/passwd")),
        ("vm:a:b", Remote("vm", "/home/user/a:b")),
        ("x", None),
        ("-", None),
        ("/a:b", None),
        ("./a:b", None),
        (":x", None),
    ],
)
def test_parse(text: str, expected: Remote | None) -> None:
    assert parse(text) == expected


def test_target_in() -> None:
    assert target_in("/home/user/", "a/b.txt") == "/home/user/b.txt"
    assert target_in("/home/user/c", "a/b.txt") == "/home/user/c"


# --- ls


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3600, "1h"), (86399, "23h"), (1e7, "115d")],
)
def test_age(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_tree() -> None:
    vms = [
        Vm("1", "root", "arkuntu", "base"),
        Vm("2", None, "arkuntu", "1"),
        Vm("3", "leaf", "arkuntu", "2"),
        Vm("4", "side", "arkuntu", "1"),
        Vm("5", "orphan", "arkuntu", "gone"),
        Vm("6", "other", "debian", None),
    ]
    trees = forest(vms)
    assert [indent + node.label for indent, node in lines(trees)] == [
        "arkuntu",
        "├─ root",
        "│  ├─ 2",
        "│  │  └─ leaf",
        "│  └─ side",
        "└─ orphan",
        "debian",
        "└─ other",
    ]
    assert to_json(trees)[1] == {
        "base_image": "debian",
        "forks": [{"vm_id": "6", "name": "other", "forks": []}],
    }


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), unique_by=lambda pair: pair[0]))
def test_a_tree_shows_every_computer_once_whatever_a_server_says(pairs: list[tuple[int, int]]) -> None:
    vms = [Vm(str(number), None, "arkuntu", str(parent)) for number, parent in pairs]
    shown = [node.vm.vm_id for _, node in lines(forest(vms)) if node.vm]
    assert sorted(shown) == sorted(vm.vm_id for vm in vms)


def test_a_deep_tree_needs_no_deep_stack() -> None:
    vms = [Vm(str(n), None, "arkuntu", str(n - 1)) for n in range(3000)]
    trees = forest(vms)
    assert sum(1 for _ in lines(trees)) == 3001
    assert to_json(trees)[0]["forks"]


# --- which deployment

CLOUD = Profile("https://r.arker.ai", "https://arker.ai", "file")


@pytest.mark.parametrize(
    ("asked", "environ", "current", "chosen"),
    [
        (None, {}, None, None),
        (None, {}, "cloud", "cloud"),
        (None, {"ARKER_API_KEY": "k"}, "cloud", ENVIRONMENT),
        # A URL without a key is an error later on: the key of a profile must not go there.
        (None, {"ARKER_BASE_URL": "https://other"}, "cloud", ENVIRONMENT),
        (None, {"ARKER_API_KEY": "", "ARKER_BASE_URL": ""}, "cloud", "cloud"),
        ("cloud", {"ARKER_API_KEY": "k"}, None, "cloud"),
    ],
)
def test_choose(asked: str | None, environ: dict[str, str], current: str | None, chosen: str | None) -> None:
    assert choose(asked, environ, Profiles(current, {"cloud": CLOUD})) == chosen


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://aws-us-west-2.burst.arker.ai", "https://arker.ai"),
        ("https://arker.ai", "https://arker.ai"),
        ("http://127.0.0.1:8720", "http://127.0.0.1:8720"),
        ("https://evil-arker.ai", "https://evil-arker.ai"),
        ("https://arker.ai.example.org", "https://arker.ai.example.org"),
        ("https://example.org/arker.ai", "https://example.org/arker.ai"),
    ],
)
def test_the_key_of_one_deployment_goes_to_no_other(base: str, expected: str) -> None:
    assert global_url_of(base) == expected


def test_the_first_profile_is_the_current_one_until_it_is_removed() -> None:
    profiles = with_profile(Profiles(None, {}), "a", CLOUD)
    profiles = with_profile(profiles, "b", CLOUD)
    assert (profiles.current, list(profiles.named)) == ("a", ["a", "b"])
    assert without_profile(profiles, "b") == Profiles("a", {"a": CLOUD})
    assert without_profile(profiles, "a") == Profiles(None, {"b": CLOUD})


# --- what is said


def test_strangers_text_moves_no_cursor() -> None:
    assert printable("a\x1b[2Jb\r\nc\u202e") == "a\ufffd[2Jb\ufffd\ufffdc\ufffd"
    assert printable("Grüße 🌍") == "Grüße 🌍"


def test_an_error_says_what_to_do() -> None:
    def told(error: ArkerError) -> str:
        return failure_of(error).format_message()

    assert told(ArkerError("vm_busy", "session 0 runs a command")).endswith("--session NAME")
    lost = ArkerError("network", "no answer", processed="maybe")
    assert told(lost) == "network: no answer; it may have been carried out"
    assert "arker serve" in told(ArkerError("network", "could not send", processed="no"))
    assert told(ArkerError("new_code", "what it says")) == "new_code: what it says"
    # In JSON, the code has a field of its own.
    assert failure_of(ArkerError("new_code", "what it says")).message == "what it says"


# --- units


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("memory", "1GiB", 1 << 30),
        ("memory", "1.5 gib", 3 << 29),
        ("disk", "2GB", 2_000_000_000),
        ("disk", "2e9", 2_000_000_000),
        ("run_output", "64k", 64 << 10),
        ("run_output", "1000", 1000),
        ("run", "10min", 600),
        ("idle", "90s", 90),
        ("run", "0.5", 0.5),
        ("processes", "64", 64),
        # The deployment says which names there are.
        ("memry", "64", 64),
    ],
)
def test_limits_take_units(name: str, text: str, value: float) -> None:
    assert units.parse(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("memory", "10s", "a size"),
        ("memory", "much", "a size"),
        ("memory", "-1", "a size"),
        ("memory", "nan", "a size"),
        ("run", "1GiB", "a time"),
        ("run", "", "a time"),
        ("processes", "1k", "a number"),
        ("processes", "inf", "a number"),
    ],
)
def test_a_limit_says_what_it_expects(name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"expected {expected}"):
        units.parse(name, text)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("memory", 4 << 30, "4GiB"),
        ("memory", 1_000_000_000, "1000000000B"),
        ("run", 3600, "1h"),
        ("idle", 300, "5min"),
        ("idle", 0.5, "0.5s"),
        ("shells", 32, "32"),
    ],
)
def test_limits_are_shown_with_units(name: str, value: float, text: str) -> None:
    assert units.show(name, value) == text


@given(st.sampled_from([field.name for field in fields(Limits)]), st.integers(1, 1 << 50))
def test_limits_are_accepted_as_they_are_shown(name: str, value: int) -> None:
    assert units.parse(name, units.show(name, value)) == value


def test_every_limit_with_a_unit_is_one_of_a_computer() -> None:
    assert {field.name for field in fields(Limits)} >= units.SIZES | units.TIMES
