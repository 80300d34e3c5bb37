# Derived from tests/client/_async/test_adversity.py by `make generate`; do not edit.
"""Callbacks that raise, answers that are odd or hostile, files that change meanwhile: nothing is sent twice, nothing
is mixed up, and only ArkerErrors come out."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from traceback import TracebackException
from typing import Any

import httpx
import pytest

from arker import Arker, ArkerError, RetryPolicy, Timeouts
from arker._http._sync.stream import Stream
from tests.faults import server as faults
from tests.faults.server import KEY, Answer, Server

PATH = "/home/user/a"
LARGE = os.urandom(1 << 20) * 5 + b"tail"


def client(server: Server, **options: object) -> Arker:
    given = {
        "global_url": server.url,
        "retry": RetryPolicy(backoff=0),
        **options,
    }
    return Arker(KEY, server.url, **given)  # type: ignore[arg-type]


# --- callbacks ---


@pytest.mark.parametrize(
    "enough",
    [BrokenPipeError("enough"), TimeoutError("enough"), ArkerError("timeout", "enough"), KeyError("enough")],
)
def test_exceptions_of_progress_are_raised_and_nothing_is_sent_again(
    server: Server, tmp_path: Path, enough: Exception
) -> None:
    def progress(done: int, total: int) -> None:
        raise enough

    with client(server) as arker:
        vm_id = server.vm()
        sync = arker.vm(vm_id).sync
        with pytest.raises(type(enough), match="enough") as caught:
            sync.write_file(PATH, LARGE, progress=progress)
        assert caught.value is enough
        assert server.steps() == ["ask"]
        server.vms[vm_id].files[PATH] = LARGE
        with pytest.raises(type(enough), match="enough") as caught:
            sync.download(PATH, tmp_path / "x", progress=progress)
        assert caught.value is enough
        assert server.steps() == ["ask", "read", "get"]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [RuntimeError("metrics"), OSError("disk full"), httpx.ReadError("cut")])
def test_a_hook_of_the_users_http_client_that_fails_after_the_answer_does_not_run_the_command_again(
    server: Server, wrong: Exception
) -> None:
    def failing(response: httpx.Response) -> None:
        raise wrong

    with (
        httpx.Client(event_hooks={"response": [failing]}) as http,
        client(server, http_client=http) as arker,
    ):
        with pytest.raises(ArkerError) as caught:
            arker.vm(server.vm()).run("once")
    assert server.commands == ["once"]
    assert caught.value.processed == "maybe"


def test_a_closed_http_client_sends_nothing(server: Server) -> None:
    http = httpx.Client()
    http.close()
    with client(server, http_client=http) as arker:
        with pytest.raises(ArkerError, match="closed"):
            arker.vm(server.vm()).run("never")
    assert server.requests == []


# --- odd answers ---


@pytest.mark.parametrize("number", [b"1e999", b"-Infinity", b"NaN", b'"0"x', b"null"])
def test_a_number_that_is_none(server: Server, number: bytes) -> None:
    server.fail(
        "run", faults.alter_raw(lambda truth: _with(truth, b'"exit_code": 0', b'"exit_code": ' + number))
    )
    with client(server) as arker:
        with pytest.raises(ArkerError, match="internal"):
            arker.vm(server.vm()).run("x")


@pytest.mark.parametrize("moment", [b"0001-01-01T00:00:00+14:00", b"99999-01-01T00:00:00Z", b""])
def test_a_time_that_is_none(server: Server, moment: bytes) -> None:
    server.vm()
    server.fail("list", faults.alter_raw(lambda truth: _with(truth, b"2026-01-01T00:00:01.123Z", moment)))
    with client(server) as arker:
        with pytest.raises(ArkerError, match="internal"):
            arker.list()


def _with(truth: Answer, old: bytes, new: bytes) -> Answer:
    assert old in truth.body
    return Answer(truth.status, truth.headers, truth.body.replace(old, new))


@pytest.mark.parametrize(
    "ranges",
    [[{"start": "a", "end": 3}], [{"start": None, "end": None}], [{"start": 0.5, "end": []}], 5, [[]]],
)
def test_ranges_that_are_none(server: Server, ranges: Any) -> None:
    def alter(body: Any) -> Any:
        body["results"][0].update(ranges=ranges, written=False, complete=False)
        return body

    server.fail("put", *[faults.answer(Answer.page(403))] * 2)
    server.fail("chunk", *[faults.change(alter)] * 20)
    with client(server) as arker:
        with pytest.raises(ArkerError, match="internal"):
            arker.vm(server.vm()).sync.write_file(PATH, LARGE)


def test_bytes_after_an_answer_are_not_taken_for_the_next_answer(server: Server) -> None:
    forged = Answer.of({"ok": True, "items": [], "total": 666})

    def smuggle(server: Server, request: Any, process: Callable[[], Answer], sock: Any) -> None:
        sock.sendall(process().raw() + forged.raw())

    server.fail("list", smuggle)
    with client(server) as arker:
        assert (arker.list()).total == 0
        assert (arker.list()).total == 0


# --- files that change meanwhile ---


@pytest.mark.parametrize("etag", ['"other"', None, 'W/"weak"', '"\u00e9"'])
def test_a_resumed_download_never_mixes_two_files(server: Server, tmp_path: Path, etag: str | None) -> None:
    """The first half comes from one version; a store that looks at no `If-Range` has another for the rest."""
    old, new = b"a" * len(LARGE), b"b" * len(LARGE)
    headers = {} if etag is None else {"etag": etag}

    def half(truth: Answer) -> bytes:
        # Enough for what is held back to be written.
        return Answer(200, {**headers, "content-length": str(len(old))}, old).raw()[:-1000]

    def rest(server: Server, request: Any, process: Callable[[], Answer], sock: Any) -> None:
        wanted = request.headers.get("range")
        if wanted is None:
            sock.sendall(Answer(200, {"etag": '"new"'}, new).raw())
        else:
            start = int(wanted[6:-1])
            span = f"bytes {start}-{len(new) - 1}/{len(new)}"
            sock.sendall(Answer(206, {"etag": '"new"', "content-range": span}, new[start:]).raw())

    with client(server) as arker:
        vm_id = server.vm()
        server.vms[vm_id].files[PATH] = new
        server.fail("get", faults.alter_raw(half), *[rest] * 3)
        arker.vm(vm_id).sync.download(PATH, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == new


# --- secrets ---


@pytest.mark.parametrize("step", ["run", "get"])
@pytest.mark.parametrize(
    "fault",
    [
        faults.drop_before,
        faults.cut_head,
        faults.cut_body,
        faults.garbage,
        faults.answer(Answer.error("forbidden", "m", 403)),
        faults.answer(Answer(403, {}, b"no")),
        None,
    ],
)
def test_no_traceback_shows_a_secret_in_its_variables(
    server: Server, step: str, fault: faults.Fault | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracebacks are those that pytest and others print."""
    vm_id = server.vm(a=LARGE)
    with client(server, retry=None) as arker:
        vm = arker.vm(vm_id)
        if fault is not None:
            server.fail(step, fault, fault)
        else:

            def broken(self: Stream, data: Any, timeout: float) -> None:
                raise BrokenPipeError

            original = Stream.write

            def write(self: Stream, data: Any, timeout: float) -> None:
                # At the second request of the two that a read takes.
                (original if step == "get" and b"/object/" not in bytes(data) else broken)(
                    self, data, timeout
                )

            monkeypatch.setattr(Stream, "write", write)
        with pytest.raises(ArkerError) as caught:
            (vm.run("x") if step == "run" else vm.sync.read_file(PATH))
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "pipeline.py" in shown
    assert "SIGNED" not in shown
    assert not [line for line in shown.splitlines() if KEY in line]


@pytest.mark.parametrize("wrong", [{"ARKER_API_KEY": f"{KEY} x"}, {"ARKER_BASE_URL": "nowhere"}])
def test_nor_does_that_of_a_client_that_cannot_be_made(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ARKER_API_KEY": KEY, **wrong}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArkerError) as caught:
        Arker()
    stack = TracebackException.from_exception(caught.value, capture_locals=True).stack
    within = [frame.locals for frame in stack if Path(frame.filename).name in ("client.py", "config.py")]
    assert len(within) == 3
    assert KEY not in str(within)


def test_errors_of_the_users_http_client_contain_no_signature(server: Server) -> None:
    server.inline = 0
    server.fail("get", faults.answer(Answer.page(403)), faults.answer(Answer.page(403)))

    def check(response: httpx.Response) -> None:
        response.raise_for_status()

    with (
        httpx.Client(event_hooks={"response": [check]}) as http,
        client(server, http_client=http, retry=None) as arker,
    ):
        with pytest.raises(ArkerError, match=r"403.*\?\[redacted\]") as caught:
            arker.vm(server.vm(a=b"x")).sync.read_file(PATH)
    assert "SIGNED" not in str(caught.value)


# --- damage ---


def flipped(truth: Answer) -> Answer:
    """The correct answer with one byte in the middle changed."""
    body = bytearray(truth.body)
    body[len(body) // 2] ^= 1
    return Answer(truth.status, truth.headers, bytes(body))


def flipped_and_cut(truth: Answer) -> bytes:
    """The same, and the end is missing."""
    return flipped(truth).raw()[:-1000]


@pytest.mark.parametrize("on_request", [False, True])
@pytest.mark.parametrize("damage", [[flipped], [flipped_and_cut], [flipped, flipped_and_cut]])
def test_a_damaged_download_is_got_again(
    server: Server, tmp_path: Path, damage: list[Any], on_request: bool
) -> None:
    server.inline = 0
    server.announces, server.announces_on_request = not on_request, on_request
    server.fail("get", *map(faults.alter_raw, damage))
    with client(server) as arker:
        vm_id = server.vm()
        server.vms[vm_id].files[PATH] = LARGE
        arker.vm(vm_id).sync.download(PATH, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == LARGE
        server.fail("get", *map(faults.alter_raw, damage))
        assert arker.vm(vm_id).sync.read_file(PATH) == LARGE


def test_a_download_that_stays_damaged_is_refused(server: Server, tmp_path: Path) -> None:
    server.inline = 0
    server.fail("get", *[faults.alter_raw(flipped)] * 8)
    (tmp_path / "x").write_bytes(b"before")
    with client(server) as arker:
        vm_id = server.vm()
        server.vms[vm_id].files[PATH] = LARGE
        with pytest.raises(ArkerError, match=r"network: /home/user/a: .*SHA-256") as caught:
            arker.vm(vm_id).sync.download(PATH, tmp_path / "x")
        assert caught.value.attempts == 4
        with pytest.raises(ArkerError, match="SHA-256"):
            arker.vm(vm_id).sync.read_file(PATH)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"before"


def test_a_digest_on_request_is_requested_once(server: Server) -> None:
    server.inline = 0
    server.announces, server.announces_on_request = False, True
    with client(server) as arker:
        assert arker.vm(server.vm(a=LARGE)).sync.read_file(PATH) == LARGE
    first, second = (request for request in server.requests if request.path.startswith("/object/"))
    assert (first.headers.get("range"), first.headers.get("want-repr-digest")) == (None, None)
    assert (second.headers["range"], second.headers["want-repr-digest"]) == ("bytes=0-0", "sha-256=10")


def test_a_store_that_announces_no_digest_is_believed(server: Server) -> None:
    server.inline = 0
    server.announces = False
    with client(server) as arker:
        assert arker.vm(server.vm(a=LARGE)).sync.read_file(PATH) == LARGE


# --- odd arguments ---


@pytest.mark.parametrize("name", ["x" * 255, "文" * 85])
def test_the_longest_names_of_local_files(server: Server, tmp_path: Path, name: str) -> None:
    with client(server) as arker:
        arker.vm(server.vm(a=b"content")).sync.download(PATH, tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"content"


@pytest.mark.parametrize("seconds", [1e8, 4294967.4, 1_000_000_000])
def test_very_long_timeouts_are_accepted(server: Server, seconds: float) -> None:
    server.fail("list", faults.delay(0.3))
    server.fail("run", faults.delay(0.3))
    everything = Timeouts(seconds, seconds, seconds, seconds, seconds, seconds)
    with client(server, timeout=everything, retry=None) as arker:
        arker.list()
        assert (arker.vm(server.vm()).run("x", timeout=seconds)).ok


@pytest.mark.parametrize("seconds", [1e10, 10**400, float("nan")])
def test_timeouts_out_of_range_are_refused(server: Server, seconds: float) -> None:
    with client(server) as arker:
        with pytest.raises(ValueError, match="timeout"):
            arker.vm(server.vm()).run("x", timeout=seconds)
        assert (arker.vm(server.vm()).run("x", timeout=1e8)).stdout == b"x"


class Short(io.RawIOBase):
    """A file that gives less than it was asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(memoryview(buffer)[:1000])


@pytest.mark.parametrize("data", [b"", LARGE[:5000], LARGE])
def test_a_file_that_gives_less_than_it_was_asked_for(server: Server, data: bytes) -> None:
    vm_id = server.vm()
    with client(server) as arker:
        arker.vm(vm_id).sync.write_file(PATH, Short(data))
    assert server.vms[vm_id].files[PATH] == data


@pytest.mark.skipif(sys.platform != "linux", reason="a system without /proc")
def test_a_file_without_a_size(server: Server) -> None:
    vm_id = server.vm()
    with client(server) as arker:
        arker.vm(vm_id).sync.upload("/proc/self/status", PATH)
    assert b"Pid:" in server.vms[vm_id].files[PATH]


# --- slow lines ---


def test_a_large_request_has_the_write_timeout_for_each_piece_of_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its documentation says; 4 MiB in one request take longer than that on a slow line."""
    written: list[tuple[int, float]] = []
    write = Stream.write

    def noted(self: Stream, data: bytes, timeout: float) -> None:
        written.append((len(data), timeout))
        write(self, data, timeout)

    monkeypatch.setattr(Stream, "write", noted)
    with client(server, timeout=Timeouts(write=50)) as arker:
        files = {f"/home/user/{n}": b"x" * (1 << 20) for n in range(4)}
        outcomes = arker.vm(server.vm()).sync.write_files(files)
    assert all(outcome.ok for outcome in outcomes.values())
    assert server.steps() == ["chunk"]
    assert sum(size for size, _ in written) > 5 << 20
    assert {timeout for _, timeout in written} == {50}
    assert max(size for size, _ in written) <= 256 * 1024


@pytest.mark.slow
def test_a_refusal_is_heard_from_a_server_that_reads_no_further(server: Server) -> None:
    done = threading.Event()

    def refuse(server: Server, request: Any, process: Callable[[], Answer], sock: Any) -> None:
        sock.sendall(Answer.error("payload_too_large", "enough", 413).raw())
        done.wait(30)
        raise faults.Hang

    server.fail("head-api", refuse)
    with client(server, retry=None, timeout=Timeouts(write=1)) as arker:
        with pytest.raises(ArkerError, match="payload_too_large: enough"):
            arker.vm(server.vm()).sync.write_file(PATH, bytes(4 << 20))
        done.set()
