"""The process of a deployment: start, refusals, stop, death and restart; and its launcher."""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from arker.local.process.launcher import LaunchError, launch

if TYPE_CHECKING:
    from tests.conftest import FreshDeployment

BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"
Fresh = Callable[..., "FreshDeployment"]


def call(deployment: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        deployment.base_url + path,
        None if body is None else json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {deployment.api_key}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def fork(deployment: Any, source: str = BASE, **body: Any) -> str:
    status, answer = call(deployment, "POST", f"/api/v1/vms/{source}/fork", {"is_public": False, **body})
    assert status == 200, answer
    return str(answer["vm_id"])


def run(deployment: Any, vm: str, command: str, **headers: str) -> Any:
    return call(
        deployment, "POST", f"/api/v1/vms/{vm}/run", {"command": command, "session_id": 0}, **headers
    )[1]


def processes(marker: str) -> list[int]:
    """Processes of this machine whose arguments hold a marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line:
                found.append(int(entry.name))
    return found


def of_its_own() -> str:
    """Seconds to sleep that no other process of this machine has in its arguments."""
    return f"1000.{secrets.randbelow(10**15):015}"


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def under_way(one: FreshDeployment, command: str) -> tuple[threading.Thread, list[Any]]:
    """Run a command in a new computer; return the thread that waits for its answer, once it has started."""
    vm, answers = fork(one), []

    def ask() -> None:
        with contextlib.suppress(OSError):
            answers.append(run(one, vm, f"touch started; {command}"))

    thread = threading.Thread(target=ask)
    thread.start()
    started = {"op": "read", "path": "/home/user/started"}
    while call(one, "POST", f"/api/v1/vms/{vm}/sync", started)[0] != 200:
        pass
    return thread, answers


class TestServe:
    def test_it_says_what_to_export(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        assert (
            f"export ARKER_BASE_URL={one.base_url}\nexport ARKER_GLOBAL_URL={one.base_url}\n" in one.announced
        )
        assert one.api_key not in one.announced
        assert call(one, "GET", "/api/v1/whoami")[0] == 200

    def test_a_first_start_without_a_key_makes_one_and_shows_it_once(
        self, fresh_deployment: Fresh, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = fresh_deployment()
        one.api_key = ""
        one.start()
        found = re.search(r"export ARKER_API_KEY=(ark_\S+) ", one.announced)
        assert found is not None
        one.api_key = found[1]
        assert call(one, "GET", "/api/v1/whoami")[0] == 200
        one.api_key, key = "", one.api_key
        assert one.stop() == 0
        assert key not in one.log
        one.start()
        assert key not in one.announced
        one.api_key = key
        assert call(one, "GET", "/api/v1/whoami")[0] == 200

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly(self, fresh_deployment: Fresh, number: signal.Signals) -> None:
        one = fresh_deployment().start()
        vm = fork(one)
        assert run(one, vm, "sleep 1000 & echo $$")["exit_code"] == 0
        one.signal(number)
        assert one.wait() == 0
        assert "Traceback" not in one.log
        one.start()
        assert call(one, "GET", f"/api/v1/vms/{vm}")[0] == 200

    def test_nohup_keeps_it_when_its_terminal_is_closed(self, fresh_deployment: Fresh) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            one = fresh_deployment().start()
        finally:
            signal.signal(signal.SIGHUP, before)
        one.signal(signal.SIGHUP)
        one.signal(signal.SIGTERM)
        # A second signal would end it at once.
        assert one.wait() == 0
        assert "signal=SIGHUP" not in one.log

    def test_requests_under_way_are_answered_before_it_ends(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        slow, answers = under_way(one, "sleep 1; echo done")
        assert one.stop() == 0
        slow.join()
        assert answers[0]["stdout"] == "done\n"

    def test_requests_that_take_longer_than_the_grace_are_ended(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment("--grace", "0.2").start()
        slow, _ = under_way(one, "sleep 600")
        began = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - began < 30
        slow.join()

    def test_a_second_signal_ends_it_at_once(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment("--grace", "600").start()
        slow, _ = under_way(one, "sleep 600")
        one.signal(signal.SIGINT)
        assert eventually(lambda: "stopping" in one.log)
        one.signal(signal.SIGINT)
        assert one.wait() == 130
        slow.join()

    def test_computers_files_and_sessions_outlive_a_restart(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        vm = fork(one, name="kept")
        run(one, vm, "mkdir work && cd work && export COLOUR=green && echo text > file")
        assert one.stop() == 0
        one.start()
        (item,) = call(one, "GET", "/api/v1/vms/list")[1]["items"]
        assert (item["vm_id"], item["name"]) == (vm, "kept")
        assert run(one, vm, "echo $COLOUR $PWD $(cat file)")["stdout"] == "green /home/user/work text\n"

    def test_kill_9_leaves_no_process_and_loses_no_answered_write(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        vm = fork(one)
        marker = of_its_own()
        run(one, vm, f"sleep {marker} & disown")
        assert eventually(lambda: bool(processes(marker)))
        entry = {
            "path": "/home/user/f",
            "size": 2,
            "upload_id": "0" * 26,
            "start": 0,
            "end": 2,
            "content": "aGk=",
        }
        assert call(one, "POST", f"/api/v1/vms/{vm}/sync", {"op": "write", "writes": [entry]})[0] == 200
        one.kill()
        assert eventually(lambda: not processes(marker))
        one.start()
        assert run(one, vm, "cat f")["stdout"] == "hi"

    def test_a_run_that_a_kill_cut_short_is_never_run_again(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        vm = fork(one)

        def ask() -> None:
            with contextlib.suppress(OSError):
                run(one, vm, "echo x >> count; sleep 600", Idempotency_Key="once")

        slow = threading.Thread(target=ask)
        slow.start()
        while (
            call(one, "POST", f"/api/v1/vms/{vm}/sync", {"op": "read", "path": "/home/user/count"})[0] != 200
        ):
            pass
        one.kill()
        slow.join()
        one.start()
        answer = run(one, vm, "echo x >> count; sleep 600", Idempotency_Key="once")
        assert answer["error"]["code"] == "conflict"
        assert run(one, vm, "wc -l < count")["stdout"] == "1\n"

    def test_a_client_that_goes_away_takes_its_run_along(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        vm = fork(one)
        marker = of_its_own()
        address = urlsplit(one.base_url)
        body = json.dumps({"command": f"sleep {marker}", "session_id": 0})
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(
                f"POST /api/v1/vms/{vm}/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.api_key}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            assert eventually(lambda: bool(processes(marker)))
        assert eventually(lambda: not processes(marker))
        assert run(one, vm, "echo free")["stdout"] == "free\n"


class TestRefusals:
    def serve(self, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "arker", "serve", *options],
            env={name: value for name, value in os.environ.items() if name != "ARKER_API_KEY"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr

    def test_a_second_deployment_on_the_same_state(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        said = self.serve("--port", "0", "--state", str(one.state))
        assert str(one.pid) in said
        assert one.base_url in said

    def test_a_port_that_is_taken(self, fresh_deployment: Fresh, tmp_path: Path) -> None:
        one = fresh_deployment().start()
        port = str(urlsplit(one.base_url).port)
        assert f"cannot listen on 127.0.0.1 port {port}" in self.serve(
            "--port", port, "--state", str(tmp_path / "s")
        )

    def test_a_state_folder_that_leads_elsewhere(self, fresh_deployment: Fresh, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        state = fresh_deployment().state
        (state / "lock").symlink_to(victim)
        assert "lock" in self.serve("--port", "0", "--state", str(state))
        assert victim.read_text() == "precious"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has powers to be lent")
    def test_root_lends_its_powers_to_no_link_in_the_state_folder(
        self, fresh_deployment: Fresh, tmp_path: Path
    ) -> None:
        victim = tmp_path / "victim.db"
        with contextlib.closing(sqlite3.connect(victim)) as database:
            database.execute("CREATE TABLE precious (x)")
        before = victim.read_bytes()
        state = fresh_deployment().state
        os.chown(state, 64000, 64000)
        (state / "arker.db").symlink_to(victim)
        assert "arker.db" in self.serve("--port", "0", "--state", str(state))
        assert victim.read_bytes() == before

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--port", "99999"], "--port"),
            (["--api-key", "short"], "api_key"),
            (["--limit", "processes=many"], "expected a number"),
            (["--limit", "wishes=3"], "there is no limit 'wishes'"),
            (["--limit", "processes=0"], "processes"),
            (["--public-url", "ftp://x"], "public_url"),
            (["--rate-limit", "-1"], "rate_limit"),
            (["--state", "/dev/null/x"], "/dev/null"),
        ],
    )
    def test_options_that_are_wrong(self, tmp_path: Path, options: list[str], said: str) -> None:
        assert said in self.serve("--state", str(tmp_path / "s"), "--port", "0", *options)


class TestLauncher:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its powers")
    def test_root_starts_it_from_a_package_that_only_root_can_read(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # of mode 0700
            for package in ("arker", "arker_api"):
                source = Path(importlib.import_module(package).__path__[0])
                shutil.copytree(source, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
            code = (
                "import arker; a = arker.Arker.local(); c = a.vm('arkuntu').fork()\n"
                "print(c.run('echo $((2+3))', on_stdout=len).text, arker.__file__); a.close()"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert (done.stdout, done.stderr) == (f"5\n {folder}/arker/__init__.py\n", "")

    def test_one_deployment_serves_all_who_ask_and_ends_with_the_last(self) -> None:
        one = launch(network=False)
        two = launch(network=False)
        assert one.base_url == two.base_url
        assert call(one, "GET", "/api/v1/whoami")[0] == 200
        one.close()
        one.close()
        assert call(two, "GET", "/api/v1/whoami")[0] == 200
        url = two.base_url
        two.close()
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url + "/api/v1/health", timeout=5)
        assert "ark_" not in repr(one)

    @pytest.mark.parametrize("killed", [False, True])
    def test_a_temporary_deployment_leaves_nothing(
        self, killed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str] = []
        original = tempfile.mkdtemp

        def mkdtemp(prefix: str, dir: str | None) -> str:
            made.append(original(prefix=prefix, dir=dir))
            return made[-1]

        monkeypatch.setattr("tempfile.mkdtemp", mkdtemp)
        with launch(rate_limit=1000) as one:
            vm = fork(one)
            deep = "import os\nfor _ in range(1500):\n  os.mkdir('d'); os.chdir('d')"
            run(one, vm, f'mkdir -p a/b && chmod 000 a; python3 -c "{deep}"')
            assert Path(made[0]).exists()
            if killed:
                assert one._shared is not None
                one._shared._process.kill()
        assert not Path(made[0]).exists()

    def test_temporary_state_is_elsewhere_where_sandboxes_cannot_be_in_the_usual_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unfit = tmp_path / ("too long for a mount" * 8) / ("too long for a mount" * 8)
        unfit.mkdir(parents=True)
        monkeypatch.setattr("tempfile.tempdir", str(unfit))
        with launch(rate_limit=1001) as one:
            assert run(one, fork(one), "echo $((6 * 7))")["stdout"] == "42\n"
            assert list(unfit.iterdir()) == []
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        with launch(rate_limit=1001) as one:
            assert call(one, "GET", "/api/v1/whoami")[0] == 200

    def test_the_error_explains_why_the_temporary_folder_does_not_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        monkeypatch.setattr("arker.local.process.launcher._MEMORY", str(tmp_path / "neither"))
        with pytest.raises(LaunchError, match=r"no folder for temporary state: .*missing"):
            launch(rate_limit=1002)

    def test_the_error_explains_that_its_python_does_not_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", "/missing/python")
        with pytest.raises(LaunchError, match="cannot start /missing/python: No such file"):
            launch(rate_limit=1003)

    def test_the_key_is_in_no_argument_and_no_environment(self) -> None:
        with launch() as one:
            for pid in processes("arker.local"):
                try:
                    assert one.api_key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
                    assert one.api_key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
                except (FileNotFoundError, PermissionError, ProcessLookupError):
                    continue

    def test_many_threads_at_once_share_one(self) -> None:
        made: list[Any] = []
        threads = [threading.Thread(target=lambda: made.append(launch(max_vms=7))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({one.base_url for one in made}) == 1
        for one in made:
            one.close()

    def test_it_refuses_with_the_deployment_s_own_words(self) -> None:
        with pytest.raises(LaunchError, match="there is no limit 'wishes'"):
            launch(limits={"wishes": 3})
        with pytest.raises(LaunchError, match="colour"):
            launch(colour="green")
        with pytest.raises(LaunchError, match="/dev/null"):
            launch("/dev/null/x")

    def test_a_kept_state_is_kept(self, fresh_deployment: Fresh) -> None:
        state = fresh_deployment().state
        with launch(state) as one:
            vm = fork(one)
        with launch(state) as one:
            assert call(one, "GET", f"/api/v1/vms/{vm}")[0] == 200

    def test_a_deployment_that_serves_a_state_already_is_joined(
        self, fresh_deployment: Fresh, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = fresh_deployment("--limit", "processes=99").start()
        monkeypatch.setenv("ARKER_STATE", str(served.state))
        with launch(attach=True) as joined:
            assert joined.base_url == served.base_url
        with pytest.raises(LaunchError, match=r"`arker serve` serves .*attach=True"):
            launch(served.state)
        with pytest.raises(
            LaunchError, match=r"network is False there, not True; limits.processes is 99 there, not 100"
        ):
            launch(served.state, attach=True, network=True, limits={"processes": 100, "shells": 32})
        with launch(served.state, attach=True, network=False, limits={"processes": 99}) as joined:
            assert joined.base_url == served.base_url
            assert joined.api_key != served.api_key
            vm = fork(joined)
            key = joined.api_key
        assert call(served, "GET", f"/api/v1/vms/{vm}")[0] == 200
        served.api_key = key
        assert call(served, "GET", "/api/v1/whoami")[0] == 401

    def test_options_that_differ_from_those_of_a_launched_deployment_are_refused(
        self, fresh_deployment: Fresh
    ) -> None:
        state = fresh_deployment().state
        with launch(state, max_vms=3) as one:
            with pytest.raises(LaunchError, match=r"max_vms is 3 there, not 4"):
                launch(state, max_vms=4)
            # Options that were not given are as they are there.
            with launch(state) as two:
                assert two.base_url == one.base_url

    def test_a_state_folder_can_be_launched_again_at_once(self, fresh_deployment: Fresh) -> None:
        state = fresh_deployment().state
        answers: list[int] = []

        def use() -> None:
            for _ in range(3):
                with launch(state) as one:
                    answers.append(call(one, "GET", "/api/v1/whoami")[0])

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 9

    def test_a_deployment_that_stops_is_waited_for(self, fresh_deployment: Fresh) -> None:
        served = fresh_deployment().start()
        vm = fork(served)
        slow = threading.Thread(target=lambda: run(served, vm, "touch started; sleep 1"))
        slow.start()
        while (
            call(served, "POST", f"/api/v1/vms/{vm}/sync", {"op": "read", "path": "/home/user/started"})[0]
            != 200
        ):
            pass
        served.signal(signal.SIGTERM)
        assert eventually(lambda: "stopping" in (served.state / "lock").read_text())
        with launch(served.state) as one:
            assert one.base_url != served.base_url
            assert call(one, "GET", f"/api/v1/vms/{vm}")[0] == 200
        slow.join()
        assert served.wait() == 0

    def test_it_ends_with_its_parent_however_that_dies(self, fresh_deployment: Fresh) -> None:
        place = fresh_deployment().state
        place.chmod(0o1777)  # as /tmp
        program = (
            "from arker.local.process.launcher import launch; print(launch().base_url, flush=True); input()"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(place)},
        )
        assert parent.stdout is not None
        assert parent.stdin is not None
        with parent.stdout, parent.stdin:
            url = parent.stdout.readline().strip()
            (child,) = [
                int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
            ]
            with urllib.request.urlopen(url + "/api/v1/health", timeout=30) as answer:
                assert answer.status == 200
            assert len(list(place.iterdir())) == 1
            parent.kill()
            parent.wait()
        assert eventually(lambda: gone(child))
        assert list(place.iterdir()) == []

    def test_a_process_that_was_forked_off_does_not_end_it(self) -> None:
        with launch() as one:
            context = multiprocessing.get_context("fork")
            child = context.Process(target=one.close)
            child.start()
            child.join(60)
            assert child.exitcode == 0
            assert call(one, "GET", "/api/v1/whoami")[0] == 200


class TestKeysCommand:
    def arker(self, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from arker.cli import main; main()", *arguments, "--state", str(state)],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_keys_come_and_go_while_it_serves(self, fresh_deployment: Fresh) -> None:
        one = fresh_deployment().start()
        made = json.loads(self.arker(one.state, "keys", "create", "--org", "acme", "--json").stdout)
        one.api_key = made["key"]
        assert call(one, "GET", "/api/v1/whoami")[1]["org_name"] == "acme"
        listed = self.arker(one.state, "keys", "list", "--json").stdout
        assert one.api_key not in listed
        (key_id,) = [key["key_id"] for key in json.loads(listed) if key["org_name"] == "acme"]
        assert key_id == made["key_id"]
        assert self.arker(one.state, "keys", "revoke", key_id).returncode == 0
        assert call(one, "GET", "/api/v1/whoami")[0] == 401
        again = self.arker(one.state, "keys", "revoke", key_id)
        assert again.returncode == 1
        assert key_id in again.stderr
