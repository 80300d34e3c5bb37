"""A full disk gives a clear error and no partial effects, and everything works when there is space again."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arker.ids import new_ulid

from .test_process import call, fork, run

KEY = "ark_" + "t" * 40


class Small:
    """A deployment whose state folder is on a small disk, which exists as long as the deployment."""

    api_key = KEY

    def __init__(self, folder: Path, options: str = "size=96m", before: str = ":") -> None:
        program = f'mount -t tmpfs -o {options} none "$0" && {{ {before}; }} && exec "$@"'
        serve = [
            sys.executable,
            "-m",
            "arker",
            "serve",
            "--port",
            "0",
            "--state",
            folder,
            "--log-level",
            "warning",
        ]
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", program, folder, *serve],
            env={**os.environ, "ARKER_API_KEY": KEY},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.base_url = ""
        while not self.base_url:
            line = self.process.stdout.readline()
            assert line, "it did not start"
            if line.startswith("export ARKER_BASE_URL="):
                self.base_url = line.strip().partition("=")[2]

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.terminate()
        with self.process.stdout:
            assert self.process.wait(30) == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    # A mount of one's own needs root, or a machine that lets everybody be root of a namespace.
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    one = Small(tmp_path)
    yield one
    one.close()


def write(small: Small, vm: str, path: str, size: int) -> Any:
    entry = {
        "path": path,
        "size": size,
        "upload_id": new_ulid(),
        "start": 0,
        "end": size,
        "content": base64.b64encode(os.urandom(size)).decode(),
    }
    status, answer = call(small, "POST", f"/api/v1/vms/{vm}/sync", {"op": "write", "writes": [entry]})
    return answer["results"][0] if status == 200 else answer


def fill(small: Small, vm: str) -> None:
    """Take all that is left of the disk, from inside a computer."""
    result = run(small, vm, "head -c 1000000000 /dev/zero > fill; echo y > more")
    assert "No space left" in result["stderr"], result


def test_a_disk_without_a_byte_left_is_said_to_be_full_and_does_not_hinder_the_end(small: Small) -> None:
    vm, at_rest = fork(small), fork(small)
    fill(small, vm)
    for status, answer in (
        # A fork of one that runs ends its sandbox, which gives some room back.
        call(small, "POST", f"/api/v1/vms/{at_rest}/fork", {"is_public": False}),
        call(small, "POST", f"/api/v1/vms/{vm}/run", {"command": ":", "session_id": 0}, Idempotency_Key="k"),
    ):
        assert (status, answer["error"]["code"]) == (503, "unavailable"), answer
        assert "full" in answer["error"]["message"]


def test_there_is_always_room_to_delete(small: Small) -> None:
    vms = [fork(small) for _ in range(3)]
    for _ in range(2):
        for vm in vms:
            run(small, vm, "echo x > f")
        fill(small, vms[0])
        for vm in vms:
            assert call(small, "DELETE", f"/api/v1/vms/{vm}")[0] == 200
        while call(small, "GET", "/api/v1/health")[0] != 200:
            time.sleep(0.05)
        vms = [fork(small) for _ in range(3)]


def test_a_full_disk_is_said_to_be_full_and_recovers(small: Small) -> None:
    vm, other = fork(small), fork(small)
    assert write(small, vm, "/home/user/kept", 1000)["written"]
    for number in range(60):
        result = write(small, vm, f"/home/user/{number}", 4_000_000)
        if not result.get("written"):
            break
    assert result["error"]["code"] == "unavailable", result
    assert "full" in result["error"]["message"]
    status, answer = call(small, "GET", "/api/v1/health")
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    assert "full" in answer["error"]["message"]
    # What was there is there, and what failed is not.
    listed = run(small, vm, "ls | sort -n | tail -1; wc -c < kept")["stdout"].split()
    assert listed == [str(number - 1), "1000"]
    assert call(small, "DELETE", f"/api/v1/vms/{vm}")[0] == 200
    assert call(small, "GET", f"/api/v1/vms/{vm}")[0] == 404
    while call(small, "GET", "/api/v1/health")[0] != 200:
        time.sleep(0.05)
    assert write(small, other, "/home/user/f", 4_000_000)["written"]
    assert run(small, other, "wc -c < f")["stdout"] == "4000000\n"


#: Takes all the files that are left; takes all the bytes.
_NAMES = "i=0; while : > $0/taken$i; do i=$((i+1)); done"
_BYTES = "cat /dev/zero > $0/taken; cat /dev/zero > $0/taken2"


@pytest.mark.parametrize("fill", [_NAMES, _BYTES], ids=["files", "bytes"])
def test_a_disk_without_anything_left_can_be_started_from_and_cleaned_up(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, fill: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    # Served, so that there is a reserve; then killed; then all that is left is taken. The second start finds what the
    # first one left of the reserve.
    said = tmp_path_factory.mktemp("said") / "said"
    serve = f"{sys.executable} -m arker serve --port 0 --state $0 --log-level warning > {said}$n"
    before = (
        f"for n in 1 2; do {serve} & "
        f"until grep -qs ARKER_API_KEY {said}$n; do sleep 0.05; done; "
        'until [ $n -gt 1 ] || [ -e "$0/spare/63" ]; do sleep 0.05; done; '
        f"kill -9 $!; wait $!; ({fill}) 2>/dev/null; ! touch $0/one-more 2>/dev/null; done; true"
    )
    one = Small(tmp_path, "size=96m,nr_inodes=2000", before)
    try:
        assert call(one, "GET", "/api/v1/vms/list")[1]["items"] == []
    finally:
        one.close()
