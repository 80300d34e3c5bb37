# Derived from tests/client/_async/test_files.py by `make generate`; do not edit.
"""Reading and writing files: every kind of data, every transfer path, and no partial files."""

from __future__ import annotations

import gc
import hashlib
import io
import itertools
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from arker import Arker, ArkerError, RetryPolicy, Sync, TransferEvent
from arker.contract import LARGEST_CHUNK, LARGEST_FILE
from arker.hooks import Hooks
from tests.faults import server as faults
from tests.faults.server import KEY, Answer, Server

MIB = 1 << 20
PATH = "/home/user/a"
LARGE = os.urandom(1 << 20) * 5 + b"tail"


def client(server: Server, **options: object) -> Arker:
    given = {
        "global_url": server.url,
        "retry": RetryPolicy(backoff=0),
        **options,
    }
    return Arker(KEY, server.url, **given)  # type: ignore[arg-type]


class Case:
    """A computer with files."""

    def __init__(self, server: Server, **options: object) -> None:
        self.server = server
        self.id = server.vm()
        self.files = server.vms[self.id].files
        self.transfers: list[TransferEvent] = []
        self.arker = client(server, hooks=Hooks(on_transfer=self.transfers.append), **options)

    def __enter__(self) -> Sync:
        return self.arker.vm(self.id).sync

    def __exit__(self, *_: object) -> None:
        self.arker.close()


def test_nothing_is_left_to_the_garbage_collector(server: Server) -> None:
    def alive() -> int:
        return sum(type(thing) is Sync for thing in gc.get_objects())

    case = Case(server)
    with case:
        vm = case.arker.vm(case.id)
        vm.sync.write_file(PATH, b"1")
        gc.collect()
        gc.disable()
        try:
            before = alive()
            vm.sync.write_file(PATH, b"2")
            vm.sync.read_file(PATH)
            assert alive() == before
        finally:
            gc.enable()


def pieces(data: bytes, size: int) -> Generator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# --- writing ---


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"bytes", b"bytes"),
        (b"", b""),
        ("text ü", "text ü".encode()),
        ("", b""),
        (bytearray(b"array"), b"array"),
        (memoryview(b"abcdef")[1:4], b"bcd"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(b"\1\0\2\0").cast("H"), b"\1\0\2\0"),
    ],
)
def test_bytes_and_text(server: Server, data: bytes, content: bytes) -> None:
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, data)
    assert case.files == {PATH: content}
    assert server.steps() == ["chunk"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 196_607, 196_608, 196_609, 1 * MIB + 1, LARGEST_CHUNK])
def test_up_to_the_limit_in_one_call(server: Server, size: int) -> None:
    data = (LARGE * 2)[:size]
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, data)
    assert case.files == {PATH: data}
    (request,) = server.requests
    (entry,) = request.json["writes"]
    assert set(entry) == {"path", "size", "upload_id", "start", "end", "content", "sha256"}
    assert (entry["size"], entry["start"], entry["end"]) == (size, 0, size)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert [event.via for event in case.transfers] == ["inline"]


def test_above_the_limit_past_the_api(server: Server) -> None:
    data = bytes(LARGEST_CHUNK + 1)
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, data)
    assert case.files == {PATH: data}
    assert server.steps() == ["ask", "put", "commit"]
    ask, put, commit = server.requests
    assert ask.json["writes"] == [{"path": PATH, "size": len(data), "presigned": True}]
    assert "authorization" not in put.headers
    assert commit.json["writes"][0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert [(event.via, event.size, event.direction) for event in case.transfers] == [
        ("signed", len(data), "upload")
    ]


@pytest.mark.parametrize("size", [0, 10, LARGEST_CHUNK, LARGEST_CHUNK + 1])
def test_files_iterables_and_pipes(server: Server, tmp_path: Path, size: int) -> None:
    data = (LARGE * 2)[:size]
    path = tmp_path / "local"
    path.write_bytes(b"skipped" + data)
    case = Case(server)

    class Unseekable(io.RawIOBase):
        source = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            return self.source.readinto(buffer)

    with case as sync:
        with path.open("rb") as file:
            file.seek(7)
            sync.write_file(PATH + "1", file)
            assert not file.closed
        sync.write_file(PATH + "2", io.BytesIO(data))
        sync.write_file(PATH + "3", [data[:5], data[5:]])
        sync.write_file(PATH + "4", pieces(data, 100_000))
        sync.write_file(PATH + "5", Unseekable())  # type: ignore[arg-type]
    assert [case.files[PATH + str(n)] == data for n in range(1, 6)] == [True] * 5


def test_a_file_is_the_same_when_it_has_to_be_sent_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(LARGE)
    case = Case(server)
    server.fail("put", faults.drop_before, faults.gateway)
    with case as sync:
        sync.upload(tmp_path / "local", PATH)
        sync.write_file(PATH + "2", pieces(LARGE, 1 << 20))
    assert case.files == {PATH: LARGE, PATH + "2": LARGE}
    assert server.steps() == ["ask", "put", "put", "put", "commit", "ask", "put", "commit"]


def test_a_write_that_went_unanswered_is_sent_again_under_its_id(server: Server) -> None:
    server.fail("chunk", faults.drop_after, faults.cut_body)
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, b"x")
    ids = {request.json["writes"][0]["upload_id"] for request in server.requests}
    assert len(server.requests) == 3
    assert len(ids) == 1


@pytest.mark.parametrize("wrong", [None, 3, object(), [1, 2], ["text"], io.StringIO("text")])
def test_data_that_is_none(server: Server, wrong: object) -> None:
    with Case(server) as sync:
        with pytest.raises(TypeError):
            sync.write_file(PATH, wrong)  # type: ignore[arg-type]
    assert server.requests == []


def test_exceptions_of_the_data_are_raised(server: Server) -> None:
    def broken() -> Generator[bytes]:
        yield b"x"
        raise KeyError("mine")

    with Case(server) as sync:
        with pytest.raises(KeyError, match="mine"):
            sync.write_file(PATH, broken())
    assert server.requests == []


class Endless(io.RawIOBase):
    """A file that has too much in it, and counts what was taken."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.taken += len(buffer)
        return len(buffer)


def test_too_large_is_refused_before_any_call(server: Server, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    endless = Endless()
    with Case(server) as sync:
        for data in (bytes(LARGEST_FILE + 1), memoryview(bytes(LARGEST_FILE + 1)), endless):
            with pytest.raises(ArkerError) as caught:
                sync.write_file(PATH, data)  # type: ignore[arg-type]
            assert (caught.value.code, caught.value.status) == ("payload_too_large", 413)
        with pytest.raises(ArkerError, match="payload_too_large"):
            sync.upload(tmp_path / "sparse", PATH)
        outcomes = sync.write_files({PATH: bytes(LARGEST_FILE + 1)})
        assert "payload_too_large" in str(outcomes[PATH].error)
    assert server.requests == []
    assert endless.taken <= LARGEST_FILE + MIB


@pytest.mark.parametrize("path", ["/etc/passwd", "/home/user/../x", "relative", "/home/user/"])
def test_bad_paths_are_refused_before_any_call(server: Server, tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with Case(server) as sync:
        for attempt in (
            lambda: sync.read_file(path),
            lambda: sync.write_file(path, b""),
            lambda: sync.upload(tmp_path / "x", path),
            lambda: sync.download(path, tmp_path / "y"),
        ):
            with pytest.raises(ArkerError, match="bad_request"):
                attempt()
        assert "bad_request" in str((sync.write_files({path: b""}))[path].error)
        assert "bad_request" in str((sync.read_files([path]))[path].error)
    assert server.requests == []
    assert not (tmp_path / "y").exists()


def test_an_upload_of_no_file(server: Server, tmp_path: Path) -> None:
    with Case(server) as sync:
        for path in (tmp_path / "missing", tmp_path):
            with pytest.raises(ArkerError) as caught:
                sync.upload(path, PATH)
            assert caught.value.code == "local_file"
            assert isinstance(caught.value.__cause__, OSError)


def test_a_file_that_shrinks_while_it_is_read(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "local"
    path.write_bytes(LARGE)
    case = Case(server)
    with case as sync:
        with pytest.raises(ArkerError, match="local_file"):
            sync.upload(path, PATH, progress=lambda done, total: os.truncate(path, 5))
    assert case.files == {}


def test_an_exception_of_progress_ends_the_call(server: Server, tmp_path: Path) -> None:
    def progress(done: int, total: int) -> None:
        raise KeyError("enough")

    case = Case(server)
    with case as sync:
        with pytest.raises(KeyError, match="enough"):
            sync.write_file(PATH, LARGE, progress=progress)
        assert case.files == {}
        case.files[PATH] = LARGE
        with pytest.raises(KeyError, match="enough"):
            sync.download(PATH, tmp_path / "x", progress=progress)
        assert list(tmp_path.iterdir()) == []
        # And the client goes on.
        sync.write_file(PATH, b"x")


def test_progress_counts_all_bytes(server: Server, tmp_path: Path) -> None:
    case = Case(server)
    told: list[tuple[int, int]] = []
    with case as sync:
        sync.write_file(PATH, LARGE, progress=lambda *now: told.append(now))
        assert told[-1] == (len(LARGE), len(LARGE))
        assert told == sorted(told)
        assert len(told) > 5
        told.clear()
        sync.download(PATH, tmp_path / "x", progress=lambda *now: told.append(now))
        assert told[-1] == (len(LARGE), len(LARGE))
        assert told == sorted(told)
        told.clear()
        sync.write_file(PATH, b"small", progress=lambda *now: told.append(now))
        sync.download(PATH, tmp_path / "x", progress=lambda *now: told.append(now))
        assert told == [(5, 5), (5, 5)]


# --- past the API and around ---


def test_an_expired_upload_url_is_asked_for_anew(server: Server) -> None:
    server.fail("put", faults.answer(Answer(403, {}, b"<Error>Request has expired</Error>")))
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, LARGE)
    assert case.files == {PATH: LARGE}
    assert server.steps() == ["ask", "put", "ask", "put", "commit"]


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_store_that_refuses_is_gone_around_in_chunks(server: Server, status: int) -> None:
    server.fail("put", *itertools.repeat(faults.answer(Answer(status, {}, b"no")), 9))
    case = Case(server)
    told: list[tuple[int, int]] = []
    with case as sync:
        sync.write_file(PATH, LARGE, progress=lambda *now: told.append(now))
    assert case.files == {PATH: LARGE}
    assert server.steps().count("chunk") == 2
    assert [event.via for event in case.transfers] == ["chunks"]
    assert told[-1] == (len(LARGE), len(LARGE))
    chunks = [request.json["writes"][0] for request in server.requests if request.step == "chunk"]
    assert len({chunk["upload_id"] for chunk in chunks}) == 1
    assert all(chunk["end"] - chunk["start"] <= LARGEST_CHUNK for chunk in chunks)


def test_a_store_that_cannot_be_reached_is_gone_around_in_chunks(server: Server) -> None:
    with Server() as gone:
        server.store_url = gone.url
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, LARGE)
    assert case.files == {PATH: LARGE}
    assert "put" not in server.steps()


def test_a_store_that_loses_what_was_put_is_gone_around_in_chunks(server: Server) -> None:
    server.fail("put", faults.answer(Answer(200, {}, b"")))
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, LARGE)
    assert case.files == {PATH: LARGE}
    assert server.steps()[:3] == ["ask", "put", "commit"]


def test_only_the_chunks_that_did_not_arrive_are_sent_again(server: Server) -> None:
    server.fail("put", faults.answer(Answer(403, {}, b"")), faults.answer(Answer(403, {}, b"")))
    server.fail("chunk", faults.drop_before, faults.gateway, faults.throttle)
    case = Case(server)
    data = LARGE * 3
    with case as sync:
        sync.write_file(PATH, data)
    assert case.files == {PATH: data}
    sent = [request.json["writes"][0]["start"] for request in server.requests if request.step == "chunk"]
    assert len(sent) == 4 + 3
    assert set(sent) == {0, LARGEST_CHUNK, 2 * LARGEST_CHUNK, 3 * LARGEST_CHUNK}


def test_an_exception_of_progress_ends_an_upload_in_chunks(server: Server) -> None:
    def progress(done: int, total: int) -> None:
        if not server.steps().count("put") or "chunk" in server.steps():
            raise KeyError("enough")

    server.fail("put", *[faults.answer(Answer(403, {}, b""))] * 2)
    with Case(server) as sync:
        with pytest.raises(KeyError, match="enough"):
            sync.write_file(PATH, LARGE, progress=progress)


def test_a_server_that_forgot_a_chunk_gets_it_again(server: Server) -> None:
    server.fail("put", faults.answer(Answer(403, {}, b"")), faults.answer(Answer(403, {}, b"")))
    lie = faults.answer(
        Answer.of({"ok": True, "results": [{"path": PATH, "size": 1, "complete": False, "written": False}]})
    )
    server.fail("chunk", lie)
    case = Case(server)
    with case as sync:
        sync.write_file(PATH, LARGE)
    assert case.files == {PATH: LARGE}
    assert server.steps().count("chunk") == 3


# --- reading ---


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 3 * MIB])
@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("inline", [True, False])
def test_either_way_for_any_size(server: Server, tmp_path: Path, size: int, kind: str, inline: bool) -> None:
    server.inline = 1 << 30 if inline else -1
    data = b"x" * size if kind == "text" else (b'"encoding":"base64" \xff' + LARGE)[:size]
    case = Case(server)
    case.files[PATH] = data
    with case as sync:
        assert sync.read_file(PATH) == data
        sync.download(PATH, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == data
    assert [event.via for event in case.transfers] == ["inline" if inline else "signed"] * 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf8"])
def test_text_that_looks_like_an_encoding_is_text(server: Server, encoding: str) -> None:
    data = b'{"encoding":"base64", "x": "\\"}' * 20_000
    server.fail("read", faults.change(lambda body: {**body, "encoding": encoding}))
    case = Case(server)
    case.files[PATH] = data
    with case as sync:
        assert sync.read_file(PATH) == data


def test_a_large_inline_answer_that_lies_is_not_taken(server: Server) -> None:
    server.inline = 1 << 30
    case = Case(server)
    case.files[PATH] = LARGE
    server.fail(
        "read",
        faults.change(lambda body: {**body, "size": 3}),
        faults.change(lambda body: {**body, "ok": False, "error": {"code": "conflict", "message": "m"}}),
        faults.change(lambda body: {**body, "content": body["content"][:-5] + "!"}),
    )
    with case as sync:
        for code in ("internal", "conflict", "internal"):
            with pytest.raises(ArkerError, match=code):
                sync.read_file(PATH)
        assert sync.read_file(PATH) == LARGE


def test_no_key_for_a_signed_url_and_no_signature_in_sight(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    case = Case(server, retry=None)
    case.files[PATH] = LARGE
    server.fail(
        "get", None, faults.drop_before, faults.answer(Answer(500, {}, b"https://x/y?signature=SIGNED"))
    )
    shown = []
    with case as sync:
        sync.read_file(PATH)
        for _ in range(2):
            with pytest.raises(ArkerError) as caught:
                sync.read_file(PATH)
            shown += [str(caught.value), repr(vars(caught.value)), repr(caught.value.__cause__)]
            assert caught.value.route == "(signed url)"
    assert all("authorization" not in request.headers for request in server.requests if request.step == "get")
    assert "(signed url)" in caplog.text
    assert not any("SIGNED" in text for text in [*shown, caplog.text])


def test_a_download_is_resumed_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    case = Case(server)
    case.files[PATH] = LARGE
    server.fail("get", faults.cut_body, faults.cut_body)
    with case as sync:
        sync.download(PATH, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == LARGE
    ranges = [request.headers.get("range") for request in server.requests if request.step == "get"]
    half = len(LARGE) // 2
    assert ranges == [None, f"bytes={half}-", f"bytes={half + (len(LARGE) - half) // 2}-"]
    assert all("if-range" in request.headers for request in server.requests[2:])


def test_a_file_that_changed_meanwhile_is_not_spliced(server: Server) -> None:
    case = Case(server)
    case.files[PATH] = LARGE
    changed = bytes(reversed(LARGE))

    def cut_and_change(server: Server, request: faults.Request, process: object, sock: object) -> None:
        try:
            faults.cut_body(server, request, process, sock)  # type: ignore[arg-type]
        finally:
            case.files[PATH] = changed

    server.fail("get", cut_and_change)
    with case as sync:
        assert sync.read_file(PATH) == changed


@pytest.mark.parametrize(
    ("now", "via", "steps"),
    [(LARGE[:-1], "signed", ["read", "get", "read", "get"]), (b"small", "inline", ["read", "get", "read"])],
)
def test_an_expired_download_url_is_asked_for_anew(
    server: Server, tmp_path: Path, now: bytes, via: str, steps: list[str]
) -> None:
    case = Case(server)
    case.files[PATH] = LARGE
    seen: list[tuple[int, int]] = []

    def expire(server: Server, request: faults.Request, process: object, sock: object) -> None:
        server.expire()
        case.files[PATH] = now
        faults.answer(Answer(403, {}, b"expired"))(server, request, process, sock)  # type: ignore[arg-type]

    server.fail("get", expire)
    with case as sync:
        sync.download(PATH, tmp_path / "x", progress=lambda *bytes_: seen.append(bytes_))
        assert (tmp_path / "x").read_bytes() == now
        assert server.steps() == steps
    assert [(event.size, event.via) for event in case.transfers] == [(len(now), via)]
    assert seen[-1] == (len(now), len(now))


def test_a_download_leaves_the_old_file_or_the_new_one(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    case = Case(server, retry=None)
    case.files[PATH] = LARGE
    server.fail("get", faults.cut_body)
    with case as sync:
        with pytest.raises(ArkerError):
            sync.download(PATH, target)
        assert target.read_bytes() == b"old"
        sync.download(PATH, target)
        assert target.read_bytes() == LARGE
        with pytest.raises(ArkerError, match="not_found"):
            sync.download("/home/user/missing", target)
        with pytest.raises(ArkerError, match="local_file"):
            sync.download(PATH, tmp_path / "no" / "folder")
        with pytest.raises(ArkerError, match="local_file"):
            sync.download(PATH, tmp_path)
    assert target.read_bytes() == LARGE
    assert list(tmp_path.iterdir()) == [target]


# --- several ---


def test_several_small_files_share_a_call(server: Server) -> None:
    case = Case(server)
    files: dict[str, bytes | str] = {f"/home/user/{n}": str(n) * n for n in range(60)}
    with case as sync:
        outcomes = sync.write_files(files)  # type: ignore[arg-type]
        assert all(outcome.ok for outcome in outcomes.values())
        assert list(outcomes) == list(files)
        assert server.steps() == ["chunk"]
        back = sync.read_files(files)
        assert {path: outcome.get().decode() for path, outcome in back.items()} == files
        assert list(back) == list(files)


def test_several_files_of_all_sizes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(LARGE)
    case = Case(server)
    with case as sync:
        with (tmp_path / "f").open("rb") as file:
            outcomes = sync.write_files(
                {
                    "/home/user/1": LARGE,
                    "/home/user/2": "small",
                    "/home/user/3": bytes(3 * MIB),
                    "/home/user/4": bytes(2 * MIB),
                    "/home/user/5": file,
                    "/home/user/6": pieces(LARGE, MIB),
                    "/etc/7": "no",
                }
            )
    assert [outcome.ok for outcome in outcomes.values()] == [True] * 6 + [False]
    assert {path: len(data) for path, data in case.files.items()} == {
        "/home/user/1": len(LARGE),
        "/home/user/2": 5,
        "/home/user/3": 3 * MIB,
        "/home/user/4": 2 * MIB,
        "/home/user/5": len(LARGE),
        "/home/user/6": len(LARGE),
    }
    assert server.steps().count("chunk") == 2


def test_one_file_that_fails_does_not_touch_the_others(server: Server) -> None:
    def refuse_b(body: dict[str, list[dict[str, object]]]) -> object:
        for result in body["results"]:
            if result["path"] == "/home/user/b":
                result["error"] = {"code": "conflict", "message": "m"}
        return body

    server.fail("chunk", faults.change(refuse_b))
    with Case(server) as sync:
        outcomes = sync.write_files({f"/home/user/{name}": name for name in "abc"})
        assert [outcome.ok for outcome in outcomes.values()] == [True, False, True]
        error = outcomes["/home/user/b"].error
        assert isinstance(error, ArkerError)
        assert (error.code, error.attempts) == ("conflict", 1)
        back = sync.read_files(["/home/user/a", "/home/user/missing"])
        assert [outcome.ok for outcome in back.values()] == [True, False]


@pytest.mark.parametrize("times", [0, 1, 3])
def test_results_that_fit_no_files_are_no_success(server: Server, times: int) -> None:
    server.fail("chunk", faults.change(lambda body: {**body, "results": body["results"][:1] * times}))
    with Case(server) as sync:
        outcomes = sync.write_files({"/home/user/a": "a", "/home/user/b": "b"})
        assert [str(outcome.error)[:8] for outcome in outcomes.values()] == ["internal"] * 2


def test_of_several_files_only_those_that_failed_are_sent_again(server: Server) -> None:
    def throttle_b(body: dict[str, list[dict[str, object]]]) -> object:
        for result in body["results"]:
            if result["path"] == "/home/user/b":
                result["error"] = {"code": "internal", "message": "SlowDown"}
        return body

    server.fail("chunk", faults.change(throttle_b), faults.drop_before, faults.change(throttle_b))
    with Case(server) as sync:
        outcomes = sync.write_files({f"/home/user/{name}": name for name in "abc"})
        assert all(outcome.ok for outcome in outcomes.values())
    sent = [[entry["path"][-1] for entry in request.json["writes"]] for request in server.requests]
    assert sent == [["a", "b", "c"], ["b"], ["b"], ["b"]]


def test_several_files_when_nothing_works(server: Server) -> None:
    server.fail("*", *itertools.repeat(faults.gateway, 99))
    with Case(server) as sync:
        outcomes = sync.write_files({"/home/user/a": "x", "/home/user/b": LARGE})
        assert [str(outcome.error)[:8] for outcome in outcomes.values()] == ["internal"] * 2
        back = sync.read_files(["/home/user/a"])
        assert isinstance(back["/home/user/a"].error, ArkerError)
        assert sync.write_files({}) == {}
        assert sync.read_files([]) == {}


@pytest.mark.parametrize("name", ["folder", "pipe"])
def test_a_download_replaces_nothing_but_files(server: Server, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    case = Case(server)
    case.files[PATH] = b"content"
    with case as sync:
        with pytest.raises(ArkerError, match=rf"local_file: .*{name} exists and is not a file"):
            sync.download(PATH, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert server.requests == []
