"""Forks take constant time and are independent, whether the parent is idle or busy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import time

import pytest

from arker.local.engine import BubblewrapEngine, EngineError, FileMissing, ImageMissing, VmMissing

from .harness import Box, attempt, content, sh

pytestmark = pytest.mark.on_disk

HOME = "/home/user"


async def test_parent_and_child_are_apart(engine: BubblewrapEngine) -> None:
    await sh(
        engine, "echo both > both; echo gone > gone; mkdir d; echo x > d/x; ln d/x hard; echo t > /tmp/t"
    )
    await engine.fork("a", "b")
    await sh(engine, "echo parent > both; rm gone; echo p > d/p")
    assert await sh(engine, "cat both gone d/x hard /tmp/t; ls d", vm="b") == "both\ngone\nx\nx\nt\nx\n"
    await sh(engine, "rm -r d; echo child > child; rm /tmp/t", vm="b")
    assert await sh(engine, "cat both d/x d/p /tmp/t; ls") == "parent\nx\np\nt\nboth\nd\nhard\n"


@pytest.mark.parametrize("first", ["parent", "child"])
async def test_parent_and_child_are_deleted_in_any_order(engine: BubblewrapEngine, first: str) -> None:
    await sh(engine, "echo x > file")
    await engine.fork("a", "b")
    await engine.delete("a" if first == "parent" else "b")
    other = "b" if first == "parent" else "a"
    assert await sh(engine, "cat file", vm=other) == "x\n"
    await engine.fork(other, "c")
    await engine.delete(other)
    assert await sh(engine, "cat file; echo y > file; cat file", vm="c") == "x\ny\n"


async def test_idle_shells_do_not_cause_a_copy(engine: BubblewrapEngine, box: Box) -> None:
    await sh(engine, "head -c 50000000 /dev/urandom > big; x=1")
    before = sum(1 for _ in (box.store / "layers").iterdir())
    await engine.fork("a", "b")
    assert sum(1 for _ in (box.store / "layers").iterdir()) == before
    assert await sh(engine, "echo $x; stat -c %s big", vm="b") == "1\n50000000\n"
    assert await sh(engine, "echo $x; stat -c %s big") == "1\n50000000\n"


async def test_nothing_written_makes_no_layer(engine: BubblewrapEngine) -> None:
    await engine.write_file("a", f"{HOME}/file", b"x")
    for index in range(50):
        await engine.fork("a", f"c{index}")
    assert engine._computers["c49"].frozen == engine._computers["c0"].frozen
    assert len(engine._computers["c49"].frozen) == 1


HARD_CASE = r"""
mkdir -p base/keep base/opaque base/dirfile; echo 1 > base/keep/a; echo 2 > base/opaque/a; echo 3 > base/dirfile/a
echo f > base/filedir; echo mode > base/mode; echo gone > base/gone; ln -s keep base/link
"""
HARD_CASE_2 = r"""
cd ~
rm base/gone; rm -r base/opaque; mkdir base/opaque; echo new > base/opaque/b
rm -r base/dirfile; echo now-a-file > base/dirfile; rm base/filedir; mkdir base/filedir; echo in > base/filedir/in
chmod 4711 base/mode; ln -sfn opaque base/link; mv base/keep base/moved
echo h > hard1; ln hard1 hard2; mkdir locked; echo l > locked/l; chmod 000 locked
echo u > unreadable; chmod 000 unreadable; mkdir readonly; echo r > readonly/r
chmod 555 readonly; chmod 1777 base/filedir
truncate -s 100M sparse; printf end | dd of=sparse seek=104857597 bs=1 conv=notrunc status=none
mkfifo pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
printf 'x' > $'odd \n\xff name'; touch -d 2001-02-03T04:05:06.789 dated; touch -h -d 2002-01-01 base/link
python3 -c 'import os; os.setxattr("dated", "user.color", b"blue\0x")' 2>/dev/null
chmod 750 ~
"""
LOOK = r"""
cd ~; chmod u+rwx locked; chmod u+r unreadable
find . -printf '%p|%y|%m|%l\n' | grep -v '|d|' | sort; find . -type d -printf '%p|%m\n' | sort
cat base/moved/a base/opaque/* base/dirfile base/filedir/in hard1 hard2 locked/l unreadable readonly/r
stat -c '%Y %s' dated sparse; stat -c %Y base/link; du -k sparse | awk '{print ($1 < 2000)}'; tail -c 3 sparse
python3 -c 'import os; print(os.getxattr("dated", "user.color"))'; [ hard1 -ef hard2 ] && echo same
chmod 000 locked unreadable
"""


@pytest.mark.parametrize("how", ["rest", "live", "merged", "live and merged"])
async def test_every_kind_of_file_is_the_same_in_the_child(engine: BubblewrapEngine, how: str) -> None:
    await sh(engine, HARD_CASE)
    await engine.fork("a", "x")
    await attempt(engine, HARD_CASE_2)
    expected = await attempt(engine, LOOK)
    assert b"same" in expected.stdout
    assert b"1\nend" in expected.stdout
    if "live" in how:
        await sh(engine, "sleep 60 &")
    await engine.fork("a", "b")
    if "merged" in how:
        if "live" not in how:
            await engine.write_file("b", f"{HOME}/extra", b"x")
            await sh(engine, "rm extra", vm="b")
        for index in range(5):
            await engine.fork("b", f"b{index}")
            await engine.write_file("b", f"{HOME}/extra", b"x")
        await sh(engine, "rm extra", vm="b")
        await engine.fork("b", "m")
        computer = engine._computers["b"]
        layers = len(computer.frozen)
        async with computer.gate.exclusive():
            await engine._flatten(computer)
        assert len(computer.frozen) < layers
        await engine.stop("b")
    found = await attempt(engine, LOOK, vm="b")
    assert found.stdout == expected.stdout
    assert found.stderr == expected.stderr


async def appears(engine: BubblewrapEngine, name: str) -> None:
    """Wait until a command has written to a file."""
    written = b""
    while not written:
        await asyncio.sleep(0.01)
        with contextlib.suppress(FileMissing):
            written = await content(engine, f"{HOME}/{name}")


@pytest.mark.slow
async def test_a_fork_with_a_command_running(engine: BubblewrapEngine) -> None:
    running = asyncio.create_task(
        sh(engine, "until [ -e stop ]; do echo $((++i)) >> log; sleep 0.01; done; echo done", timeout=60)
    )
    await appears(engine, "log")
    for index in range(5):
        await engine.fork("a", f"b{index}")
        await asyncio.sleep(0.05)
    await engine.write_file("a", f"{HOME}/stop", b"")
    assert await running == "done\n"
    written = (await content(engine, f"{HOME}/log")).split()
    assert written == [str(i).encode() for i in range(1, len(written) + 1)]
    for index in range(5):
        lines = (await content(engine, f"{HOME}/log", f"b{index}")).split()
        assert 0 < len(lines) <= len(written)
        assert lines == written[: len(lines)]


@pytest.mark.slow
async def test_a_fork_under_a_load_of_writes_is_a_moment_in_time(engine: BubblewrapEngine) -> None:
    # Files are written in order; a child that has one must have all before it, with their content.
    writer = (
        "import os\n"
        "for i in range(10**9):\n"
        "  with open(f'n{i % 7}', 'w') as f: f.write(str(i))\n"
        "  if os.path.exists('stop'): break\n"
    )
    running = asyncio.create_task(attempt(engine, f'python3 -c "{writer}"', timeout=60))
    await appears(engine, "n6")
    for index in range(10):
        await engine.fork("a", f"b{index}")
        values = [int(await content(engine, f"{HOME}/n{k}", f"b{index}") or b"-1") for k in range(7)]
        settled = sorted(v for v in values if v >= 0)
        assert len(settled) >= 6, values
        assert settled[-1] - settled[0] <= 7, values
    await engine.write_file("a", f"{HOME}/stop", b"")
    assert (await running).exit_code == 0


async def test_processes_of_the_parent_go_on_and_stay_with_it(engine: BubblewrapEngine) -> None:
    beat = "(while :; do date +%s%N > next; mv next beat; sleep 0.01; done) & until [ -e beat ]; do sleep 0.01; done"
    await sh(engine, beat)
    await engine.fork("a", "b")
    first = await content(engine, f"{HOME}/beat")
    while await content(engine, f"{HOME}/beat") == first:
        await asyncio.sleep(0.01)
    first = await content(engine, f"{HOME}/beat", "b")
    await asyncio.sleep(0.2)
    assert await content(engine, f"{HOME}/beat", "b") == first


@pytest.mark.slow
async def test_a_fork_while_processes_start_others(engine: BubblewrapEngine) -> None:
    # vfork: the parent waits in the kernel until the child has executed, which a stopped child does not.
    spawn = "import subprocess\nfor _ in range(100000): subprocess.run(['/bin/true'])"
    running = [
        asyncio.create_task(attempt(engine, f'python3 -c "{spawn}"', timeout=90, session=f"s{i}"))
        for i in range(3)
    ]
    await asyncio.sleep(0.3)
    for index in range(15):
        await engine.fork("a", f"b{index}")
    await engine.stop("a")
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(outcome, EngineError)


@pytest.mark.slow
async def test_any_number_of_hard_links_is_copied(engine: BubblewrapEngine) -> None:
    import resource

    code = "for i in range(400): open(f'a{i}', 'w').write(str(i)); os.link(f'a{i}', f'b{i}')\n"
    # As many names as a file can have, where that is not more than one waits for.
    code += "try:\n  for i in range(70000): os.link('a0', f'c{i}')\nexcept OSError: pass"
    await sh(engine, f'python3 -c "import os\n{code}"; sleep 60 &', timeout=60)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    await engine.fork("a", "b")
    same = "for i in 0 7 399; do [ a$i -ef b$i ] && cat a$i; done; ls | wc -l"
    assert await sh(engine, same, vm="b") == "07399" + await sh(engine, "ls | wc -l")
    assert not list(engine._path.glob("layers/*.links"))


async def test_a_stopped_process_stays_stopped(engine: BubblewrapEngine) -> None:
    await sh(engine, "sleep 60 & echo $! > pid; kill -STOP $!; sleep 60 &")
    await engine.fork("a", "b")
    assert await sh(engine, "cut -d' ' -f3 /proc/$(cat pid)/stat") == "T\n"


async def test_forks_at_once(engine: BubblewrapEngine) -> None:
    await sh(engine, "echo x > file")
    await asyncio.gather(*(engine.fork("a", f"c{i}") for i in range(40)))
    told = await asyncio.gather(
        *(sh(engine, f"cat file; echo {i} > file; cat file", vm=f"c{i}") for i in range(8))
    )
    assert told == [f"x\n{i}\n" for i in range(8)]


@pytest.mark.slow
async def test_cancelled_forks_happen_or_do_not(engine: BubblewrapEngine) -> None:
    await sh(engine, "echo x > file")
    for step in range(40):
        task = asyncio.create_task(engine.fork("a", f"c{step}"))
        await asyncio.sleep(step * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.write_file("a", f"{HOME}/file{step}", b"x")
    await asyncio.sleep(0.3)
    for vm in set(engine._computers) - {"a"}:
        assert await content(engine, f"{HOME}/file", vm) == b"x\n"
        await engine.delete(vm)


async def test_ids_are_checked(engine: BubblewrapEngine) -> None:
    with pytest.raises(EngineError, match="already"):
        await engine.create("a", "arkuntu")
    with pytest.raises(EngineError, match="already"):
        await engine.fork("a", "a")
    for name in ("", "../x", "a/b", ".", ".hidden", "x" * 129):
        with pytest.raises(EngineError, match="not a valid id"):
            await engine.create(name, "arkuntu")
        with pytest.raises(EngineError, match="not a valid id"):
            await engine.fork("a", name)
    with pytest.raises(ImageMissing, match="arkuntu"):
        await engine.create("n", "nope")
    with pytest.raises(VmMissing):
        await engine.fork("nope", "n")
    with pytest.raises(VmMissing):
        await engine.delete("nope")
    assert set(engine._computers) == {"a"}


@pytest.mark.slow
async def test_layers_go_with_their_last_user(engine: BubblewrapEngine, box: Box) -> None:
    rng = random.Random(5)
    await sh(engine, "echo x > file")
    alive = ["a"]
    for index in range(60):
        parent = rng.choice(alive)
        await engine.fork(parent, f"v{index}")
        alive.append(f"v{index}")
        await engine.write_file(rng.choice(alive), f"{HOME}/f{index}", b"x" * 1000)
        if len(alive) > 5:
            await engine.delete(alive.pop(rng.randrange(len(alive))))
    for vm in alive:
        assert await content(engine, f"{HOME}/file", vm) == b"x\n"
        await engine.delete(vm)
    for _ in range(3000):
        left = [
            *(box.store / "layers").iterdir(),
            *(box.store / "run").iterdir(),
        ]
        if not left:
            break
        await asyncio.sleep(0.02)
    assert not left
    assert not engine._use._count


@pytest.mark.slow
async def test_a_long_chain_of_forks(engine: BubblewrapEngine, box: Box) -> None:
    times = []
    parent = "a"
    for index in range(400):
        if index % 10 == 0:
            await sh(engine, f"echo {index} > n{index}; rm -f n{index - 50}", vm=parent)
            await engine.stop(parent)
        started = time.perf_counter()
        await engine.fork(parent, f"v{index}")
        times.append(time.perf_counter() - started)
        if index % 3:
            await engine.delete(parent)
        parent = f"v{index}"
    while engine._merging:
        await asyncio.sleep(0.02)
    assert len(engine._computers[parent].frozen) <= engine._most_layers
    expected = "".join(f"n{i}\n" for i in range(350, 400, 10))
    assert await sh(engine, "ls -v | grep ^n", vm=parent) == expected
    # What a fork takes does not grow with the chain.
    assert statistics.median(times[-100:]) < 10 * statistics.median(times[:100])


@pytest.mark.slow
async def test_delete_while_everything_happens(engine: BubblewrapEngine) -> None:
    for index in range(10):
        vm = f"v{index}"
        await engine.create(vm, "arkuntu")
        work = [
            asyncio.create_task(sh(engine, "sleep 30", vm=vm)),
            asyncio.create_task(engine.write_file(vm, f"{HOME}/f", b"x" * 1_000_000)),
            asyncio.create_task(engine.open_file(vm, f"{HOME}/f")),
            asyncio.create_task(engine.fork(vm, f"w{index}")),
        ]
        await asyncio.sleep(index * 0.002)
        await engine.delete(vm)
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            assert outcome is None or isinstance(outcome, (int, EngineError)), outcome
            if isinstance(outcome, int):
                os.close(outcome)
    assert await sh(engine, "echo fine") == "fine\n"
    assert not any(vm.startswith("v") for vm in set(engine._computers))


async def test_a_computer_deleted_while_a_fork_merges_its_layers_does_not_come_back(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        for index in range(3):
            await engine.write_file("a", f"{HOME}/file", b"x")
            await engine.fork("a", f"v{index}")
        engine._layers, engine._most_layers = 2, 4
        merge, merging, going = engine._merge, asyncio.Event(), asyncio.Event()

        async def merge_slowly(layers: tuple[str, ...]) -> str:
            merging.set()
            await going.wait()
            return await merge(layers)

        engine._merge = merge_slowly  # type: ignore[method-assign]
        fork = asyncio.create_task(engine.fork("a", "b"))
        await merging.wait()
        await engine.delete("a")
        going.set()
        with pytest.raises(VmMissing):
            await fork
    async with box.engine() as engine:
        assert set(engine._computers) == {"v0", "v1", "v2"}


async def test_a_fork_without_sessions_has_the_files_only(engine: BubblewrapEngine) -> None:
    await sh(engine, "export SECRET=mine; cd /tmp; echo kept >~/file")
    await engine.fork("a", "b", sessions=False)
    assert await sh(engine, "echo [$SECRET] $PWD $(cat ~/file)", vm="b") == "[] /home/user kept\n"
    assert await sh(engine, "echo $SECRET $PWD") == "mine /tmp\n"


async def test_a_strangers_fork_disturbs_nothing_that_runs(engine: BubblewrapEngine) -> None:
    await sh(engine, "echo old > file")
    await engine.fork("a", "before")
    await sh(engine, "echo new > file; head -c 5000000 /dev/urandom > big")
    await sh(engine, "trap 'echo stopped >> seen' CONT; (while :; do sleep 0.01; done) & disown")
    layers = len(list((engine._path / "layers").iterdir()))
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    frozen: list[object] = []
    sandbox.processes.freeze = lambda: frozen.append(1)  # type: ignore[method-assign,assign,return-value]
    for index in range(20):
        await engine.fork("a", f"stranger-{index}", sessions=False)
    assert not frozen
    assert engine._computers["a"].sandbox is sandbox
    assert len(list((engine._path / "layers").iterdir())) == layers
    assert await content(engine, "/home/user/file", "stranger-0") == b"old\n"
    assert await content(engine, "/home/user/file") == b"new\n"


async def test_a_strangers_fork_of_a_computer_at_rest_has_its_latest_files(engine: BubblewrapEngine) -> None:
    await sh(engine, "echo new > file")
    await engine.fork("a", "stranger", sessions=False)
    assert await content(engine, "/home/user/file", "stranger") == b"new\n"


#: Makes a shared memory segment of System V, which outlives the process.
SEGMENT = "import ctypes; assert ctypes.CDLL(None).shmget(1, 4096, 0o1600) >= 0"


@pytest.mark.parametrize(
    ("held", "shown", "expected"),
    [
        ("exec 7<> <(:); echo kept >&7", "read -t 1 line <&7; echo $line", "kept\n"),
        ("echo kept > /dev/shm/x", "cat /dev/shm/x", "kept\n"),
        (f"python3 -c '{SEGMENT}'", "wc -l < /proc/sysvipc/shm", "2\n"),
    ],
)
async def test_a_fork_loses_nothing_that_idle_shells_hold(
    engine: BubblewrapEngine, held: str, shown: str, expected: str
) -> None:
    await sh(engine, f"echo both > file; x=1; {held}")
    await engine.fork("a", "b")
    assert await sh(engine, f"cat file; echo $x; {shown}") == "both\n1\n" + expected
    assert (
        await sh(
            engine,
            "cat file; echo $x; ls /dev/shm; ls /proc/$$/fd | grep -w 7; wc -l </proc/sysvipc/shm",
            vm="b",
        )
        == "both\n1\n1\n"
    )


async def test_a_fork_does_not_copy_much_for_what_is_held(engine: BubblewrapEngine, box: Box) -> None:
    await sh(engine, "head -c 67108864 /dev/zero | tr '\\0' x > big; exec 7</dev/null; cd /tmp")
    await engine.fork("a", "b")
    assert await sh(engine, "pwd; ls /proc/$$/fd | grep -w 7 || :") == "/tmp\n"
    assert await sh(engine, "stat -c %s ~/big", vm="b") == "67108864\n"
