"""No computer can exhaust kernel resources that all share."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from arker.local.engine import BubblewrapEngine, Limits, SandboxUnavailable, VmMissing, run, supervisor
from arker.local.engine.kernel import Held, Most, bounds, exceeded_together, room_for_all
from arker.local.engine.meminfo import meminfo
from arker.local.engine.processes import Processes
from arker.local.engine.sandbox import Sandbox

from .harness import attempt, content, sh
from .test_processes import until

MIB = 1 << 20
LIBC = "import ctypes, os, time; libc = ctypes.CDLL(None, use_errno=True)"


async def python(engine: BubblewrapEngine, code: str) -> str:
    return await sh(engine, f"python3 - <<'PYTHON'\n{LIBC}\n{code}\nPYTHON")


def test_a_part_of_what_a_user_may_have() -> None:
    told = bounds(Limits(shared_memory=40960), 128, 65536)
    assert told["user/max_inotify_instances"] == "16"
    assert told["user/max_inotify_watches"] == "8192"
    assert told["kernel/shmall"] == "10"


def test_an_exceeded_limit_is_named() -> None:
    most = Most(files=10, sockets=11, locks=12, epoll_watches=20, terminals=30, shared_files=40)
    assert most.exceeded_by(Held(**most._asdict())) is None
    for name, words in (
        ("files", "10 open files"),
        ("sockets", "11 sockets"),
        ("locks", "12 locks"),
        ("terminals", "30 terminals"),
        ("epoll_watches", "20 watches of epoll"),
        ("shared_files", "40 files in /dev/shm"),
    ):
        held = Held()._replace(**{name: getattr(most, name) + 1})
        assert words in str(most.exceeded_by(held))


def test_of_all_together_who_has_the_most_has_too_much() -> None:
    few, many = Held(terminals=10), Held(terminals=90)
    assert exceeded_together(many, [few, many], {"terminals": 100}) is None
    assert exceeded_together(few, [few, many], {"terminals": 99}) is None
    assert "99 terminals" in str(exceeded_together(many, [few, many], {"terminals": 99}))
    assert {"files", "terminals", "epoll_watches"} == set(room_for_all())


async def test_computers_that_take_the_terminals_together(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "exceeded_together", partial(_with_room, {"terminals": 100}))
    await engine.create("b", "arkuntu")
    code = "import os, time\nheld = [os.openpty() for _ in range(%d)]\ntime.sleep(100)"
    few = asyncio.create_task(run(engine, "b", "0", f"python3 -c '{code % 30}'", timeout=80))
    many = await run(engine, "a", "0", f"python3 -c '{code % 80}'", timeout=80)
    assert (many.exit_code, many.completed) == (137, True), many
    assert "terminals, and this one the most" in many.stderr.decode()
    assert not few.done()
    few.cancel()


def _with_room(
    room: Mapping[str, int], held: Held, by_all: Collection[Held], _: Mapping[str, int]
) -> str | None:
    return exceeded_together(held, by_all, room)


async def test_inotify(engine: BubblewrapEngine) -> None:
    count = int(await python(engine, "print(sum(libc.inotify_init() >= 0 for _ in range(1000)))"))
    assert 8 <= count <= 128
    watches = (
        "fd = libc.inotify_init()\nos.mkdir('w')\n"
        "print(int(open('/proc/sys/user/max_inotify_watches').read()) < 1 << 31)"
    )
    assert await python(engine, watches) == "True\n"


@pytest.mark.engine(shared_memory=4 * MIB)
async def test_system_v_objects(engine: BubblewrapEngine) -> None:
    assert await python(engine, "print(libc.shmget(0, 5 << 20, 0o1600))") == "-1\n"
    assert await python(engine, "print(libc.shmget(0, 1 << 20, 0o1600) >= 0)") == "True\n"
    queues = "print(sum(libc.msgget(0, 0o1600) >= 0 for _ in range(500)))"
    assert int(await python(engine, queues)) <= 64


async def test_asynchronous_input_and_leases_are_refused(engine: BubblewrapEngine) -> None:
    number = 206 if platform.machine() == "x86_64" else 0
    setup = f"libc.syscall({number}, 1, ctypes.byref(ctypes.c_ulong()))"
    assert await python(engine, f"print({setup}, ctypes.get_errno())") == "-1 38\n"
    await sh(engine, "echo text > f")
    lease = "import fcntl\nfd = os.open('f', 0)\ntry: fcntl.fcntl(fd, 1024, 0)\nexcept OSError as e: print(e.errno)"
    assert await python(engine, lease) == "22\n"
    assert await content(engine, "/home/user/f") == b"text\n"


async def test_locks_of_a_program_that_cannot_be_read(engine: BubblewrapEngine) -> None:
    code = (
        "import fcntl, os, time\nheld = [os.open(str(n), os.O_RDWR | os.O_CREAT) for n in range(700)]\n"
        "[fcntl.lockf(fd, fcntl.LOCK_EX, 1, 2 * at) for at in range(30) for fd in held]\ntime.sleep(100)"
    )
    await sh(engine, "cp $(readlink -f /usr/bin/python3) program; chmod 111 program")
    ended = await run(engine, "a", "0", f"PYTHONHOME=/usr ./program - <<'PYTHON'\n{code}\nPYTHON", timeout=80)
    assert (ended.exit_code, ended.completed) == (137, True), ended
    assert "locks" in ended.stderr.decode()


async def test_buffers_of_sockets_keep_their_size(engine: BubblewrapEngine) -> None:
    code = """
import socket
a, b = socket.socketpair()
for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
    before = a.getsockopt(socket.SOL_SOCKET, option)
    a.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
    assert a.getsockopt(socket.SOL_SOCKET, option) == before
for name in ("rmem", "wmem"):
    assert int(open(f"/proc/sys/net/ipv4/tcp_{name}").read().split()[2]) == 1 << 18
"""
    assert await python(engine, code) == ""


async def test_a_crash_starts_no_program_of_the_host(engine: BubblewrapEngine) -> None:
    # 1 is the limit with which the kernel does not start the program of `kernel.core_pattern`.
    code = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.prlimit(0, resource.RLIMIT_CORE, (0, 0))
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    assert await python(engine, code) == "(1, 1)\n"
    assert "Max core file size        1 " in await sh(engine, "ulimit -c 0; cat /proc/self/limits")


async def test_signals_that_are_pending(engine: BubblewrapEngine) -> None:
    from pathlib import Path

    user = int(Path("/proc/self/limits").read_text().partition("Max pending signals")[2].split()[1])
    assert int(await sh(engine, "ulimit -Hi")) <= min(4096, user // 2)


async def test_nothing_below_proc_is_written(engine: BubblewrapEngine) -> None:
    before = await sh(engine, "cat /proc/self/oom_score_adj /proc/sys/kernel/sem /proc/sys/kernel/pid_max")
    assert before.startswith("1000\n")
    for name in ("self/oom_score_adj", "sys/kernel/sem", "sys/kernel/pid_max", "sys/kernel/shmall"):
        assert (await attempt(engine, f"echo 400 > /proc/{name}")).exit_code != 0, name
    assert before == await sh(
        engine, "cat /proc/self/oom_score_adj /proc/sys/kernel/sem /proc/sys/kernel/pid_max"
    )


async def test_the_deployment_keeps_its_place_when_memory_runs_out(engine: BubblewrapEngine) -> None:
    from pathlib import Path

    before = Path("/proc/self/oom_score_adj").read_text()
    await sh(engine, ":")
    assert Path("/proc/self/oom_score_adj").read_text() == before


def test_a_long_list_of_locks_is_read_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now))

    class Computers:
        seconds = 0.0

        def locks(self, most: int) -> int:
            nonlocal now
            now += self.seconds
            return 1

        def locks_of_descriptors(self) -> int:
            return 2

    computers = Computers()
    processes = cast(Processes, computers)
    looks = supervisor.Supervisor(tmp_path, Limits(), list, asyncio.create_task)
    assert [looks.locks(processes) for _ in range(3)] == [1, 1, 1]
    computers.seconds = 0.1
    assert [looks.locks(processes) for _ in range(3)] == [1, 2, 2]
    now += 5.0
    assert [looks.locks(processes) for _ in range(3)] == [1, 2, 2]


async def test_locks_are_told_by_descriptors(engine: BubblewrapEngine) -> None:
    code = (
        "import fcntl, time\nheld = open('f', 'w')\nfor at in range(100): fcntl.lockf(held, fcntl.LOCK_EX, 1, 2 * at)\n"
        "open('locked', 'w')\ntime.sleep(100)"
    )
    await sh(engine, f'python3 -c "{code}" >/dev/null 2>&1 & until [ -e locked ]; do sleep 0.01; done')
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    assert sandbox.processes.locks_of_descriptors() == 100


@pytest.mark.parametrize(
    ("hog", "words"),
    [
        (
            "held = [os.open('/dev/null', 0) for _ in range(8000)]\nfor _ in range(17): os.fork() or time.sleep(100)",
            "files",
        ),
        ("held = [os.openpty() for _ in range(400)]", "terminals"),
        (
            # Not all that the user of the deployment has: other deployments, perhaps of other tests, need some, too.
            "import select\nmost = int(open('/proc/sys/fs/epoll/max_user_watches').read()) // 7\n"
            "r, w = os.pipe()\nfds = [os.dup(r) for _ in range(4000)]\n"
            "polls = [select.epoll() for _ in range(most // len(fds) + 1)]\n"
            "[p.register(fd, 0) for p in polls for fd in fds]",
            "epoll",
        ),
        ("[open(f'/dev/shm/{n}', 'w').close() for n in range(70000)]", "/dev/shm"),
        (
            # In the queue of one that is not accepted, where nobody holds a descriptor of them.
            "import socket\nheld = socket.create_server(('127.0.0.1', 0), backlog=4000)\n"
            "for _ in range(4000): s = socket.create_connection(held.getsockname()); s.send(b'x'); s.close()",
            "sockets",
        ),
        (
            "import fcntl\nheld = [os.open(str(n), os.O_RDWR | os.O_CREAT) for n in range(700)]\n"
            "[fcntl.lockf(fd, fcntl.LOCK_EX, 1, 2 * at) for at in range(30) for fd in held]",
            "locks",
        ),
        (
            "import fcntl, struct\nheld = [os.open(str(n), os.O_RDWR | os.O_CREAT) for n in range(700)]\n"
            "for at in range(30):\n  for fd in held:\n"
            "    fcntl.fcntl(fd, 37, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 2 * at, 1, 0))",
            "locks",
        ),
    ],
    ids=["files", "terminals", "epoll", "shared files", "sockets", "locks", "locks of files"],
)
@pytest.mark.engine(memory=512 * MIB)
async def test_processes_that_take_too_much_are_ended(engine: BubblewrapEngine, hog: str, words: str) -> None:
    code = f"import os, time\n{hog}\ntime.sleep(100)"
    ended = await run(engine, "a", "0", f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=80)
    assert (ended.exit_code, ended.completed) == (137, True), ended
    assert words in ended.stderr.decode()


def test_meminfo_is_bounded_by_the_limit_and_by_the_host() -> None:
    host = "MemTotal:       24684000 kB\nMemFree:          400000 kB\nMemAvailable:    5000000 kB\n"
    told = dict(line.split(":") for line in meminfo(host, 4 << 30, 1 << 30).splitlines())
    assert (told["MemTotal"].split(), told["MemAvailable"].split()) == (["4194304", "kB"], ["3145728", "kB"])
    told = dict(line.split(":") for line in meminfo(host, 8 << 30, 1 << 30).splitlines())
    assert (told["MemTotal"].split()[0], told["MemAvailable"].split()[0]) == ("8388608", "5000000")
    assert "MemFree:               0 kB" in meminfo(host, 1 << 30, 2 << 30)


@pytest.mark.engine(memory=512 * MIB)
async def test_meminfo_shows_the_limit_and_the_rest(engine: BubblewrapEngine) -> None:
    free = "awk '/MemTotal|MemAvailable/ { print $2 }' /proc/meminfo"
    total, left = map(int, (await sh(engine, free)).split())
    assert total == 512 * 1024
    assert left > 400 * 1024
    await sh(
        engine,
        "python3 -c 'import time; b = bytearray(b\"x\") * (200 << 20); time.sleep(100)' >/dev/null 2>&1 &",
    )

    async def less() -> bool:
        return int((await sh(engine, free)).split()[1]) < 330 * 1024

    await until(less)
    assert (await attempt(engine, "echo x > /proc/meminfo")).exit_code != 0


async def test_no_program_of_the_guest_runs_before_the_limits_are_set(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shells of a computer are started by it.
    program = '#!/bin/bash\n:>~/ran;exec /usr/bin/setsid "$@"'
    await sh(
        engine, f"mkdir -p ~/.local/bin && cd ~/.local/bin && echo '{program}' >setsid && chmod +x setsid"
    )
    await engine.stop("a")
    set_limits = engine._helper.bound
    ran = []

    async def late(sandbox: Sandbox) -> int:
        # Long enough for a shell to start, if one may.
        await asyncio.sleep(0.2)
        ran.append(os.access("home/user/ran", os.F_OK, dir_fd=sandbox.root))
        return await set_limits(sandbox)

    monkeypatch.setattr(engine._helper, "bound", late)
    await sh(engine, ":", session="new")
    assert ran == [False]
    await sh(engine, "test -e ~/ran")


async def test_a_command_of_a_computer_deleted_before_its_limits_are_set_says_so(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits = engine._helper.bound
    begun, deleted = asyncio.Event(), asyncio.Event()

    async def late(sandbox: Sandbox) -> int:
        begun.set()
        await deleted.wait()
        return await set_limits(sandbox)

    monkeypatch.setattr(engine._helper, "bound", late)
    command = asyncio.create_task(run(engine, "a", "0", ":"))
    await begun.wait()
    await engine.delete("a")
    deleted.set()
    with pytest.raises(VmMissing):
        await command


async def test_limits_that_nobody_waits_for_fail_silently(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    begun: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
    left = asyncio.Event()

    async def fail(sandbox: Sandbox) -> int:
        begun.set_result(sandbox)
        await left.wait()
        raise SandboxUnavailable("refused")

    monkeypatch.setattr(engine._helper, "bound", fail)
    call = asyncio.create_task(engine.open_file("a", "/etc/hosts"))
    sandbox = await begun
    call.cancel()
    await asyncio.wait({call})
    left.set()
    await sandbox.ended
    monkeypatch.undo()
    # With another sandbox, nothing refers to the task any more.
    del call
    await sh(engine, ":")
    gc.collect()
    assert told == []
