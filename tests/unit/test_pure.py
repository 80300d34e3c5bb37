"""Paths, ids, uploads, configuration, results: functions of values."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arker_api.control.models import VmPage
from arker_api.regional.models import RunResponse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

import arker
from arker import ArkerError, Failure, RunResult, Success, Timeouts, VmList, VmSummary
from arker.commands import command_of
from arker.config import BASE_URL, GLOBAL_URL, parse_url, resolve
from arker.contract import LARGEST_CHUNK
from arker.ids import is_vm_id, new_ulid
from arker.operations import route, target
from arker.paths import check_path
from arker.results import expected, run_result, vm_list
from arker.transfers import batches, chunks, resume_at, sha256_of


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/home/user/a",
            "/home/user/a/b.txt",
            "/home/user/..a",
            "/home/user/a b",
            "/home/user/ä€",
            "/home/user/./a",
        ],
    )
    def test_good(self, path: str) -> None:
        assert check_path(path) == path

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("", "not below"),
            ("a", "not below"),
            ("home/user/a", "not below"),
            ("/etc/passwd", "not below"),
            ("/home/user", "not below"),
            ("/home/username/a", "not below"),
            ("/home/user/", "folder"),
            ("/home/user/a/", "folder"),
            ("/home/user/a/.", "folder"),
            ("/home/user/../root/a", r"\.\."),
            ("/home/user/a/..", r"\.\."),
            ("/home/user/a\0b", "NUL"),
            ("/home/user/" + "a" * 256, "segment longer"),
            ("/home/user/" + "ä" * 128, "segment longer"),
            ("/home/user/" + "a/" * 2050 + "b", "longer than 4095"),
            ("/home/user/\ud800", "Unicode"),
        ],
    )
    def test_bad(self, path: str, why: str) -> None:
        with pytest.raises(ArkerError, match=why) as caught:
            check_path(path)
        assert (caught.value.code, caught.value.status, caught.value.attempts) == ("bad_request", 400, 0)

    @pytest.mark.parametrize("path", [None, b"/home/user/a", 3])
    def test_not_a_path(self, path) -> None:
        with pytest.raises(TypeError):
            check_path(path)

    @given(st.text().map(lambda text: "/home/user/" + text))
    def test_accepted_paths_stay_below_home(self, path: str) -> None:
        try:
            check_path(path)
        except ArkerError:
            return
        assert ".." not in path.split("/")
        assert "\0" not in path
        assert not path.endswith("/")
        path.encode()


class TestIds:
    def test_ulids_have_the_form_and_do_not_repeat(self) -> None:
        ids = [new_ulid() for _ in range(1000)]
        assert len(set(ids)) == 1000
        assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", ulid) for ulid in ids)

    def test_later_ulids_sort_later(self) -> None:
        assert new_ulid()[:8] <= new_ulid()[:8]

    @pytest.mark.parametrize(
        "vm_id",
        ["01KQBYKEV5WJ7YB010603T1DCT_d8c0", "01KQBYKEV5WJ7YB010603T1DCT", "01KQBYKEV5WJ7YB010603T1DCT_A9"],
    )
    def test_vm_ids(self, vm_id: str) -> None:
        assert is_vm_id(vm_id)

    @pytest.mark.parametrize(
        "name",
        [
            "arkuntu",
            "01kqbykev5wj7yb010603t1dct",
            "01KQBYKEV5WJ7YB010603T1DC",
            "01KQBYKEV5WJ7YB010603T1DCU",
            "01KQBYKEV5WJ7YB010603T1DCT_",
            "01KQBYKEV5WJ7YB010603T1DCT_d8-0",
            "01KQBYKEV5WJ7YB010603T1DCT_d8c0\n",
            "",
        ],
    )
    def test_names(self, name: str) -> None:
        assert not is_vm_id(name)

    def test_the_base_image(self) -> None:
        from arker.computer import SOURCE_ALIASES

        assert SOURCE_ALIASES["arkuntu"] == "01KQBYKEV5WJ7YB010603T1DCT_d8c0"


class TestUploads:
    @given(
        st.integers(0, 50 * 2**20),
        st.lists(
            st.tuples(st.integers(0, 60 * 2**20), st.integers(0, 60 * 2**20)).map(
                lambda pair: tuple(sorted(pair))
            )
        ),
    )
    def test_chunks_and_what_is_there_cover_the_file_and_no_byte_twice(self, size: int, have) -> None:
        missing = chunks(size, have)
        assert all(0 < end - start <= LARGEST_CHUNK for start, end in missing)
        assert missing == sorted(missing)
        position = 0
        covered = sorted([*missing, *have])
        for start, end in covered:
            assert start <= position or position >= size
            position = max(position, end)
        assert position >= size
        for start, end in missing:
            assert not any(start < stop and begin < end for begin, stop in have)

    def test_a_whole_file(self) -> None:
        assert chunks(10) == [(0, 10)]
        assert chunks(0) == []
        assert chunks(LARGEST_CHUNK + 1) == [(0, LARGEST_CHUNK), (LARGEST_CHUNK, LARGEST_CHUNK + 1)]

    @given(st.lists(st.integers(0, 120)))
    def test_batches_keep_order_and_limits(self, sizes: list[int]) -> None:
        packed = batches(sizes, int, most_bytes=100, most_items=8)
        assert [size for batch in packed for size in batch] == sizes
        for batch in packed:
            assert len(batch) == 1 or (len(batch) <= 8 and sum(batch) <= 100)
        for batch, following in itertools.pairwise(packed):
            assert len(batch) == 8 or sum(batch) + following[0] > 100

    @pytest.mark.parametrize(
        ("header", "found"),
        [
            (None, False),
            ("", False),
            ("sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:", True),
            ("md5=:rL0Y20zC+Fzt72VPzMSk2A==:, sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:", True),
            ("sha-512=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:", False),
            ("x-sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:", False),
            ("sha-256=:short:", False),
            ("sha-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", False),
        ],
    )
    def test_announced_digests(self, header: str | None, found: bool) -> None:
        assert sha256_of(header) == (hashlib.sha256(b"abc").digest() if found else None)

    def test_resuming(self) -> None:
        assert resume_at(200, None, 50, 100) == 0
        assert resume_at(206, "bytes 50-99/100", 50, 100) == 50
        for wrong in (None, "bytes 40-99/100", "bytes 50-99/200", "bytes 50-98/100", "bytes 50-99/*", "x"):
            with pytest.raises(ValueError, match="asked for bytes 50-99/100"):
                resume_at(206, wrong, 50, 100)


class TestConfig:
    def test_defaults(self) -> None:
        config = resolve("k", None, None, {})
        assert (str(config.regional), str(config.control)) == (BASE_URL, GLOBAL_URL)

    def test_arguments_come_before_the_environment_and_that_before_defaults(self) -> None:
        environ = {"ARKER_API_KEY": "e", "ARKER_BASE_URL": "https://e1", "ARKER_GLOBAL_URL": "https://e2"}
        config = resolve(None, None, None, environ)
        assert (config.api_key, str(config.regional), str(config.control)) == (
            "e",
            "https://e1",
            "https://e2",
        )
        config = resolve("a", "https://a1/", "https://a2:8443/prefix/", environ)
        assert (config.api_key, str(config.regional), str(config.control)) == (
            "a",
            "https://a1",
            "https://a2:8443/prefix",
        )

    def test_the_global_host_does_not_follow_the_regional_one(self) -> None:
        assert str(resolve("k", "https://elsewhere", None, {}).control) == GLOBAL_URL

    def test_a_url_of_contract_0_3_is_that_of_its_host(self) -> None:
        config = resolve("k", "https://a/api/", None, {"ARKER_CONTROL_BASE_URL": "https://b/api"})
        assert (str(config.regional), str(config.control)) == ("https://a", "https://b")
        environ = {"ARKER_CONTROL_BASE_URL": "https://b/api", "ARKER_GLOBAL_URL": "https://c"}
        assert str(resolve("k", None, None, environ).control) == "https://c"

    def test_a_region_of_the_platform_has_its_host(self) -> None:
        environ = {"ARKER_PROVIDER": "aws", "ARKER_REGION": "us-east-1"}
        assert str(resolve("k", None, None, environ).regional) == "https://aws-us-east-1.arker.ai"
        given = resolve("k", None, None, environ, provider="gcp", region="europe-west1")
        assert str(given.regional) == "https://gcp-europe-west1.arker.ai"
        assert str(resolve("k", "https://mine", None, environ).regional) == "https://mine"
        environ["ARKER_BASE_URL"] = "https://set"
        assert str(resolve("k", None, None, environ).regional) == "https://set"

    @pytest.mark.parametrize(
        ("provider", "region"), [("aws", None), (None, "x"), ("a.b", "x"), ("aws", "/x")]
    )
    def test_invalid_regions_are_refused(self, provider: str | None, region: str | None) -> None:
        with pytest.raises(ArkerError, match="provider and region"):
            resolve("k", None, None, {}, provider=provider, region=region)

    def test_an_empty_variable_is_absent(self) -> None:
        assert str(resolve("k", None, None, {"ARKER_BASE_URL": ""}).regional) == BASE_URL

    def test_no_key(self) -> None:
        for environ in ({}, {"ARKER_API_KEY": ""}):
            with pytest.raises(ArkerError, match="ARKER_API_KEY") as caught:
                resolve(None, None, None, environ)
            assert (caught.value.code, caught.value.status) == ("unauthorized", 401)

    @pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a b", "ключ", "a\0", " a", "a\n"])
    def test_an_impossible_key_is_refused_and_not_shown(self, key: str) -> None:
        with pytest.raises(ArkerError) as caught:
            resolve(key, None, None, {})
        assert caught.value.code == "bad_request"
        assert key not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://user:secret@example.com",
            "https://example.com?x=1",
            "https://example.com#x",
            "https://example.com:99999",
            "https://exa mple.com",
            "https://" + "a" * 70 + ".com",
            "https://.example.com",
        ],
    )
    def test_an_impossible_url_is_refused_by_name(self, url: str) -> None:
        with pytest.raises(ArkerError, match="base_url") as caught:
            resolve("k", url, None, {})
        assert caught.value.code == "bad_request"
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "a.localhost", "[::1]"])
    def test_plain_http_to_this_machine(self, host: str) -> None:
        assert resolve("k", f"http://{host}:8720", None, {}).regional.scheme == "http"

    @pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "localhost.example.com"])
    def test_plain_http_to_another_machine_only_on_request(self, host: str) -> None:
        with pytest.raises(ArkerError, match="allow_http"):
            resolve("k", f"http://{host}", None, {})
        assert resolve("k", f"http://{host}", None, {}, allow_http=True).regional.host == host

    def test_the_key_is_not_in_the_repr(self) -> None:
        assert "sk_secret" not in repr(resolve("sk_secret", None, None, {}))

    @pytest.mark.parametrize("written", ["[fe80::A%25Eth0]", "[fe80::a%Eth0]"])
    def test_an_address_with_its_zone(self, written: str) -> None:
        url = parse_url(f"http://{written}:8080/a")
        assert url.host == "fe80::a%Eth0"
        # The zone is of this machine alone.
        assert url.authority == "[fe80::a]:8080"
        assert str(url) == "http://[fe80::a%25Eth0]:8080/a"
        assert parse_url(str(url)) == url

    def test_urls(self) -> None:
        url = parse_url("http://[::1]:8080/a?b=c")
        assert (url.origin, url.authority, url.target) == (("http", "::1", 8080), "[::1]:8080", "/a?b=c")
        assert parse_url("https://h:443/").authority == "h"

    @pytest.mark.parametrize(
        "url", ["https://h:secret/", "https://u:secret@h", "secret://h", "https://:1/secret"]
    )
    def test_no_error_repeats_the_url(self, url: str) -> None:
        with pytest.raises(ValueError, match="URL") as caught:
            parse_url(url)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("wrong", [0, -1, float("inf"), float("nan")])
    def test_impossible_timeouts(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="must be above 0"):
            Timeouts(total=wrong)

    def test_timeouts_are_numbers(self) -> None:
        with pytest.raises(TypeError):
            Timeouts(read="5")  # type: ignore[arg-type]


class TestCommands:
    @pytest.mark.parametrize("env", [{"KEY": b"secret"}, {b"KEY": "secret"}, {"KEY": ("secret",)}])
    def test_an_error_about_a_variable_does_not_show_its_value(self, env: Any) -> None:
        with pytest.raises(TypeError, match="env") as caught:
            command_of("true", None, None, None, env)
        assert "secret" not in str(caught.value)

    def test_the_repr_shows_no_variables(self) -> None:
        command = command_of("true", "0", 5, "/tmp", {"KEY": "secret"})
        assert "secret" not in repr(command)
        assert command.fields()["env"] == {"KEY": "secret"}


class TestRoutes:
    @pytest.mark.parametrize(
        ("path", "template"),
        [
            ("/api/v1/vms/01KQBYKEV5WJ7YB010603T1DCT_d8c0/run", "/api/v1/vms/{vm_id}/run"),
            ("/api/v1/vms/01KQBYKEV5WJ7YB010603T1DCT", "/api/v1/vms/{vm_id}"),
            ("/api/v1/vms/list", "/api/v1/vms/list"),
            ("/api/v1/vms/fork", "/api/v1/vms/fork"),
            ("/api/v1/vms/01KQBYKEV5WJ7YB010603T1DCT/runs/01KB", "/api/v1/vms/{vm_id}/runs/{run_id}"),
            (
                "/api/v1/vms/01KQBYKEV5WJ7YB010603T1DCT/sessions/0/pty",
                "/api/v1/vms/{vm_id}/sessions/{session_id}/pty",
            ),
        ],
    )
    def test_templates(self, path: str, template: str) -> None:
        assert route(path) == template

    def test_queries(self) -> None:
        assert target("/a", {}) == "/a"
        assert (
            target("/a", {"q": "x y&z", "n": 1, "b": True, "l": [1, 2]}) == "/a?q=x+y%26z&n=1&b=true&l=1&l=2"
        )


RESULT = RunResult(b"out\xff", b"err", 3, 1.5, "0", "/home/user", True, True)


class TestResults:
    def test_run_result(self) -> None:
        assert RESULT.text == "out\ufffd"
        assert not RESULT.ok
        assert dataclasses.replace(RESULT, exit_code=0).ok
        assert not dataclasses.replace(RESULT, exit_code=0, completed=False).ok

    def test_check(self) -> None:
        fine = dataclasses.replace(RESULT, exit_code=0)
        assert fine.check() is fine
        with pytest.raises(ArkerError, match="exit code 3: err") as caught:
            RESULT.check()
        assert (caught.value.code, caught.value.result) == ("command_failed", RESULT)
        with pytest.raises(ArkerError, match="timeout"):
            dataclasses.replace(RESULT, completed=False, exit_code=124).check()

    @pytest.mark.parametrize(
        ("exit_code", "reason", "said"),
        [
            (137, "signalled", "ended by signal 9 (SIGKILL)"),
            (137, "exited", "exit code 137 (128 + SIGKILL)"),
            (137, None, "exit code 137 (128 + SIGKILL)"),
            (255, "signalled", "ended by signal 127"),
            (137, "out_of_memory", "ended because its computer used too much memory"),
            (143, "cancelled", "cancelled"),
            (124, "timed_out", "ended by its timeout"),
            (1, "struck by lightning", "ended: struck by lightning"),
            (200, None, "exit code 200"),
        ],
    )
    def test_how_a_run_ended(self, exit_code: int, reason: str | None, said: str) -> None:
        result = dataclasses.replace(
            RESULT,
            stderr=b"",
            exit_code=exit_code,
            reason=reason,
            completed=reason not in ("timed_out", "cancelled"),
        )
        with pytest.raises(ArkerError) as caught:
            result.check()
        assert caught.value.message == said

    def test_json(self) -> None:
        noted = dataclasses.replace(RESULT, notes=("killed: it was too large",))
        for result in (RESULT, noted):
            assert RunResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
        # Of a version that knew no notes.
        old = {name: value for name, value in RESULT.to_dict().items() if name != "notes"}
        assert RunResult.from_dict(old) == RESULT

    def test_pydantic_takes_it(self) -> None:
        adapter = TypeAdapter(RunResult)
        assert adapter.validate_python(dataclasses.asdict(RESULT)) == RESULT

    @given(st.binary(), st.binary())
    def test_any_output_survives_json(self, stdout: bytes, stderr: bytes) -> None:
        result = dataclasses.replace(RESULT, stdout=stdout, stderr=stderr)
        assert RunResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result

    def test_values_are_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            RESULT.exit_code = 0  # type: ignore[misc]

    @pytest.mark.parametrize(("session", "text"), [(0, "0"), ("a", "a"), (7, "7"), (None, "0")])
    def test_a_session_id_is_always_text(self, session: object, text: str) -> None:
        body = {"stdout": "", "stderr": "", "exit_code": 0, "session_id": session}
        assert run_result(RunResponse.from_dict(body)).session_id == text

    def test_base64_output(self) -> None:
        body = {
            "stdout": "/w==",
            "stdout_encoding": "base64",
            "stderr": "",
            "exit_code": 0,
            "stderr_truncated": True,
        }
        result = run_result(RunResponse.from_dict(body))
        assert result.stdout == b"\xff"
        assert result.truncated

    @pytest.mark.parametrize(
        "wrong",
        [
            {"stdout": 3},
            {"stdout": "!", "stdout_encoding": "base64"},
            {"stdout_encoding": "latin"},
            {"exit_code": "x"},
        ],
    )
    def test_an_answer_that_is_none(self, wrong: dict[str, object]) -> None:
        body = {"stdout": "", "stderr": "", "exit_code": 0, **wrong}
        with pytest.raises((TypeError, ValueError)):
            run_result(RunResponse.from_dict(body))

    def test_a_page(self) -> None:
        row = {
            "vm_id": "x",
            "name": None,
            "base_image": "b",
            "region": "r",
            "created_at": "2026-01-01T02:00:00+02:00",
        }
        page = vm_list(VmPage.from_dict({"items": [row], "total": 7}))
        when = datetime(2026, 1, 1, tzinfo=UTC)
        summary = VmSummary("x", None, "b", "r", when)
        assert page == VmList((summary,), 7)
        assert page[0].created_at.utcoffset() == timedelta(0)
        assert (len(page), list(page), page[0], page[:1]) == (1, [summary], summary, (summary,))

    def test_outcomes(self) -> None:
        made = Success(3)
        assert (made.get(), made.value, made.error, made.ok) == (3, 3, None, True)
        failed = Failure(ValueError("no"))
        assert (failed.value, failed.ok) == (None, False)
        with pytest.raises(ValueError, match="no"):
            failed.get()

    def test_only_errors_of_arker_are_expected(self) -> None:
        outcomes = [Success(1), Failure(ArkerError("timeout", "too slow"))]
        assert expected(outcomes) == outcomes
        with pytest.raises(ZeroDivisionError):
            expected([Success(1), Failure(ZeroDivisionError())])


class TestPackage:
    def test_every_public_name_is_there_and_no_other_is_promised(self) -> None:
        for name in arker.__all__:
            assert getattr(arker, name) is not None
        assert dir(arker) == sorted(arker.__all__)
        with pytest.raises(AttributeError, match="nothing"):
            _ = arker.nothing  # type: ignore[attr-defined]

    def test_importing_it_imports_nothing_heavy(self) -> None:
        code = "import sys, arker; print({'httpx', 'pydantic', 'attrs', 'asyncio'} & sys.modules.keys())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"

    def test_a_client_imports_nothing_that_it_may_not_need(self) -> None:
        code = """
import sys, arker
try:
    arker.Arker("k", "http://127.0.0.1:1", retry=None).vm("01KQBYKEV5WJ7YB010603T1DCT").run("true")
except arker.ArkerError as error:
    assert error.code == "network"
print({"asyncio", "httpx", "pydantic", "urllib.request"} & sys.modules.keys())
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"
