"""Limits hold, other computers are not affected, and the computer recovers."""

from __future__ import annotations

import asyncio
import contextlib
import time
import tracemalloc
from types import SimpleNamespace
from typing import cast

import pytest

from arker.local.engine import (
    BubblewrapEngine,
    EngineError,
    Limits,
    Reason,
    StorageFull,
    _linux,
    drop_privileges,
    sandbox,
    supervisor,
)
from arker.local.engine.cgroups import Group
from arker.local.engine.computer import Computer
from arker.local.engine.protocol import Output
from arker.local.engine.shell import Shell

from .harness import Box, attempt, content, sh

pytestmark = pytest.mark.on_disk

MIB = 1 << 20


async def neighbour(engine: BubblewrapEngine) -> None:
    """Another computer answers, soon."""
    if "n" not in set(engine._computers):
        await engine.create("n", "arkuntu")
    started = time.monotonic()
    assert await sh(engine, "/bin/echo fine", vm="n") == "fine\n"
    assert time.monotonic() - started < 20


@pytest.mark.engine(processes=64)
async def test_a_fork_bomb(engine: BubblewrapEngine) -> None:
    bomb = asyncio.create_task(attempt(engine, "b() { b | b & }; b; sleep 5", timeout=2))
    await asyncio.sleep(0.5)
    await neighbour(engine)
    assert engine._computers["a"].sandbox is not None
    assert len(engine._computers["a"].sandbox.processes.all()) <= 64
    await bomb
    await engine.stop("a")
    assert await sh(engine, "echo back") == "back\n"


@pytest.mark.engine(processes=64)
async def test_a_session_without_room_for_its_shell(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=1")
    await attempt(engine, "for i in $(seq 100); do sleep 100 & done 2>/dev/null", timeout=1)
    await engine.stop("a")
    assert await sh(engine, "echo $x") == "1\n"


@pytest.mark.engine(processes=64)
async def test_a_waiting_process_1_delays_no_other(engine: BubblewrapEngine) -> None:
    code = "import os, time\ntry:\n  while os.fork(): pass\n  time.sleep(100)\nexcept OSError: pass"
    await sh(engine, f"python3 -c '{code}' >/dev/null 2>&1")
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    began = time.monotonic()
    for _ in range(1000):  # more than its pipe holds, and the first that it cannot do
        sandbox.control(b"sleep 100 & #" + b"." * 100 + b"\n")
    assert time.monotonic() - began < 30
    await neighbour(engine)


@pytest.mark.engine(memory=200 * MIB)
async def test_memory_of_a_process(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "python3 -c 'b = bytearray(400 << 20)'")
    assert b"MemoryError" in outcome.stderr
    assert await sh(engine, "python3 -c 'print(len(bytearray(50 << 20)))'") == f"{50 * MIB}\n"


@pytest.mark.engine(memory=200 * MIB)
async def test_memory_of_a_computer(engine: BubblewrapEngine) -> None:
    hog = "python3 -c 'import time; b = bytearray(b\"x\") * (90 << 20); time.sleep(60)'"
    outcome = await attempt(engine, f"for i in 1 2 3 4; do {hog} & done; wait -n", timeout=60)
    assert b"memory" in outcome.stderr
    await neighbour(engine)
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    while sum(sandbox.processes.memory().values()) > 250 * MIB:
        await asyncio.sleep(0.01)


@pytest.mark.engine(memory=200 * MIB)
@pytest.mark.parametrize("left", [False, True])
async def test_only_commands_whose_processes_are_killed_for_memory_are_told(
    engine: BubblewrapEngine, left: bool
) -> None:
    hog = "python3 -c 'import time; b = bytearray(b\"x\") * (120 << 20); time.sleep(60)'"
    await sh(engine, "mkfifo go")
    other = asyncio.create_task(attempt(engine, "bash -c 'read <go'; exit 3", session="other"))
    hogs = f"{hog} & {hog} & wait -n"
    if left:
        await sh(engine, f"({hogs}; : > over) >/dev/null 2>&1 &")
        await sh(engine, "until [ -e over ]; do sleep 0.01; done", session="see", timeout=60)
    else:
        outcome = await attempt(engine, hogs, timeout=60)
        assert (outcome.exit_code, outcome.reason) == (137, Reason.OUT_OF_MEMORY)
    await sh(engine, "echo >go", session="see")
    outcome = await other
    assert (outcome.exit_code, outcome.reason, outcome.stderr) == (3, Reason.EXITED, b"")


async def test_a_command_is_told_only_of_what_the_kernel_killed_while_it_ran(
    engine: BubblewrapEngine,
) -> None:
    await sh(engine, ":")
    computer = engine._computers["a"]
    assert computer.sandbox is not None
    group = SimpleNamespace(killed=0, cpu_seconds=None, remove=lambda: None)
    computer.sandbox.group = cast(Group, group)
    guilty = await engine.start_run("a", "0", "read; exit 1", stdin=True)
    group.killed = 1
    await guilty.write_stdin(b"\n")
    end = await guilty.wait()
    assert (end.exit_code, end.reason) == (1, Reason.OUT_OF_MEMORY)
    outcome = await attempt(engine, "sleep 0.6; exit 1")
    assert (outcome.reason, outcome.stderr) == (Reason.EXITED, b"")
    told = asyncio.create_task(attempt(engine, "sleep 60; exit 1"))
    while not computer.sessions["0"].running:
        await asyncio.sleep(0.01)
    group.killed = 2
    run = computer.sessions["0"].run
    assert run is not None
    while run.limit is None:
        await asyncio.sleep(0.01)
    assert run.limit is Reason.OUT_OF_MEMORY
    told.cancel()


_ANONYMOUS = """
held = mmap.mmap(-1, 400 << 20)
for at in range(0, 400 << 20, 4096): held[at] = 1
"""
_FILE = """
fd = os.memfd_create("x")
for _ in range(400): os.write(fd, bytes(1 << 20))
"""
_IN_FLIGHT = """
pair = socket.socketpair()
fd = {made}
for _ in range(400):
    os.write(fd, bytes(1 << 20))
    socket.send_fds(pair[0], [b"x"], [fd])
    os.close(fd)
    time.sleep(0.01)
    fd = socket.recv_fds(pair[1], 1, 1)[1][0]
socket.send_fds(pair[0], [b"x"], [fd])
os.close(fd)
"""


@pytest.mark.engine(memory=200 * MIB)
@pytest.mark.parametrize("hold", [_ANONYMOUS, _FILE], ids=["anonymous", "a file"])
async def test_shared_memory_of_a_program_that_cannot_be_read(engine: BubblewrapEngine, hold: str) -> None:
    await sh(engine, "cp $(readlink -f /usr/bin/python3) program; chmod 111 program")
    code = f"import mmap, os, time\n{hold}\ntime.sleep(60)"
    outcome = await attempt(engine, f"PYTHONHOME=/usr ./program - <<'PYTHON'\n{code}\nPYTHON", timeout=80)
    assert (outcome.exit_code, outcome.completed) == (137, True), outcome
    assert b"more than its 209715200 bytes of memory" in outcome.stderr


async def test_processes_of_the_engine_do_not_count_as_hidden(engine: BubblewrapEngine) -> None:
    await sh(engine, ":")
    await sh(engine, "sleep 100 >/dev/null 2>&1 &", session="b")
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    assert sandbox.processes.nameless().in_flight == 0


async def test_a_process_that_ends_hides_nothing(engine: BubblewrapEngine) -> None:
    await sh(engine, ":")
    computer = engine._computers["a"]
    assert computer.sandbox is not None
    processes = computer.sandbox.processes
    hog = "python3 -c 'b = bytearray(b\"x\") * (100 << 20); print(flush=True); import time; time.sleep(60)'"
    seen = False
    while not seen:
        await sh(engine, f"mkfifo f; {hog} >f & read <f; rm f")
        (pid,) = (process.pid for process in computer.others())
        await sh(engine, f"kill -9 {pid}")
        # The kernel takes a while to take the memory back, and shows the descriptors to nobody then.
        while any(process.pid == pid for process in processes.all()):
            seen |= processes.ending(str(pid))
            assert processes.nameless().in_flight == 0


@pytest.mark.engine(memory=200 * MIB)
@pytest.mark.parametrize(
    "hold",
    [
        _ANONYMOUS,
        f"{_ANONYMOUS}\nbegin = ctypes.addressof(ctypes.c_char.from_buffer(held))\n"
        "libc.mprotect(ctypes.c_void_p(begin), 4096, 1)",
        _FILE,
        f"{_FILE}\nheld = mmap.mmap(fd, 0)\nos.close(fd)",
        _IN_FLIGHT.format(made="os.memfd_create('x')"),
    ],
    ids=["anonymous", "in parts", "a file", "a mapped file", "in flight"],
)
async def test_shared_memory_without_a_name(engine: BubblewrapEngine, hold: str) -> None:
    code = f"import ctypes, mmap, os, socket, time\nlibc = ctypes.CDLL(None)\n{hold}\ntime.sleep(60)"
    outcome = await attempt(engine, f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=80)
    assert (outcome.exit_code, outcome.completed) == (137, True), outcome
    assert b"more than its 209715200 bytes of memory" in outcome.stderr
    await neighbour(engine)


@pytest.mark.engine(shared_memory=8 * MIB)
async def test_shared_memory(engine: BubblewrapEngine) -> None:
    assert (await attempt(engine, "head -c 10000000 /dev/zero > /dev/shm/x")).exit_code != 0
    assert (
        await sh(engine, "rm /dev/shm/x; head -c 5000000 /dev/zero > /dev/shm/x; stat -c %s /dev/shm/x")
        == "5000000\n"
    )


@pytest.mark.engine(file_size=MIB)
async def test_the_size_of_a_file(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "head -c 2000000 /dev/zero > f")
    assert outcome.exit_code != 0
    assert await sh(engine, "stat -c %s f; ulimit -f") == "1048576\n1024\n"


@pytest.mark.engine(disk=64 * MIB)
async def test_the_disk_of_a_computer(engine: BubblewrapEngine, caplog: pytest.LogCaptureFixture) -> None:
    fill = "for i in $(seq 1000); do head -c 8000000 /dev/zero > f$i || exit; sleep 0.02; done"
    outcome = await attempt(engine, fill, timeout=60)
    assert (outcome.exit_code, outcome.completed) == (137, True)
    assert b"arker: killed: the computer wrote more than its 67108864 bytes of disk" in outcome.stderr
    killed = (
        "killed what ran in a computer: vm=a limit=disk_full: the computer wrote more than its 67108864 bytes"
    )
    assert caplog.text.count(killed) == 1
    await neighbour(engine)
    assert await sh(engine, "rm f*; echo x > y; sleep 1; cat y", timeout=60) == "x\n"


async def test_trouble_with_one_computer_does_not_end_the_supervision_of_others(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await sh(engine, ":")
    troubled = engine._computers["a"].sandbox
    lost = Shell.lost

    def fail(shell: Shell) -> bool:
        if shell.sandbox is troubled:
            raise OSError("trouble")
        return lost(shell)

    monkeypatch.setattr(Shell, "lost", fail)
    await engine.create("b", "arkuntu")
    await sh(engine, "sleep 1000 >/dev/null 2>&1 &", vm="b")
    async with asyncio.timeout(60):
        while not engine._computers["b"].measured:
            await asyncio.sleep(0.01)
    assert "computer a could not be supervised" in caplog.text


async def test_a_disk_that_cannot_be_measured_is_not_taken_for_empty(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: "/bin/false")
    with pytest.raises(OSError, match="cannot be measured"):
        await engine._computers["a"].measure()


class _Measurements:
    """Counts the measurements that find too much on a disk, and holds their results back until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = asyncio.Event()
        self.made = 0
        measure = Computer.measure

        async def held(computer: Computer) -> None:
            await measure(computer)
            if computer.size > computer.host.limits.disk:
                self.made += 1
                await self.go.wait()

        monkeypatch.setattr(Computer, "measure", held)

    async def until(self, made: int) -> None:
        while self.made < made:
            await asyncio.sleep(0.01)


@pytest.mark.engine(disk=8 * MIB)
async def test_commands_that_begin_after_a_measurement_are_not_killed_for_it(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_SHARE_IN_NEED", 1.0)
    await sh(engine, "mkfifo go")
    measurements = _Measurements(monkeypatch)
    writer = asyncio.create_task(attempt(engine, "head -c 20000000 /dev/zero > f; sleep 1000", session="w"))
    await measurements.until(1)
    # One in a shell that was there, one in a new one.
    innocent = [
        asyncio.create_task(attempt(engine, f"echo >{name}; bash -c 'read <go'; exit 3", session=session))
        for name, session in (("a", "0"), ("b", "new"))
    ]
    await sh(engine, "until [ -e a ] && [ -e b ]; do sleep 0.01; done", session="see")
    measurements.go.set()
    outcome = await writer
    assert (outcome.exit_code, outcome.reason) == (137, Reason.DISK_FULL)
    assert b"arker: killed: the computer wrote more than its 8388608 bytes of disk" in outcome.stderr
    # What was left by those that were killed is not held against them either, though a little more is found.
    await sh(engine, "head -c 100000 /dev/zero > g", session="see")
    await measurements.until(measurements.made + 3)
    await sh(engine, "exec 3<>go; echo >&3; echo >&3", session="see")
    for command in innocent:
        outcome = await command
        assert (outcome.exit_code, outcome.reason, outcome.stderr) == (3, Reason.EXITED, b"")
    # The limit still holds.
    outcome = await attempt(engine, "head -c 20000000 /dev/zero > h; sleep 1000")
    assert (outcome.exit_code, outcome.reason) == (137, Reason.DISK_FULL)


@pytest.mark.engine(disk=8 * MIB)
async def test_the_disk_of_a_computer_whose_commands_are_shorter_than_a_measurement(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Computer.measure

    async def measure_for_long(computer: Computer) -> None:
        await measure(computer)
        ended = computer.sessions["0"].run
        while computer.sessions["0"].run in (ended, None):
            await asyncio.sleep(0)

    monkeypatch.setattr(Computer, "measure", measure_for_long)
    outcome = await attempt(engine, "true")
    while outcome.exit_code != 137:
        with contextlib.suppress(EngineError):  # its shell was killed before it could start
            outcome = await attempt(engine, "head -c 400000 /dev/zero >> f; sleep 0.02")
    assert outcome.reason is Reason.DISK_FULL


@pytest.mark.engine(disk=64 * MIB)
async def test_the_disk_of_a_computer_while_another_one_deletes(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create("b", "arkuntu")
    await sh(engine, "for i in $(seq 60); do head -c 1048576 /dev/zero > f$i; done", vm="b")
    monkeypatch.setattr(supervisor, "_MEASURE_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "_SHARE", 1.0)

    await sh(engine, "mkfifo go")
    # Both ends open the pipe for reading and writing: it has no end, and nobody waits for the other to open it.
    loop = "exec 3<>go; touch opened; while read i <&3; do head -c 3000000 /dev/zero > $i; done"
    writer = asyncio.create_task(attempt(engine, loop))
    await sh(engine, "until [ -e opened ]; do sleep 0.01; done", session="other")
    for i in range(1, 61, 2):
        # The disk never gets fuller than it was.
        await sh(engine, f"rm f{i} f{i + 1}", vm="b")
        # Whatever wrote too much is killed: this command, too, if it is there.
        await attempt(engine, f"[ -e go ] && echo f{i} 1<>go", session="other")
    outcome = await writer
    assert (outcome.exit_code, outcome.completed) == (137, True)
    assert b"wrote more than its 67108864 bytes of disk" in outcome.stderr


@pytest.mark.engine(disk=64 * MIB)
async def test_the_disk_of_a_computer_that_hides_what_it_writes(engine: BubblewrapEngine) -> None:
    hide = "mkdir -p d/e; exec 5>d/e/f; chmod 000 d/e d; "
    hide += "for i in $(seq 1000); do head -c 8000000 /dev/zero >&5; sleep 0.02; done"
    outcome = await attempt(engine, hide, timeout=60)
    assert (outcome.exit_code, outcome.completed) == (137, True)


@pytest.mark.engine(disk=16 * MIB)
async def test_the_disk_of_a_computer_that_writes_nothing_but_names(engine: BubblewrapEngine) -> None:
    code = "for i in range(500_000): open(str(i), 'w').close()"
    outcome = await attempt(engine, f'python3 -c "{code}"', timeout=60)
    assert (outcome.exit_code, outcome.completed) == (137, True)
    assert b"arker: killed: the computer wrote more than its 16777216 bytes of disk" in outcome.stderr
    await neighbour(engine)


@pytest.mark.engine(disk=64 * MIB)
@pytest.mark.parametrize(
    "opened",
    [
        "fd = os.open('f', os.O_RDWR | os.O_CREAT); os.unlink('f')",
        "fd = os.open('.', os.O_RDWR | os.O_TMPFILE)",
    ],
    ids=["removed", "never named"],
)
async def test_the_disk_of_a_computer_that_names_no_file(engine: BubblewrapEngine, opened: str) -> None:
    code = (
        f"import os, time\n{opened}\n"
        "for _ in range(1000):\n    os.write(fd, os.urandom(1 << 20))\n    time.sleep(0.005)\ntime.sleep(60)"
    )
    outcome = await attempt(engine, f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=60)
    assert (outcome.exit_code, outcome.completed) == (137, True)
    assert b"wrote more than its 67108864 bytes of disk" in outcome.stderr
    assert await sh(engine, "ls") == ""


def own_disk(box: Box) -> None:
    """Put the store of a test that runs as root on a disk of its own. What descriptors in flight hide is what the disk
    has more than before, and on the disk of this machine others remove files, too."""
    _linux.private_mounts()
    _linux.mount_tmpfs(str(box.store), "size=400m,mode=0700")
    drop_privileges(box.store)


async def test_the_disk_of_a_computer_that_has_its_file_in_flight(box: Box, as_root: None) -> None:
    own_disk(box)
    held = _IN_FLIGHT.format(made="os.open('.', os.O_RDWR | os.O_TMPFILE)")
    code = f"import os, socket, time\n{held}\ntime.sleep(60)"
    async with box.engine(disk=64 * MIB) as engine:
        await engine.create("a", "arkuntu")
        outcome = await attempt(engine, f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=60)
        assert (outcome.exit_code, outcome.completed) == (137, True), outcome
        assert b"wrote more than its 67108864 bytes of disk" in outcome.stderr
        assert await sh(engine, "ls") == ""


async def test_writes_of_others_do_not_count_for_a_computer_with_descriptors_in_flight(
    box: Box, as_root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_disk(box)
    monkeypatch.setattr(supervisor, "_MEASURE_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "_SHARE", 1.0)
    async with box.engine(disk=64 * MIB) as engine:
        await engine.create("a", "arkuntu")
        code = (
            "import socket, time; a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0]); time.sleep(60)"
        )
        command = asyncio.create_task(attempt(engine, f'python3 -c "{code}"'))
        computer = engine._computers["a"]
        while not computer.in_flight:
            await asyncio.sleep(0.01)
        for vm in ("b", "c"):
            await engine.create(vm, "arkuntu")
            await sh(engine, "head -c 50000000 /dev/zero > f", vm=vm)
        await engine.stop("b")
        for _ in range(3):
            measured = computer.measured
            while computer.measured == measured and not command.done():
                await asyncio.sleep(0.01)
        assert not command.done()
        await sh(engine, "pkill python3", session="other")
        assert (await command).exit_code == 143


@pytest.mark.engine(disk=64 * MIB)
@pytest.mark.parametrize(
    "opened", ["open('big', 'wb')", "os.fdopen(os.open('.', os.O_WRONLY | os.O_TMPFILE), 'wb')"]
)
async def test_the_disk_of_a_computer_that_writes_into_a_file_system(
    engine: BubblewrapEngine, opened: str
) -> None:
    await engine.stop("a")
    await engine.set_mounts("a", {"/mnt/shared": "fs_1"})
    code = (
        f"import os, time\nos.chdir('/mnt/shared')\nf = {opened}\n"
        "for _ in range(1000):\n    f.write(os.urandom(1 << 20))\n    time.sleep(0.005)"
    )
    outcome = await attempt(engine, f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=60)
    assert (outcome.exit_code, outcome.completed) == (137, True)
    assert b"wrote more than its 67108864 bytes of disk" in outcome.stderr


@pytest.mark.engine(disk=64 * MIB)
async def test_the_disk_of_a_computer_that_only_maps_its_file(engine: BubblewrapEngine) -> None:
    code = (
        "import mmap, os, time\nmaps = []\nfor n in range(100):\n    fd = os.open('f', os.O_RDWR | os.O_CREAT)\n"
        "    os.unlink('f')\n    os.ftruncate(fd, 4 << 20)\n    maps.append(mmap.mmap(fd, 4 << 20))\n"
        "    os.close(fd)\n    maps[-1][:] = os.urandom(4 << 20)\n    time.sleep(0.02)\ntime.sleep(60)"
    )
    outcome = await attempt(engine, f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=60)
    assert (outcome.exit_code, outcome.completed) == (137, True)
    assert b"wrote more than its 67108864 bytes of disk" in outcome.stderr


@pytest.mark.engine(open_files=50)
async def test_open_files(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "python3 -c 'f = [open(\"/dev/null\") for _ in range(100)]'")
    assert b"Too many open files" in outcome.stderr


async def test_output(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "head -c 5000000 /dev/zero | tr '\\0' x; echo err >&2", limit=1000)
    assert (outcome.stdout, outcome.stdout_truncated) == (b"x" * 1000, True)
    assert (outcome.stderr, outcome.stderr_truncated) == (b"err\n", False)


@pytest.mark.engine(run_output=MIB)
async def test_the_outputs_of_runs_that_ended(engine: BubblewrapEngine) -> None:
    for name in ("first", "second", "third"):
        handle = await engine.start_run("a", "0", "head -c 400000 /dev/zero", run_id=name)
        assert (await handle.wait()).exit_code == 0
    # They are written down after a while, and then the oldest makes room.
    while [run.id for run in await engine.runs("a")] != ["third", "second"]:
        await asyncio.sleep(0.01)
    kept = await engine.run_of("a", "third")
    assert sum([len(event.data) async for event in kept.events() if isinstance(event, Output)]) == 400_000


async def test_limits_cannot_be_raised_from_inside(engine: BubblewrapEngine) -> None:
    for letter in "nudf":
        assert (await attempt(engine, f"ulimit -H{letter} unlimited")).exit_code != 0
        assert (await attempt(engine, f"ulimit -S{letter} $(( $(ulimit -H{letter}) + 1 ))")).exit_code != 0
    assert await sh(engine, "ulimit -c; cat /proc/self/oom_score_adj") == "0\n1000\n"


@pytest.mark.parametrize("name", ["processes", "memory", "run", "idle", "run_output", "disk"])
def test_limits_are_checked(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"Limits.{name} is {value}"):
            Limits(**{name: value})  # type: ignore[arg-type]


async def test_a_flood_of_output_takes_no_memory_of_the_host(engine: BubblewrapEngine) -> None:
    await attempt(engine, "true")
    # Not what the process has of the kernel: it may have room from before.
    tracemalloc.start()
    outcome = await attempt(engine, "head -c 100000000 /dev/zero", limit=MIB)
    assert len(outcome.stdout) == MIB
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB


async def test_a_full_disk_is_reported_and_recovers(box: Box, as_root: None) -> None:
    _linux.private_mounts()
    _linux.mount_tmpfs(str(box.store), "size=24m,mode=0700")
    drop_privileges(box.store)
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await engine.write_file("a", "/home/user/kept", b"kept")
        with pytest.raises(StorageFull):
            await engine.write_file("a", "/home/user/big", b"x" * 30_000_000)
        outcome = await attempt(engine, "head -c 30000000 /dev/zero > fill")
        assert b"No space left on device" in outcome.stderr
        assert outcome.exit_code != 0
        # Nothing fits now, not even a row of the database; nothing is lost, and nothing half there.
        with pytest.raises(StorageFull):
            await engine.write_file("a", "/home/user/kept", b"new" * 10_000)
        failed = 0
        for index in range(300):
            try:
                await engine.create(f"b{index}", "arkuntu")
            except StorageFull:
                failed += 1
        assert failed
        made = set(engine._computers)
        assert await content(engine, "/home/user/kept") == b"kept"
        assert await sh(engine, "ls -A") == "fill\nkept\n"
        assert await sh(engine, "rm fill; echo room") == "room\n"
        await engine.create("after", "arkuntu")
        await engine.write_file("a", "/home/user/kept", b"new")
        await engine.fork("a", "child")
        assert await content(engine, "/home/user/kept", "child") == b"new"
    async with box.engine() as engine:
        assert set(engine._computers) == made | {"after", "child"}
