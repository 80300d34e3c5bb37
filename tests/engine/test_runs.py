"""One command at a time: its result, whatever it does to its shell."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import time
import weakref
from pathlib import Path
from signal import Signals

import pytest

from arker.local.engine import (
    BubblewrapEngine,
    EngineError,
    SandboxUnavailable,
    SessionBusy,
    VmMissing,
    run,
    sandbox,
    shell,
)
from arker.local.engine.protocol import Reason
from arker.local.engine.runs import collect
from arker.local.engine.session import TimeoutState, _Command

from .harness import Box, attempt, sh, until_there_are


async def test_streams_status_and_folder(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "echo out; echo err >&2; cd /tmp; (exit 7)")
    assert (outcome.stdout, outcome.stderr, outcome.exit_code) == (b"out\n", b"err\n", 7)
    assert (outcome.cwd, outcome.completed) == ("/tmp", True)
    assert outcome.duration_ms > 0


async def test_a_forgotten_run_is_not_left_to_the_garbage_collector(engine: BubblewrapEngine) -> None:
    await attempt(engine, "true")
    gc.disable()
    try:
        handle = await engine.start_run("a", "0", "echo out")
        await handle.wait()
        await engine.forget_run("a", handle.id)
        gone = weakref.ref(handle)
        del handle
        while gone() is not None:  # the shell may still be about to report
            await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_the_place(engine: BubblewrapEngine) -> None:
    told = await sh(
        engine, 'pwd; id -un; id -u; hostname; echo "$HOME $LANG $SHELL"; echo $-; echo $#; echo $0'
    )
    assert told == "/home/user\nuser\n1000\narkuntu\n/home/user C.UTF-8 /bin/bash\nhB\n0\nbash\n"


@pytest.mark.parametrize("program", ["python3", "python", "bash", "perl -v"])
async def test_programs_of_the_image(engine: BubblewrapEngine, program: str) -> None:
    assert (await attempt(engine, f"{program} --version")).exit_code == 0


async def test_python_runs_threads_processes_and_sockets(engine: BubblewrapEngine) -> None:
    code = """
import concurrent.futures as f, multiprocessing as m, socket, subprocess, tempfile, sqlite3, ssl, ctypes
print(list(f.ThreadPoolExecutor(4).map(str, range(3))))
with m.Pool(2) as p: print(p.map(abs, [-1, -2]))
s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); print('up')
a, b = socket.socketpair(); print(subprocess.check_output(['echo', 'sub']).decode().strip())
print(len(socket.if_nameindex()) >= 1, sqlite3.connect(':memory:').execute('select 1').fetchone())
tempfile.NamedTemporaryFile().write(b'x')
"""
    assert await sh(engine, f"python3 - <<'E'\n{code}E") == "['0', '1', '2']\n[1, 2]\nup\nsub\nTrue (1,)\n"


async def test_no_such_command(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "\nnope --really")
    assert outcome.exit_code == 127
    assert outcome.stderr == b"bash: line 2: nope: command not found\n"


async def test_syntax_errors_stay_with_their_command(engine: BubblewrapEngine) -> None:
    for broken in ("if then", "echo 'open", "(", "cat <<E\nno end", "$(", "}"):
        outcome = await attempt(engine, broken)
        assert outcome.exit_code in (0, 1, 2), broken
        assert await sh(engine, "echo fine") == "fine\n"


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("printf 'a\\0b'", b"a\0b"),
        ("printf 'no newline'", b"no newline"),
        ("printf '\\xff\\xfe'", b"\xff\xfe"),
        ("", b""),
        ("# nothing", b""),
        ("echo 'it'\"'\"'s \\ $HOME'", b"it's \\ $HOME\n"),
        ("cat <<'E'\n'q' $x `y` \\\nE\n", b"'q' $x `y` \\\n"),
        ("echo a; \n\n echo b\n\n", b"a\nb\n"),
        ("echo é → ü", "é → ü\n".encode()),
    ],
)
async def test_bytes_come_as_they_are(engine: BubblewrapEngine, command: str, printed: bytes) -> None:
    assert (await attempt(engine, command)).stdout == printed


async def test_a_command_with_bytes_that_are_not_utf8(engine: BubblewrapEngine) -> None:
    assert (await attempt(engine, b"printf '\xff'".decode("utf-8", "surrogateescape"))).stdout == b"\xff"


@pytest.mark.parametrize("size", [100, 511, 512, 513, 5_000, 200_000, 3_000_000])
async def test_long_commands(engine: BubblewrapEngine, size: int) -> None:
    text = ("x'\"$\\ " * size)[:size].replace("'", "_")
    assert await sh(engine, f"printf %s '{text}'\n") == text


async def test_nul_in_a_command_is_refused(engine: BubblewrapEngine) -> None:
    with pytest.raises(EngineError, match="NUL"):
        await attempt(engine, "echo a\0b")


async def test_stdin_is_empty(engine: BubblewrapEngine) -> None:
    assert await sh(
        engine, "cat; read -r line; echo [$line]; python3 -c 'import sys; print(repr(sys.stdin.read()))'"
    ) == ("[]\n''\n")


# What users do to their shell


@pytest.mark.parametrize(
    "hostile",
    [
        "printf() { :; }; read() { :; }; eval() { :; }; exec() { :; }; declare() { echo; }; trap() { :; }",
        "cd() { :; }; exit() { :; }; return() { :; }; command() { :; }; test() { :; }; export() { :; }; shopt() { :; }",
        "alias builtin=false eval=false printf=false __arker=false; shopt -s expand_aliases",
        "__arker() { :; }",
        "set() { :; }; unset() { :; }; shift() { :; }; local() { :; }; source() { :; }; umask() { :; }",
        "unset -f __arker",
        "exec >/dev/null 2>&1",
        "exec 0<&- 1>&- 2>&-",
        "exec 0</etc/passwd",
        'for fd in 3 4 5 6 7 8 9 10 11 12 13; do eval "exec $fd>&-"; done',
        "set -euo pipefail",
        "set -f; set -C; set -u; set -a; set -k; set -b; set -P",
        "set -x",
        "set -v",
        "set -o posix",
        "set -m",
        "shopt -s extglob globstar nullglob failglob dotglob lastpipe inherit_errexit",
        "IFS=0123456789abcdef/",
        "unset PWD OLDPWD HOME PATH IFS; PATH=/usr/bin:/bin",
        "trap 'echo trapped' EXIT",
        "trap 'echo trapped' DEBUG",
        "trap 'false' ERR; false",
        "trap '' TERM INT HUP",
        "trap 'echo return' RETURN; set -T",
        "break; continue",
        "break 5",
        "return 5",
        "readonly PWD OLDPWD BASH_REMATCH _x=1",
        "POSIXLY_CORRECT=1",
        "BASH_ENV=/nonexistent ENV=/nonexistent PS4='$(echo boo)' PROMPT_COMMAND='exit 9'",
        "LINENO=5; SECONDS=9; RANDOM=3; OPTIND=4",
        "umask 777",
        "ulimit -n 20",
        "enable -n printf declare",
        "hash -r; hash -p /bin/false cat",
        "mkdir -p /home/user/gone && cd /home/user/gone && rmdir /home/user/gone",
        "source /dev/null; . /dev/stdin",
        "coproc cat; disown -a",
        "x=$(cat /dev/null); (exit 3); ! true; false || true",
        "kill -STOP $(sh -c 'sleep 0.01 & echo $!') 2>/dev/null; true",
        "stty -a; tput reset >/dev/null 2>&1; reset <&- 2>/dev/null; true",
    ],
)
async def test_the_next_command_runs_as_if_nothing_was(engine: BubblewrapEngine, hostile: str) -> None:
    await attempt(engine, hostile, timeout=20)
    for _ in range(2):
        started = time.monotonic()
        outcome = await attempt(engine, "\\builtin echo one; \\builtin echo two >&2", timeout=20)
        assert (outcome.completed, outcome.exit_code) == (True, 0), outcome
        assert b"one\n" in outcome.stdout
        assert b"two\n" in outcome.stderr
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("exit 3", 3),
        ("exit", 0),
        ("exec sh -c 'echo here; exit 4'", 4),
        ("exec /nonexistent", 127),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("kill -INT $$; sleep 5", 130),
        ("kill -SEGV $$", 139),
        ("set -e; false; echo not", 1),
        ("set -u; echo $nope", 1),
        ("set -o posix; eval 'if then'", 2),
        ("${nope?gone}", 1),
        ("trap 'exit 9' EXIT; exit 3", 9),
        ("builtin() { :; }", 0),
    ],
)
async def test_every_end_of_the_shell_ends_the_command(
    engine: BubblewrapEngine, last: str, status: int
) -> None:
    await sh(engine, "cd /tmp; x=5; f() { echo f$x; }; shopt -s expand_aliases; alias ll='echo alias'")
    outcome = await attempt(engine, f"echo before; {last}", timeout=20)
    assert outcome.completed
    assert outcome.exit_code == status
    assert outcome.stdout.startswith(b"before\n")
    assert await sh(engine, "set +eux; f; pwd; ll; set +o posix", timeout=20) == "f5\n/tmp\nalias\n"


async def test_exit_keeps_what_the_command_changed(engine: BubblewrapEngine) -> None:
    await attempt(engine, "y=7; cd /usr; exit 3")
    assert await sh(engine, "echo $y; pwd") == "7\n/usr\n"


async def test_the_last_status_is_there_for_the_next_command(engine: BubblewrapEngine) -> None:
    await attempt(engine, "(exit 42)")
    assert await sh(engine, "echo $?") == "42\n"


# Output


@pytest.mark.on_disk
async def test_a_flood_is_capped_and_reported(engine: BubblewrapEngine) -> None:
    limit = 16 << 20
    outcome = await attempt(engine, "head -c 100000000 /dev/zero; head -c 100000000 /dev/zero >&2")
    assert (len(outcome.stdout), outcome.stdout_truncated) == (limit, True)
    assert (len(outcome.stderr), outcome.stderr_truncated) == (limit, True)
    outcome = await attempt(engine, f"head -c {limit} /dev/zero")
    assert (len(outcome.stdout), outcome.stdout_truncated) == (limit, False)


@pytest.mark.on_disk
async def test_floods_come_whole_again_and_again(engine: BubblewrapEngine) -> None:
    for size in (1, 65_536, 65_537, 1_048_577, 9_999_999) * 2:
        outcome = await attempt(engine, f"head -c {size} /dev/zero; sleep 0.00{size % 7}")
        assert len(outcome.stdout) == size


async def test_a_background_child_holds_nobody_up(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "sleep 30 & echo started")
    assert outcome.stdout == b"started\n"
    assert outcome.duration_ms < 20_000


@pytest.mark.slow
async def test_late_output_lands_in_no_other_answer(engine: BubblewrapEngine) -> None:
    await attempt(
        engine, "(for i in $(seq 300); do echo late; echo late >&2; sleep 0.002; done; touch ~/whole) &"
    )
    for _ in range(40):
        assert await sh(engine, "sleep 0.005; echo mine") == "mine\n"
    await sh(engine, "until [ -e ~/whole ]; do sleep 0.02; done", timeout=30)


async def test_a_flood_from_the_background_is_read_to_its_end(engine: BubblewrapEngine) -> None:
    await sh(engine, "(sleep 0.1; head -c 5000000 /dev/zero; touch ~/whole) &")
    await sh(engine, "until [ -e ~/whole ]; do sleep 0.02; done", timeout=30)


@pytest.mark.slow
async def test_endless_output_from_the_background_starves_nobody(engine: BubblewrapEngine) -> None:
    await engine.create("b", "arkuntu")
    for _ in range(3):
        assert (await attempt(engine, "yes & yes >&2 & sleep 0.05")).completed
    started = time.monotonic()
    for _ in range(20):
        assert await sh(engine, "echo mine") == "mine\n"
        assert await sh(engine, "echo other", vm="b") == "other\n"
    assert time.monotonic() - started < 60


async def test_output_of_process_substitution_is_not_lost(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_LINGER_MOST", 30.0)  # the machine may be busy
    for _ in range(20):
        assert await sh(engine, "echo text > >(cat)") == "text\n"
    slow = "python3 -c 'import sys, json, asyncio; print(sys.stdin.read())'"
    assert await sh(engine, f"echo text > >({slow} | tr t T)") == "TexT\n\n"


@pytest.mark.slow
async def test_many_holders_of_output(engine: BubblewrapEngine) -> None:
    for index in range(80):
        assert await sh(engine, f"sleep 20 & echo {index}") == f"{index}\n"


# Time


@pytest.mark.slow
async def test_a_timeout_ends_all_that_the_command_started(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=5; sleep 31 &")
    await asyncio.sleep(0.03)  # the clock of processes ticks 100 times a second
    command = (
        "x=6; sleep 32 & (trap '' TERM; sleep 33) & setsid sleep 34 & (setsid sh -c 'sleep 35 & sleep 36' &) ; "
        "env -i setsid sleep 37 & sleep 38; touch ~/after"
    )
    outcome = await attempt(engine, command, timeout=0.4)
    assert (outcome.exit_code, outcome.completed) == (124, False)
    assert 350 < outcome.duration_ms < 20_000
    assert (
        await sh(
            engine, "for p in /proc/[0-9]*; do xargs -0 <$p/cmdline; done 2>&- | grep -o '^sleep.*' | sort"
        )
        == "sleep 31\n"
    )
    # The session is as it was before.
    assert await sh(engine, "echo $x; ls -A") == "5\n"


async def test_a_timeout_ends_what_ignores_signals(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=5")
    outcome = await attempt(engine, "trap '' TERM INT; x=6; while :; do :; done", timeout=0.2)
    assert outcome.exit_code == 124
    assert outcome.duration_ms < 20_000
    assert await sh(engine, "echo $x") == "5\n"


async def test_output_before_the_timeout_is_kept(engine: BubblewrapEngine) -> None:
    handle = await engine.start_run("a", "0", "echo early; sleep 1000", timeout=3600)
    async for _ in handle.events():
        break
    # As if the hour was over.
    session = engine._computers["a"].sessions["0"]
    assert session.run is not None
    assert isinstance(session.run.control, _Command)
    session.run.control._timeout._move(TimeoutState.EXPIRED)
    outcome = await collect(handle)
    assert (outcome.stdout, outcome.completed) == (b"early\n", False)


@pytest.mark.slow
@pytest.mark.engine(run=0.3)
async def test_the_engine_has_a_longest_run(engine: BubblewrapEngine) -> None:
    assert not (await attempt(engine, "sleep 30")).completed
    assert not (await attempt(engine, "sleep 30", timeout=60)).completed


@pytest.mark.slow
async def test_a_whole_run_ends_with_the_last_process_that_it_started(engine: BubblewrapEngine) -> None:
    await sh(engine, "setsid -f sleep 1000 > /dev/null 2>&1")  # is of another command
    handle = await engine.start_run(
        "a",
        "0",
        "x=5; (until [ -e now ]; do sleep 0.1; done; echo late; touch late) & "
        "setsid -f sh -c 'until [ -e late ]; do sleep 0.2; done; echo daemon; echo err >&2'; "
        "echo now; touch now; (exit 7)",
        whole=True,
    )
    outcome = await collect(handle)
    assert (outcome.stdout, outcome.stderr, outcome.exit_code) == (b"now\nlate\ndaemon\n", b"err\n", 7)
    assert await sh(engine, "echo $x") == "5\n"
    silent = "setsid -f sleep 0.3 > /dev/null 2>&1; exit 3"
    end = await (await engine.start_run("a", "0", silent, whole=True)).wait()
    assert (end.exit_code, end.reason) == (3, Reason.EXITED)
    await until_there_are(engine, 1, "sleep")


async def test_a_whole_run_that_lasts_is_ended_with_what_it_left(engine: BubblewrapEngine) -> None:
    daemon = "setsid -f sleep 1000 > /dev/null 2>&1"
    end = await (await engine.start_run("a", "0", daemon, timeout=0.3, whole=True)).wait()
    assert (end.exit_code, end.reason) == (124, Reason.TIMED_OUT)
    handle = await engine.start_run("a", "0", f"x=5; {daemon}; echo up", whole=True)
    async for _ in handle.events():
        break
    with pytest.raises(SessionBusy):
        await engine.start_run("a", "0", "true")
    await handle.cancel()
    assert (await handle.wait()).reason is Reason.CANCELLED
    await until_there_are(engine, 0, "sleep")


async def test_set_n_ends_its_command(engine: BubblewrapEngine) -> None:
    assert (await attempt(engine, "set -n", timeout=20)).exit_code == 0
    assert await sh(engine, "echo back") == "back\n"


@pytest.mark.parametrize("how", ["cancel", "end the session", "signal"])
async def test_a_shell_runs_nothing_more_when_what_it_waits_for_is_ended(
    engine: BubblewrapEngine, slow_signals: None, how: str
) -> None:
    await sh(engine, "mkfifo begun", session="see")
    # The numbers of the processes are others each time, and the order of a set of them.
    for _ in range(5):
        handle = await engine.start_run(
            "a", "0", "(((echo >begun; sleep 1000; touch 1); touch 2); touch 3); touch 4"
        )
        await sh(engine, "read <begun", session="see")
        await until_there_are(engine, 1, "sleep", session="see")
        if how == "cancel":
            await handle.cancel()
        elif how == "signal":
            await handle.signal(Signals.SIGTERM)
        else:
            await engine.end_session("a", "0")
        await handle.wait()
        await until_there_are(engine, 0, "sleep", session="see")
        assert await sh(engine, "ls", session="see") == "begun\n"


async def test_a_cancelled_call_ends_its_command(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=5")
    task = asyncio.create_task(attempt(engine, "sleep 41; touch ~/after"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The next command waits until the cancelled one is gone, rather than find the session busy.
    assert await sh(engine, "echo $x; ls -A") == "5\n"
    await until_there_are(engine, 0, "sleep")


@pytest.mark.slow
async def test_calls_cancelled_at_any_moment_leave_the_session_whole(engine: BubblewrapEngine) -> None:
    for step in range(60):
        task = asyncio.create_task(attempt(engine, "echo a; sleep 0.005; echo b"))
        await asyncio.sleep(step * 0.0003)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await sh(engine, "echo whole") == "whole\n"


# Side by side


async def test_one_session_runs_one_command(engine: BubblewrapEngine) -> None:
    first = asyncio.create_task(attempt(engine, "until [ -e go ]; do sleep 0.01; done; echo first"))
    await asyncio.sleep(0.05)
    with pytest.raises(SessionBusy):
        await attempt(engine, "echo second")
    assert (await engine.sessions("a"))[0].state == "running"
    await sh(engine, "touch go", session="other")
    assert (await first).stdout == b"first\n"
    assert (await engine.sessions("a"))[0].state == "idle"


async def test_sessions_run_side_by_side_and_apart(engine: BubblewrapEngine) -> None:
    # Each waits for all the others.
    meet = "until [ $(ls there* | wc -l) = 6 ]; do sleep 0.01; done"
    told = await asyncio.gather(
        *(
            sh(engine, f"x={i}; touch there{i}; {meet}; echo $x", session=f"s{i}", timeout=60)
            for i in range(6)
        )
    )
    assert told == [f"{i}\n" for i in range(6)]
    assert await sh(engine, "echo $x", session="s3") == "3\n"
    assert {s.session_id for s in (await engine.sessions("a"))} == {"0", *(f"s{i}" for i in range(6))}


@pytest.mark.engine(sessions=2)
async def test_sessions_are_limited(engine: BubblewrapEngine) -> None:
    await sh(engine, ":", session="1")
    await sh(engine, ":", session="2")
    with pytest.raises(EngineError, match="2 sessions"):
        await sh(engine, ":", session="3")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "..", "a b", "x" * 129, "a\n"])
async def test_session_names_are_checked(engine: BubblewrapEngine, name: str) -> None:
    with pytest.raises(EngineError, match="not a valid id"):
        await sh(engine, ":", session=name)


async def test_no_such_computer(engine: BubblewrapEngine) -> None:
    with pytest.raises(VmMissing, match="nope"):
        await sh(engine, ":", vm="nope")


async def test_one_session_kills_all_the_others(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=1", session="b")
    running = asyncio.create_task(attempt(engine, "touch began; sleep 80; echo not", vm="a"))
    outcome = await run(
        engine, "a", "b", "until [ -e began ]; do sleep 0.01; done; kill -9 -1; echo survived"
    )
    assert outcome.stdout == b"survived\n"
    assert (await asyncio.wait_for(running, 30)).exit_code == 137
    assert await sh(engine, "echo back") == "back\n"
    assert await sh(engine, "echo $x", session="b") == "1\n"


async def test_process_1_cannot_be_ended_from_inside(engine: BubblewrapEngine) -> None:
    signals = await sh(engine, "for s in $(seq 1 64); do kill -$s 1 2>/dev/null; done; sleep 0.1; echo here")
    assert signals == "here\n"
    assert await sh(engine, "echo still", session="new") == "still\n"


async def test_signals_reach_programs_as_usual(engine: BubblewrapEngine) -> None:
    code = "import os, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert await sh(engine, f'python3 -c "{code}"; (python3 -c "{code}" & wait)') == "True\nFalse\n"
    ignored = int((await sh(engine, "grep SigIgn /proc/self/status")).split()[1], 16)
    assert ignored & 0x7FFFFFFF == 0


@pytest.mark.parametrize("made_up", ["", "R0", "E0", "S1", "X", "R0\\0/tmp\\0x=made_up", "R" + "9" * 50])
async def test_made_up_records_reach_no_further_than_their_command(
    engine: BubblewrapEngine, made_up: str
) -> None:
    # Without end, from the background, and the shell is killed beside it: whoever waits for it must not read for ever.
    flood = f"yes '{made_up}' | sed 's/$/\\x00/' | tr -d '\\n' >/run/arker/0/s & kill -9 $$; sleep 80"
    flood = flood if made_up else "cat /dev/zero >/run/arker/0/s & kill -9 $$; sleep 80"
    assert (await asyncio.wait_for(attempt(engine, flood), 40)).exit_code in (0, 137)
    await engine.create("neighbour", "arkuntu")
    for n in range(20):
        assert await sh(engine, f"echo {n}", vm="neighbour") == f"{n}\n"
    await attempt(engine, "kill -9 -1", session="other")
    # What the session knows it may have spoilt for itself, but it works.
    assert await sh(engine, "echo back") == "back\n"


async def test_records_made_up_between_commands_change_nothing(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=mine; cd /tmp")
    made_up = "'\\0K\\0/etc\\0x=made_up\\0'"
    await sh(engine, f"for p in /run/arker/0/*; do timeout 20 printf {made_up} >$p; done", session="other")
    assert {session.session_id: session.cwd for session in (await engine.sessions("a"))}["0"] == "/tmp"
    await engine.stop("a")
    assert await sh(engine, "echo $x $PWD") == "mine /tmp\n"


async def test_a_call_that_is_cancelled_just_as_its_sandbox_is_up(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_nul = sandbox._until_nul

    async def until_up(fd: int) -> bytes:
        said = await until_nul(fd)
        calling.cancel()
        return said

    monkeypatch.setattr(sandbox, "_until_nul", until_up)
    calling = asyncio.create_task(run(engine, "a", "0", "sleep 1000"))
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (await engine.sessions("a"))[0].state == "idle"
    monkeypatch.undo()
    assert await sh(engine, "echo next") == "next\n"


async def claimed(engine: BubblewrapEngine) -> None:
    """Wait until a run has the default session."""
    while [session.state for session in await engine.sessions("a")] != ["running"]:
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["cancel", "end the session"])
async def test_a_run_whose_computer_is_not_ready_is_cancelled(engine: BubblewrapEngine, how: str) -> None:
    # As while a fork copies what was written.
    async with engine._computers["a"].gate.exclusive():
        starting = asyncio.create_task(engine.start_run("a", "0", "touch ran", run_id="r", kept=True))
        await claimed(engine)
        if how == "cancel":
            await (await engine.run_of("a", "r")).cancel()
        else:
            await engine.end_session("a", "0")
        handle = await asyncio.wait_for(starting, 30)
        assert (await handle.wait()).reason is Reason.CANCELLED
    assert not starting.cancelling()
    assert await sh(engine, "ls") == ""
    assert (await engine.run_of("a", "r")).outcome == await handle.wait()


async def test_a_caller_that_is_cancelled_with_its_run_is_cancelled(engine: BubblewrapEngine) -> None:
    async with engine._computers["a"].gate.exclusive():
        starting = asyncio.create_task(engine.start_run("a", "0", "touch ran", run_id="r"))
        await claimed(engine)
        handle = await engine.run_of("a", "r")
        await handle.cancel()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert (await handle.wait()).reason is Reason.CANCELLED
    assert await sh(engine, "ls") == ""


async def test_a_signal_that_comes_before_the_command_begins(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=1")
    for command in ("cat", "sleep 1000"):
        handle = await engine.start_run("a", "0", command, stdin=True)
        await handle.signal(Signals.SIGTERM)
        end = await handle.wait()
        assert (end.exit_code, end.reason) == (143, Reason.SIGNALLED)
    assert await sh(engine, "echo $x") == "1\n"


@pytest.mark.parametrize("name", ["pidfd_open", "add_reader"])
async def test_a_sandbox_that_cannot_be_watched_is_given_up(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "no room for another watch")

    def held() -> tuple[int, str]:
        return len([*Path("/proc/self/fd").iterdir()]), Path(
            f"/proc/self/task/{os.getpid()}/children"
        ).read_text()

    before = held()
    monkeypatch.setattr(os if name == "pidfd_open" else asyncio.get_running_loop(), name, fail)
    with pytest.raises(SandboxUnavailable, match="no room"):
        await attempt(engine, "true")
    assert held() == before
    assert await sh(engine, "echo next") == "next\n"


async def test_nothing_is_left_of_a_saved_run_that_is_forgotten(engine: BubblewrapEngine, box: Box) -> None:
    run = await engine.start_run("a", "0", "echo hello", run_id="one")
    await run.wait()
    while await engine.run_of("a", "one") is run:
        await asyncio.sleep(0.01)
    await engine.forget_run("a", "one")
    assert not list((box.store / "runs" / "a").iterdir())
