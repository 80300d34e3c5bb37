"""Background runs: started, followed by many from any offset, given input, signalled, cancelled, found again."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from arker import Arker

if TYPE_CHECKING:
    from arker.local.process.launcher import Deployment
    from tests.conftest import FreshDeployment

FRAMES = {"Accept": "application/vnd.arker.events"}


class Guest:
    """A computer of a deployment, and its runs by HTTP."""

    def __init__(self, deployment: Any, vm_id: str) -> None:
        self.deployment = deployment
        self.vm_id = vm_id
        self.path = f"/api/v1/local/vms/{vm_id}/runs"

    @contextlib.contextmanager
    def open(self, method: str, path: str, body: Any = None, **headers: str) -> Iterator[HTTPResponse]:
        """An answer whose head has come."""
        url = urlsplit(self.deployment.base_url)
        connection = HTTPConnection(url.hostname or "", url.port, timeout=60)
        given = {"Authorization": f"Bearer {self.deployment.api_key}"}
        if isinstance(body, dict):
            body, given["Content-Type"] = json.dumps(body), "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, body, {**given, **headers})
            yield connection.getresponse()

    def ask(self, method: str, path: str = "", body: Any = None, **headers: str) -> tuple[int, Any]:
        with self.open(method, self.path + path, body, **headers) as answer:
            return answer.status, json.loads(answer.read())

    def start(self, command: str, **fields: Any) -> str:
        status, run = self.ask("POST", "", {"command": command, **fields})
        assert status == 200, run
        return str(run["run_id"])

    def wait(self, run_id: str) -> dict[str, Any]:
        return self.frames(run_id)[-1][1]

    def frames(self, run_id: str, offset: int = 0, **query: str) -> list[tuple[str, Any]]:
        asked = "&".join(f"{name}={value}" for name, value in {"offset": str(offset), **query}.items())
        with self.open("GET", f"{self.path}/{run_id}/events?{asked}", **FRAMES) as answer:
            assert answer.status == 200, answer.read()
            return list(frames(answer))

    def output(self, run_id: str, offset: int = 0) -> bytes:
        return b"".join(data for letter, data in self.frames(run_id, offset) if letter in "OE")


def frames(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """The frames of an answer, as they come."""
    while head := answer.read(5):
        letter, length = struct.unpack("<cI", head)
        data = answer.read(length)
        yield letter.decode(), json.loads(data) if letter in b"SX" else data


@pytest.fixture(scope="module")
def guest(deployment: Deployment) -> Iterator[Guest]:
    url = deployment.base_url
    with Arker(deployment.api_key, url, global_url=url) as arker, arker.vm("arkuntu").fork() as computer:
        yield Guest(deployment, computer.id)


@pytest.fixture
def lasting(fresh_deployment: Callable[..., FreshDeployment]) -> Guest:
    """A computer of a deployment that the test restarts."""
    deployment = fresh_deployment().start()
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker:
        return Guest(deployment, arker.vm("arkuntu").fork().id)


def test_output_comes_before_the_end_in_the_order_in_which_it_was_read(guest: Guest) -> None:
    command = "echo one; echo two >&2; until [ -e go ]; do sleep 0.01; done; echo three; exit 3"
    with guest.open("POST", guest.path, {"command": command}, **FRAMES) as answer:
        coming = frames(answer)
        letter, run = next(coming)
        assert (letter, run["state"], run["command"]) == ("S", "running", command)
        seen: dict[str, bytes] = {"O": b"", "E": b""}
        while (seen["O"], seen["E"]) != (b"one\n", b"two\n"):
            letter, data = next(coming)
            seen[letter] += data
        guest.start("touch go")
        assert next(coming) == ("O", b"three\n")
        letter, end = next(coming)
    assert letter == "X"
    assert (end["state"], end["exit_code"], end["reason"]) == ("completed", 3, "exited")
    assert (end["stdout_bytes"], end["stderr_bytes"]) == (10, 4)
    assert set(end["usage"]) == {"cpu_seconds", "peak_memory", "bytes_written", "exact"}


def test_many_readers_from_any_offset_see_the_same(guest: Guest) -> None:
    run = guest.start("seq 100000")
    whole = b"".join(b"%d\n" % number for number in range(1, 100001))
    assert guest.output(run) == whole
    for offset in (1, 4095, len(whole) - 1, len(whole)):
        assert guest.output(run, offset) == whole[offset:]
    assert guest.ask("GET", f"/{run}/events?offset={len(whole) + 1}")[0] == 400


@pytest.mark.slow
def test_a_reader_that_was_cut_goes_on_where_it_was(guest: Guest) -> None:
    run = guest.start("for i in $(seq 200); do echo line $i; sleep 0.005; done")
    data = b""
    while True:
        with guest.open("GET", f"{guest.path}/{run}/events?offset={len(data)}", **FRAMES) as answer:
            for count, (letter, piece) in enumerate(frames(answer)):
                if letter == "X":
                    assert data == b"".join(b"line %d\n" % number for number in range(1, 201))
                    return
                data += piece if letter == "O" else b""
                if count == 5:
                    break


def test_server_sent_events(guest: Guest) -> None:
    # The printf of bash writes each line apart.
    run = guest.start("env printf 'a\\nb'; printf '\\377' >&2")
    guest.wait(run)
    with guest.open("GET", f"{guest.path}/{run}/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        told = [
            dict(line.split(": ", 1) for line in event.split("\n"))
            for event in answer.read().decode().split("\n\n")[:-1]
        ]
    assert [event["event"] for event in told] == ["run", "stdout", "stderr", "end"] or [
        event["event"] for event in told
    ] == ["run", "stderr", "stdout", "end"]
    out = next(json.loads(event["data"]) for event in told if event["event"] == "stdout")
    err = next(json.loads(event["data"]) for event in told if event["event"] == "stderr")
    assert (out["data"], out["encoding"]) == ("a\nb", "utf-8")
    assert (base64.b64decode(err["data"]), err["encoding"]) == (b"\xff", "base64")
    last = told[-2]["id"]
    assert last == "4"
    with guest.open("GET", f"{guest.path}/{run}/events", **{"Last-Event-ID": last}) as resumed:
        assert b"event: std" not in resumed.read()


def test_without_following_what_there_is(guest: Guest) -> None:
    run = guest.start("echo begun; sleep 1000")
    while not (found := guest.frames(run, follow="false"))[1:]:
        time.sleep(0.01)
    assert [letter for letter, _ in found] == ["S", "O"]
    guest.ask("DELETE", f"/{run}")
    assert guest.wait(run)["state"] == "cancelled"
    silent = guest.start("sleep 1000")
    assert [letter for letter, _ in guest.frames(silent, follow="false")] == ["S"]
    guest.ask("DELETE", f"/{silent}")


def test_input_is_given_once_whatever_is_sent_again(guest: Guest) -> None:
    run = guest.start("cat; echo end", stdin=True)
    post = lambda query, data: guest.ask("POST", f"/{run}/stdin{query}", data)  # noqa: E731
    assert post("?offset=0", b"hello ") == (200, {"received": 6})
    assert post("?offset=0", b"hello wor") == (200, {"received": 9})
    assert post("?offset=20", b"?")[0] == 400
    assert post("", b"ld\n") == (200, {"received": 12})
    assert post("?offset=12&close=true", b"")[0] == 200
    assert guest.output(run) == b"hello world\nend\n"
    assert post("", b"late")[0] == 409


def test_writers_count_their_own_input(guest: Guest) -> None:
    run = guest.start("cat", stdin=True)
    post = lambda query, data: guest.ask("POST", f"/{run}/stdin{query}", data)  # noqa: E731
    assert post("?writer=a&offset=0", b"1") == (200, {"received": 1})
    assert post("?writer=b&offset=0", b"2") == (200, {"received": 1})
    assert post("?writer=a&offset=0", b"13") == (200, {"received": 2})
    assert post("?writer=b&offset=2", b"?")[0] == 400
    assert post(f"?writer={'x' * 65}", b"?")[0] == 400
    assert post("?writer=c&close=true", b"4") == (200, {"received": 1})
    assert guest.output(run) == b"1234"


def test_input_that_is_sent_again_while_it_is_not_read_is_given_once(guest: Guest) -> None:
    run = guest.start("until [ -e reading ]; do sleep 0.01; done; wc -c", stdin=True)
    # More than a pipe holds.
    send = lambda: guest.ask("POST", f"/{run}/stdin?offset=0", bytes(300_000))  # noqa: E731
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(send) for _ in range(2)]
        guest.start("touch reading")
        assert [one.result() for one in both] == [(200, {"received": 300_000})] * 2
    guest.ask("POST", f"/{run}/stdin?close=true", b"")
    assert guest.output(run) == b"300000\n"


def test_a_run_without_input_reads_none(guest: Guest) -> None:
    run = guest.start("cat; echo end")
    assert guest.output(run) == b"end\n"


@pytest.mark.slow
def test_unread_input_delays_no_other(guest: Guest) -> None:
    run = guest.start("sleep 1000", stdin=True)
    url = urlsplit(guest.deployment.base_url)
    connection = HTTPConnection(url.hostname or "", url.port, timeout=60)
    connection.putrequest("POST", f"{guest.path}/{run}/stdin")
    connection.putheader("Authorization", f"Bearer {guest.deployment.api_key}")
    connection.putheader("Content-Length", str(1 << 30))
    connection.endheaders()
    assert connection.sock is not None
    connection.sock.settimeout(1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += connection.sock.send(bytes(1 << 16))
    assert sent < 64 << 20
    assert guest.output(guest.start("echo fine")) == b"fine\n"
    guest.ask("DELETE", f"/{run}")
    assert guest.wait(run)["state"] == "cancelled"
    connection.close()


def test_signals(guest: Guest) -> None:
    run = guest.start("trap 'echo got it; exit 5' USR1; echo ready; while :; do :; done")
    while not guest.frames(run, follow="false")[1:]:
        time.sleep(0.01)
    assert guest.ask("POST", f"/{run}/signal", {"signal": "SIGUSR1"}) == (200, {"sent": True})
    assert guest.output(run) == b"ready\ngot it\n"
    assert guest.wait(run)["exit_code"] == 5
    assert guest.ask("POST", f"/{run}/signal", {"signal": "SIGUSR1"}) == (200, {"sent": False})
    assert guest.ask("POST", f"/{run}/signal", {"signal": "SIGNOTHING"})[0] == 400


def test_cancelling_ends_what_it_started(guest: Guest) -> None:
    run = guest.start("sleep 1000 & sleep 2000; echo not reached")
    began = time.monotonic()
    assert guest.ask("DELETE", f"/{run}") == (200, {"cancelled": True})
    end = guest.wait(run)
    assert (end["state"], end["reason"]) == ("cancelled", "cancelled")
    assert time.monotonic() - began < 20
    assert guest.ask("DELETE", f"/{run}") == (200, {"cancelled": False})


def test_a_time_limit(guest: Guest) -> None:
    end = guest.wait(guest.start("sleep 1000", timeout=0.2))
    assert (end["state"], end["reason"], end["exit_code"]) == ("completed", "timed_out", 124)


def test_one_key_is_one_run(guest: Guest) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = guest.ask("POST", "", {"command": "echo x >>once"}, **key)[1]
    again = guest.ask("POST", "", {"command": "echo x >>once"}, **key)[1]
    assert first["run_id"] == again["run_id"]
    guest.wait(first["run_id"])
    assert guest.output(guest.start("cat once")) == b"x\n"
    assert guest.ask("POST", "", {"command": "another"}, **key)[0] == 409


def test_folder_variables_and_session(guest: Guest) -> None:
    run = guest.start("pwd; echo $WHAT; cd /; WHAT=changed", cwd="/tmp", env={"WHAT": "a 'b' $c"})
    assert guest.output(run) == b"/tmp\na 'b' $c\n"
    guest.wait(guest.start("cd /usr; export HERE=1", session_id="mine"))
    assert guest.output(guest.start("pwd; echo $HERE", session_id="mine")) == b"/usr\n1\n"
    # Without one, a session of its own begins with what the default one knows.
    guest.wait(guest.start("cd /var; export THERE=2; f() { echo f; }", session_id="0"))
    assert guest.output(guest.start("pwd; echo $THERE; f; cd /")) == b"/var\n2\nf\n"
    assert guest.output(guest.start("pwd; cd", session_id="0")) == b"/var\n"


def test_a_session_runs_one_command_at_a_time_and_background_runs_go_beside(guest: Guest) -> None:
    run = guest.start("sleep 1000", session_id="0")
    assert guest.ask("POST", "", {"command": "true", "session_id": "0"})[0] == 409
    others = [guest.start("sleep 1000") for _ in range(20)]
    status, page = guest.ask("GET", "?running=true")
    assert status == 200
    assert {one["run_id"] for one in page["runs"]} >= {run, *others}
    for one in (run, *others):
        guest.ask("DELETE", f"/{one}")
        guest.wait(one)
    assert {one["run_id"] for one in guest.ask("GET", "?running=true")[1]["runs"]}.isdisjoint({run, *others})
    assert guest.ask("GET", "?running=false&limit=5")[1]["runs"][4]["state"]


def gone(guest: Guest, run: str) -> bool:
    """Whether the session that was made for a run has ended."""
    with guest.open("GET", f"/api/v1/vms/{guest.vm_id}/sessions/run-{run}") as answer:
        return answer.status == 404


def test_a_session_of_its_own_is_not_listed(guest: Guest) -> None:
    run = guest.start("sleep 1000")
    assert not gone(guest, run)
    with guest.open("GET", f"/api/v1/vms/{guest.vm_id}/sessions") as answer:
        listed = {session["session_id"] for session in json.loads(answer.read())["sessions"]}
    assert f"run-{run}" not in listed
    guest.ask("DELETE", f"/{run}")
    guest.wait(run)


def test_a_session_of_its_own_ends_with_its_run(guest: Guest) -> None:
    runs = [guest.start("sleep 1000 & sleep 0.05") for _ in range(3)]
    for run in runs:
        guest.wait(run)
    for run in runs:
        while not gone(guest, run):
            time.sleep(0.02)
    # What was killed is listed until process 1 has taken notice.
    none = "while pgrep -x sleep >/dev/null; do :; done; echo none"
    assert guest.output(guest.start(none, timeout=60)) == b"none\n"


def test_missing_runs_and_invalid_requests(guest: Guest) -> None:
    assert guest.ask("GET", "/nothing")[0] == 404
    assert guest.ask("DELETE", "/nothing")[0] == 404
    assert guest.ask("GET", "/nothing/events")[0] == 404
    for body in (
        {},
        {"command": "a\0b"},
        {"command": "x", "cwd": "here"},
        {"command": "x", "env": {"1": ""}},
    ):
        assert guest.ask("POST", "", body)[0] == 400
    assert guest.ask("GET", "?running=perhaps")[0] == 400


@pytest.mark.slow
def test_runs_survive_a_restart(lasting: Guest) -> None:
    ended = lasting.start("seq 1000; exit 7")
    before = lasting.wait(ended)
    cut = lasting.start("echo begun; sleep 1000")
    while not lasting.frames(cut, follow="false")[1:]:
        time.sleep(0.01)
    lasting.deployment.stop()
    lasting.deployment.start()
    assert lasting.ask("GET", f"/{ended}")[1] == before
    assert lasting.output(ended) == b"".join(b"%d\n" % number for number in range(1, 1001))
    end = lasting.wait(cut)
    assert (end["state"], end["exit_code"]) == ("failed", None)
    assert end["reason"] in ("computer_stopped", "infrastructure")
    assert lasting.output(cut) == b"begun\n"
    assert {run["run_id"] for run in lasting.ask("GET")[1]["runs"]} == {ended, cut}
    assert gone(lasting, cut)
    lasting.deployment.kill()
    lasting.deployment.start()
    assert lasting.ask("GET", f"/{ended}")[1] == before


def test_followers_do_not_delay_a_stop(lasting: Guest) -> None:
    run = lasting.start("sleep 1000")
    with lasting.open("GET", f"{lasting.path}/{run}/events", **FRAMES) as answer:
        assert next(frames(answer))[0] == "S"
        began = time.monotonic()
        lasting.deployment.stop()
        assert time.monotonic() - began < 20
        assert [letter for letter, _ in frames(answer)] in ([], ["X"])
