"""A deployment under kills, forks, floods and a full disk, with every effect that it acknowledged checked.

    python -m tests.chaos.storm SECONDS [SEED]

As root the state is on a small disk of its own, which attackers fill. Exits with 0 when everything was as it should be.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.conftest import FreshDeployment
from tests.local.test_durability import BASE, Connection, Refused, Worker
from tests.local.test_process import eventually, processes

_LIMITS = ("processes=96", "memory=256MiB", "disk=64MiB", "shared_memory=16MiB", "open_files=1024")
#: KiB of memory that the deployment may have, whatever is done to it.
_MOST_MEMORY = 600_000
_LEADERLESS = (
    "import ctypes, threading, time; held = bytearray(b'x') * (90 << 20); "
    "threading.Thread(target=time.sleep, args=(60,)).start(); ctypes.CDLL(None).syscall(60, 0)"
)
_ATTACKS = {
    "fork bomb": "b() { b | b & }; b; while :; do echo x >> log; done",
    "hidden": "for i in 1 2 3; do (env -i setsid bash -c 'while :; do date > now; done' &); done",
    "memory": f'for i in 1 2 3 4 5; do python3 -c "{_LEADERLESS}" & done; wait; sleep 5',
    "disk": "for i in $(seq 40); do head -c 8000000 /dev/urandom > f$i || break; done; rm -f f*",
    "names": "mkdir -p d; for i in $(seq 20000); do : > d/$i; done; rm -rf d",
    "nameless": (
        "python3 -c \"import os; fd = os.open('.', os.O_RDWR | os.O_TMPFILE); "
        '[os.write(fd, os.urandom(1 << 20)) for _ in range(200)]"'
    ),
    "output": "head -c 50000000 /dev/zero | tr '\\0' x",
    "terminals": 'python3 -c "import os, time; h = [os.openpty() for _ in range(400)]; time.sleep(9)"',
    "shared memory": "for i in $(seq 300); do head -c 1000000 /dev/zero > /dev/shm/$i; done; rm -f /dev/shm/*",
    "modes": "mkdir -p m; chmod 0077 m; for i in $(seq 200); do ln -sfn / l; mv -T l m2; done; rm -rf m m2",
    "state": 'x=$(head -c 900000 /dev/zero | tr "\\0" y)',
}


class Patient(Worker):
    """A worker that accepts refusals: a refused operation may or may not have been carried out."""

    def step(self, connection: Connection) -> None:
        """Do one operation. Raises AssertionError when a command found no room on the disk."""
        with contextlib.suppress(Refused, AssertionError):
            super().step(connection)


class Attacker:
    """Attacks the deployment from its own computers; the computers of others must not notice."""

    def __init__(self, number: int, seed: int) -> None:
        self.random = random.Random(f"{seed}-{number}")
        self.mine: list[str] = []
        self.done = 0

    def work(self, deployment: FreshDeployment, until: threading.Event) -> None:
        """Attack until the deployment dies."""
        connection = Connection(deployment)
        with contextlib.closing(connection.http), contextlib.suppress(OSError, http.client.HTTPException):
            while not until.is_set():
                with contextlib.suppress(Refused):
                    self._attack(connection)
                    self.done += 1

    def _attack(self, connection: Connection) -> None:
        if len(self.mine) < 3:
            parent = self.random.choice([BASE, *self.mine])
            body = {"is_public": True, "name": "attacker"}
            self.mine.append(connection.call("POST", f"/api/v1/vms/{parent}/fork", body)["vm_id"])
        vm = self.random.choice(self.mine)
        if self.random.random() < 0.15:
            self.mine.remove(vm)
            connection.call("DELETE", f"/api/v1/vms/{vm}")
            return
        command = self.random.choice(list(_ATTACKS.values()))
        body = {"command": command, "session_id": self.random.randrange(3), "timeout": 2}
        connection.call("POST", f"/api/v1/vms/{vm}/run", body)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split(None, 1)[0])


def _check_layers(state: Path, *, exactly: bool) -> None:
    """Every layer that a computer stands on is there; with `exactly`, no other is."""
    engine = state / "engine"
    # Not on the disk that the storm fills.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as copy:
        for name in ("engine.sqlite3", "engine.sqlite3-wal"):
            if (engine / name).exists():
                shutil.copy(engine / name, copy)
        with contextlib.closing(sqlite3.connect(Path(copy, "engine.sqlite3"))) as db:
            frozen = {name for (name,) in db.execute("SELECT value FROM vms, json_each(vms.frozen)")}
            tops = {name for (name,) in db.execute("SELECT top FROM vms")}
    there = {path.name for path in (engine / "layers").iterdir()}
    assert frozen <= there, f"layers are gone: {frozen - there}"
    if exactly:
        assert there <= frozen | tops, f"layers are left: {there - frozen - tops}"


def storm(state: Path, seconds: float, seed: int) -> str:
    """Run workers, attackers and faults; return what was done. Raises AssertionError."""
    options = [word for limit in _LIMITS for word in ("--limit", limit)]
    deployment = FreshDeployment(state, "--log-level", "warning", *options)
    workers = [Patient(number) for number in range(2)]
    attackers = [Attacker(number, seed) for number in range(3)]
    moments = random.Random(seed)
    until = time.monotonic() + seconds
    rounds, most = 0, 0
    while True:
        deployment.start()
        connection = Connection(deployment)
        with contextlib.closing(connection.http):
            there = {item["vm_id"] for item in connection.call("GET", "/api/v1/vms/list?limit=100")["items"]}
            for worker in workers:
                worker.check(connection, there)
            known = {vm for attacker in attackers for vm in attacker.mine}
            assert known <= there, f"computers are gone: {known - there}"
        if time.monotonic() > until:
            break
        stop = threading.Event()
        threads = [
            threading.Thread(target=one.work, args=(deployment, stop)) for one in (*workers, *attackers)
        ]
        for thread in threads:
            thread.start()
        end = min(time.monotonic() + moments.uniform(0.5, 4), until + 0.5)
        while time.monotonic() < end:
            most = max(most, _resident(deployment.pid))
            assert most < _MOST_MEMORY, f"the deployment has {most} KiB of memory"
            time.sleep(0.05)
        deployment.kill()
        stop.set()
        for thread in threads:
            thread.join()
        assert eventually(lambda: not processes(str(state))), "processes outlive the deployment"
        _check_layers(state, exactly=False)
        rounds += 1
    assert deployment.stop() == 0
    assert eventually(lambda: not processes(str(state))), "processes outlive the deployment"
    _check_layers(state, exactly=True)
    assert "Traceback" not in deployment.log, deployment.log[-3000:]
    done = sum(attacker.done for attacker in attackers)
    written = sum(worker.version for worker in workers)
    return f"{rounds} kills, {written} writes and {done} attacks; at most {most // 1024} MiB of memory"


def main() -> None:
    """Run the storm from the command line."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="arker-chaos-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        print(storm(Path(folder), seconds, seed))


if __name__ == "__main__":
    main()
