"""Guarantees of a session's shell, whatever its commands do to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import time
from pathlib import Path

import pytest

from arker.local.engine import BubblewrapEngine, EngineError, Reason, run, session, small_files
from arker.local.engine.checkpoint import Checkpoint, trimmed
from arker.local.engine.journal import Journal, OutputQuota
from arker.local.engine.protocol import Stream
from arker.local.engine.shell import Shell, ShellState, _Reader

from .harness import Box, attempt, sh

# An answer is of the command


async def test_the_last_status_is_known_though_there_is_no_room_for_files(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sh(engine, "true")

    make = small_files.make

    def full(path: str, data: bytes) -> None:
        if not Path(path).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        make(path, data)

    monkeypatch.setattr(small_files, "make", full)
    for status in (3, 1, 200):
        assert (await attempt(engine, f"exit_with() {{ return {status}; }}; exit_with")).exit_code == status
        assert await sh(engine, "echo $?") == f"{status}\n"
    # What changes more than is usual is told as far as that can be done.
    assert await sh(engine, "x=1; hash -p /bin/true other; pushd /tmp >/dev/null; echo $x") == "1\n"
    monkeypatch.undo()
    assert await sh(engine, "other && echo $PWD") == "/tmp\n"


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        ("set -t; x=1", 0),
        ("set +o posix\na-b() { :; }; x=1; set -o posix", 0),
        ("enable -n eval; x=1", 0),
        ("enable -n builtin printf . trap declare; x=1; (exit 3)", 3),
        ("x=1; shopt -s expand_aliases; alias '{'=echo; alias if=false", 0),
        ("x=1; builtin() { :; }; (exit 4)", 4),
        ("x=1; readonly LINENO; (exit 5)", 5),
        ("x=1; set -r; (exit 6)", 6),
        ("enable -n eval; set -r", 137),  # nothing is left by which it could tell its status
        ("x=1; ulimit -n 3; (exit 7)", 7),
        ("x=1; readonly __arker; (exit 8)", 8),
        ("x=1; unset PWD PIPESTATUS; (exit 9)", 9),
        ("x=1; set -n", 0),
        ("x=1; exit 3 4", 1),
    ],
)
async def test_a_damaged_shell_reports_its_command_and_is_replaced(
    engine: BubblewrapEngine, damage: str, status: int
) -> None:
    began = time.monotonic()
    for _ in range(2):
        assert (await attempt(engine, damage, timeout=60)).exit_code == status
        for n in range(3):
            outcome = await attempt(engine, f"\\builtin echo ran {n}; (exit 2)", timeout=60)
            assert (outcome.stdout, outcome.exit_code) == (f"ran {n}\n".encode(), 2), outcome
        await attempt(engine, "exit", timeout=60)
        assert (await attempt(engine, "\\builtin echo again", timeout=60)).stdout == b"again\n"
    assert time.monotonic() - began < 30


async def test_a_shell_that_reports_damage_as_the_next_command_begins_is_replaced(
    engine: BubblewrapEngine,
) -> None:
    for _ in range(3):
        await (await engine.start_run("a", "0", "enable -n eval")).wait()
        shell = engine._computers["a"].sessions["0"].shell
        assert shell is not None
        if shell.state is ShellState.TELLING:
            # Not read before the next command is given: nothing else runs in this thread.
            select.select([shell._records], [], [], 10)
            time.sleep(0.02)
        assert await sh(engine, "echo again") == "again\n"


async def test_programs_cannot_write_to_files_of_the_engine(engine: BubblewrapEngine) -> None:
    listed = await attempt(engine, "ls /run/arker; ls -a /run/arker/0; find /run/arker -maxdepth 1")
    assert listed.stdout == b".\n..\ne\no\n/run/arker\n"
    forged = (
        "for n in $(seq 300); do for p in /run/arker/0/*; do "
        "timeout 0.01 bash -c 'printf \"\\0K\\0/etc\\0\\0Z\\0/x/9//etc/x/\" >'$p; done; done & sleep 0.01"
    )
    await attempt(engine, forged)
    for n in range(50):
        outcome = await attempt(engine, f"(exit {n})")
        assert (outcome.exit_code, outcome.cwd) == (n, "/home/user")


# State


@pytest.mark.parametrize("end", ["exit", "exit 3", "kill -9 $$", "exec true", "set -e; false"])
async def test_definitions_survive_the_end_of_the_shell(engine: BubblewrapEngine, end: str) -> None:
    define = r"""
shopt -s extglob
f() { : !(x); }; shopt -u extglob; umask 077
g() { cat <<A && cat <<B; }
a
A
b
B
set() { echo mine; }; declare() { echo mine; }; umask() { echo mine; }
unset -f set declare umask; set2() { :; }
unset LANG; export -n HOME; later=here; cd /usr
"""
    await attempt(engine, define)
    await attempt(engine, end)
    look = "umask; echo ${LANG-unset} $later $PWD; bash -c 'echo ${HOME-none}'; declare -F"
    assert (
        await sh(engine, look) == "0077\nunset here /usr\nnone\ndeclare -f f\ndeclare -f g\ndeclare -f set2\n"
    )


async def test_functions_named_like_builtins_do_not_disturb_the_engine(engine: BubblewrapEngine) -> None:
    names = (
        "set",
        "declare",
        "umask",
        "printf",
        "trap",
        "shopt",
        "alias",
        "cd",
        "unset",
        "eval",
        "enable",
        "hash",
    )
    await attempt(
        engine, "".join(f"{name}() {{ echo {name}; }}; " for name in names) + "x=1; builtin cd /tmp"
    )
    await attempt(engine, "\\builtin exit")
    assert await sh(engine, "echo $x $PWD; declare; builtin unset -f declare") == "1 /tmp\ndeclare\n"
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, "umask; builtin declare -F | wc -l") == f"umask\n{len(names) - 1}\n"


async def test_a_trap_on_exit_runs_and_the_state_is_kept(engine: BubblewrapEngine) -> None:
    assert (await attempt(engine, "trap 'echo bye' EXIT; x=1; exit 4")).stdout == b"bye\n"
    assert await sh(engine, "echo $x; trap -p") == "1\ntrap -- 'echo bye' EXIT\n"
    outcome = await attempt(engine, "x=2; exit 5")
    assert (outcome.stdout, outcome.exit_code) == (b"bye\n", 5)
    assert await sh(engine, "echo $x; trap - EXIT; trap -p") == "2\n"
    outcome = await attempt(engine, "x=3; exit 6")
    assert (outcome.stdout, outcome.exit_code) == (b"", 6)
    assert await sh(engine, "echo $x") == "3\n"


async def test_an_exit_keeps_the_state_if_a_function_is_named_builtin(engine: BubblewrapEngine) -> None:
    outcome = await attempt(engine, "builtin() { echo hm; }; command() { echo hm; }; w=1; exit 3")
    assert (outcome.stdout, outcome.exit_code) == (b"", 3)
    assert await sh(engine, "echo $w") == "1\n"


async def test_arguments_folder_stack_limits_and_hashes_survive(engine: BubblewrapEngine) -> None:
    await attempt(
        engine, "set -- 'a b' $'c\\nd'; pushd /tmp; pushd /usr; ulimit -S -n 100; hash -p /bin/false zz"
    )
    look = 'echo $#; echo "$2"; dirs; ulimit -n; zz; echo $?'
    expected = "2\nc\nd\n/usr /tmp ~\n100\n1\n"
    assert await sh(engine, look) == expected
    await attempt(engine, "exit")
    assert await sh(engine, look) == expected
    await engine.fork("a", "b")
    assert await sh(engine, look, vm="b") == expected
    assert await sh(engine, look) == expected


async def test_variables_that_set_options_and_options_that_are_variables(engine: BubblewrapEngine) -> None:
    await sh(engine, "f() { :; }")
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, "shopt -q extglob || echo unset") == "unset\n"
    await sh(engine, "GLOBIGNORE='*.o'; BASH_COMPAT=4.2; IGNOREEOF=3; export SHELLOPTS BASHOPTS")
    await attempt(engine, "kill -9 $$")
    look = "touch .dot; echo *; echo $BASH_COMPAT $IGNOREEOF; shopt -q compat42; echo $?; env | grep -c OPTS="
    assert await sh(engine, look) == ".dot\n4.2 3\n0\n2\n"


@pytest.mark.parametrize(
    "call",
    [
        "change",
        "eval 'pu''shd /tmp; uli''mit -S -n 100; tr''ap : DEBUG'",
        ". ./file",
        r"[ -s file ] && \. ./file",
        "'so'urce ./file",
        "so\\\nurce ./file",
    ],
)
async def test_folders_and_limits_survive_however_they_were_set(engine: BubblewrapEngine, call: str) -> None:
    change = "pushd /tmp >/dev/null; ulimit -S -n 100; trap : DEBUG"
    await sh(engine, f"echo '{change}' > file; change() {{ {change}; }}")
    if call != "change":
        await sh(engine, "unset -f change")
    await sh(engine, call)
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, "dirs; ulimit -n; trap") == "/tmp ~\n100\ntrap -- ':' DEBUG\n"


async def test_forks_have_different_random_numbers(engine: BubblewrapEngine) -> None:
    await sh(engine, "RANDOM=1; : $RANDOM")
    await engine.fork("a", "b")
    await engine.fork("a", "c")
    numbers = {await sh(engine, "echo $RANDOM $RANDOM $RANDOM", vm=vm) for vm in ("a", "b", "c")}
    assert len(numbers) == 3


async def test_removed_variables_stay_removed_in_parent_and_fork(engine: BubblewrapEngine) -> None:
    await attempt(engine, "unset LANG; export -n HOME; set -f")
    await engine.fork("a", "b")
    for vm in ("a", "b"):
        assert (
            await sh(engine, "echo ${LANG-unset}; bash -c 'echo ${HOME-none}'; set +f", vm=vm)
            == "unset\nnone\n"
        )


async def test_options_for_scripts_end_with_their_command(engine: BubblewrapEngine) -> None:
    assert (await attempt(engine, "set -euo pipefail; x=1; false | true; echo not")).exit_code == 1
    assert await sh(
        engine, "echo $x $- ${nope-}; echo $nope; false | true; echo $?; shopt -qo pipefail || echo off"
    ) == ("1 hB\n\n0\noff\n")
    assert (await attempt(engine, "set -euo pipefail; trap 'true' ERR; x=2")).exit_code == 0
    assert await sh(engine, "false; echo $x $nope; trap - ERR") == "2\n"


async def test_a_shell_whose_folder_was_removed_starts_at_home(engine: BubblewrapEngine) -> None:
    await attempt(engine, "mkdir ~/d; cd ~/d; rmdir ~/d; exit")
    outcome = await attempt(engine, "pwd")
    assert (outcome.stdout, outcome.cwd) == (b"/home/user\n", "/home/user")


# Timeouts


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_command_that_is_ended_ends_only_what_it_started(engine: BubblewrapEngine, how: str) -> None:
    await sh(engine, "x=1; cd /tmp; sleep 1001 & setsid sleep 1002 & (env -i setsid sleep 1003 &)")
    await sh(engine, "sleep 1004 &", session="other")
    command = (
        "x=2; cd /; ulimit -S -n 99; sleep 2001 & (env -i setsid sleep 2002 &) ; echo up; sleep 2003; x=3"
    )
    handle = await engine.start_run("a", "0", command, timeout=1 if how == "timeout" else None)
    async for _ in handle.events():
        break
    if how == "cancel":
        await handle.cancel()
    end = await asyncio.wait_for(handle.wait(), 60)
    assert end.reason is (Reason.TIMED_OUT if how == "timeout" else Reason.CANCELLED)
    look = "pgrep -af 'sleep [0-9]' | grep -o 'sleep [0-9]*' | sort"
    assert await sh(engine, look, session="third") == "sleep 1001\nsleep 1002\nsleep 1003\nsleep 1004\n"
    assert await sh(engine, "echo $x $PWD $(ulimit -n)") == "1 /tmp 8192\n"


@pytest.mark.slow
async def test_a_cancelled_command_runs_nothing_more(engine: BubblewrapEngine) -> None:
    for n in range(20):
        handle = await engine.start_run("a", "0", f"touch a{n}; echo up; sleep 60; touch b{n}")
        async for _ in handle.events():
            break
        began = time.monotonic()
        await handle.cancel()
        await asyncio.wait_for(handle.wait(), 60)
        assert time.monotonic() - began < 20
    assert await sh(engine, "ls | grep -c a; ls | grep b || echo none") == "20\nnone\n"


# The engine stays invisible to commands


async def test_traps_run_for_the_command_only(engine: BubblewrapEngine) -> None:
    await sh(engine, "trap 'echo err >>~/err' ERR")
    assert (await attempt(engine, "false")).exit_code == 1
    assert await sh(engine, "cat ~/err; trap - ERR") == "err\n"
    await sh(engine, "trap 'echo debug' DEBUG")
    assert await sh(engine, "echo a") == "debug\na\n"
    assert await sh(engine, "trap - DEBUG") == "debug\n"


async def test_a_new_shell_shows_nothing_of_the_engine(engine: BubblewrapEngine) -> None:
    assert await sh(engine, "trap -p; declare -F; alias; dirs; echo $# $- $0 $?; jobs") == "~\n0 hB bash 0\n"
    environment = (await sh(engine, "env | cut -d= -f1 | sort")).split()
    assert environment == ["HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "SHLVL", "TERM", "USER", "_"]
    assert await sh(engine, "echo $_; declare -p | grep /run/arker || echo none") == ":\nnone\n"
    await sh(engine, "true")
    # It ends with 1: the descriptor of the listing itself is gone by then.
    held = (await attempt(engine, "readlink /proc/$$/fd/*")).stdout.decode()
    assert sorted(set(held.split())) == [
        "(deleted)",
        "/dev/null",
        "/run/arker/0/bash",
        "/run/arker/0/e",
        "/run/arker/0/o",
    ]


async def test_state_survives_calls_of_programs_functions_and_aliases(engine: BubblewrapEngine) -> None:
    await attempt(
        engine, "cd /tmp; x=1; shopt -s expand_aliases\nalias ls='y=2; echo'; f() { x=3; }; pwd() { x=4; }"
    )
    for command in ("ls", "pwd", "f", "/bin/true", "echo 'a b' \"c\""):
        await attempt(engine, command)
        await attempt(engine, "kill -9 $$")
    assert await sh(engine, "echo $x $y $PWD") == "3 2 /tmp\n"


@pytest.mark.slow
async def test_changed_variables_are_saved_before_the_next_command(engine: BubblewrapEngine) -> None:
    for number in range(20):
        await attempt(engine, f"x{number}={number}")
        await attempt(engine, "kill -9 $$")
        assert await sh(engine, f"echo $x{number}") == f"{number}\n"
    await attempt(engine, "y=1; for i in 1 2; do :; done | cat; cd /tmp; y=$((y / 0)); y=2")
    await attempt(engine, "exec true")
    assert await sh(engine, "echo $y $i; pwd") == "1\n/tmp\n"


@pytest.mark.parametrize(
    "command",
    [
        "word=alias; $word a=b",
        "e\\val 'alias a=b'",
        'x=1 "$word" a=b',
        "BASH_ALIASES[a]=b",
        "deep a=b",
        "if :; then $word a=b; fi",
    ],
)
async def test_changed_aliases_are_saved_however_they_are_written(
    engine: BubblewrapEngine, command: str
) -> None:
    await sh(engine, 'word=alias; deep() { "$word" "$@"; }')
    await sh(engine, command)
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, "\\builtin alias") == "alias a='b'\n"


async def test_lines_are_counted_from_the_first_of_each_command(engine: BubblewrapEngine) -> None:
    for command in ("x=1", "/bin/true", "f() { :; }"):
        await attempt(engine, command)
        for missing in ("missing", "echo | missing", ": $x; missing"):
            done = await attempt(engine, missing)
            assert done.stderr == b"bash: line 1: missing: command not found\n"
    await attempt(engine, "readonly LINENO")
    for command in ("x=2; (exit 3)", "(exit 3) | (exit 3)"):
        assert (await attempt(engine, command)).exit_code == 3


async def test_the_status_of_the_last_command(engine: BubblewrapEngine) -> None:
    for status in (0, 1, 2, 42, 127, 255):
        await attempt(engine, f"(exit {status})")
        assert (await attempt(engine, "echo $?")).stdout == f"{status}\n".encode()
    await attempt(engine, "exit 9")
    assert (await attempt(engine, "echo $?")).stdout == b"9\n"


async def test_a_sandbox_inherits_no_descriptor_and_standard_ones_may_be_closed(box: Box) -> None:
    for fd in (0, 1, 2):
        os.close(fd)
    secret = os.open("/etc/hostname", os.O_RDONLY)
    os.dup2(secret, 77, inheritable=True)
    async with box.engine() as engine:
        assert all(Path(f"/proc/self/fd/{fd}").exists() for fd in (0, 1, 2))
        await engine.create("a", "arkuntu")
        look = "x=1; for f in /proc/[0-9]*/fd/*; do readlink $f; done | grep hostname || echo none"
        assert await sh(engine, look) == "none\n"
        assert (await attempt(engine, "echo $x; cat; exit 3")).stdout == b"1\n"
        assert await sh(engine, "echo $x") == "1\n"


# Ends


async def test_signals_are_told_from_exit_codes(engine: BubblewrapEngine) -> None:
    assert (await attempt(engine, "kill -9 $$")).reason is Reason.SIGNALLED
    assert (await attempt(engine, "exit 137")).reason is Reason.EXITED
    assert (await attempt(engine, "(exit 137)")).reason is Reason.EXITED


@pytest.mark.slow
async def test_commands_cancelled_at_any_moment_in_many_sessions_end_correctly(
    engine: BubblewrapEngine,
) -> None:
    async def work(session: str) -> None:
        for n in range(40):
            task = asyncio.create_task(
                run(engine, "a", session, f"x={n}; echo {n}; sleep 0.00{n % 5}; (exit {n})")
            )
            if n % 3 == 0:
                await asyncio.sleep(n % 7 * 0.002)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            else:
                outcome = await task
                assert (outcome.stdout, outcome.exit_code) == (f"{n}\n".encode(), n)

    await asyncio.gather(*(work(f"s{i}") for i in range(4)))


def test_only_a_definition_that_does_not_fit_is_left_out() -> None:
    sections = {
        "variables": b'declare -- a="1"\ndeclare -- big="' + b"x" * 5000 + b'"\ndeclare -a l=([0]="z")\n',
        "functions": b"f () \n{ \n    :\n}\n",
        "names": b"declare -f f\n",
        "arguments": b"'p' ",
    }
    kept, left_out = trimmed(Checkpoint(sections), 1000)
    assert left_out == ["variable big (5017 bytes)"]
    assert set(kept.variables) == {b"a", b"l"}
    assert kept.functions() == {b"f": b"f () \n{ \n    :\n}\n"}
    assert Checkpoint.load(kept.dump()) == kept
    assert Checkpoint.load(b"x=1\n") is None


@pytest.mark.parametrize("who", ["$$", "$(pgrep -o bash)"])
async def test_programs_cannot_write_into_the_script_of_a_shell(engine: BubblewrapEngine, who: str) -> None:
    forge = f"printf 'echo forged; : ' >/proc/{who}/fd/255"
    assert (await attempt(engine, f"chmod 600 /proc/{who}/fd/255; {forge}")).exit_code != 0
    outcome = await attempt(engine, "touch ran; echo real; exit 5")
    assert (outcome.exit_code, outcome.stdout) == (5, b"real\n")
    assert await sh(engine, "ls ran") == "ran\n"
    assert (await attempt(engine, f"cat /proc/{who}/fd/255")).exit_code != 0


async def test_a_script_that_grows_loses_no_line(engine: BubblewrapEngine) -> None:
    for n in range(40):
        # Twice as much as is allocated at once, by commands after which the shell reads what it had read again.
        outcome = await attempt(engine, f"# {'x' * 1000}\n(exit {n}); x=$?; echo {n}; (exit $x)")
        assert (outcome.stdout, outcome.exit_code) == (f"{n}\n".encode(), n)


@pytest.mark.parametrize("end", ["echo last \\\n", "[[ a", "case x in", "for x in", "f(", "echo $(", "if"])
async def test_an_incomplete_command_does_not_affect_later_ones(engine: BubblewrapEngine, end: str) -> None:
    for n in range(3):
        await attempt(engine, f"x={n}\ntrue\n{end}")
        outcome = await attempt(engine, f"[[ a == a ]] && case $x in {n}) echo $x; (exit 3);; esac")
        assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, f"{n}\n".encode(), b"")


@pytest.mark.slow
async def test_whether_a_command_ran_is_known_if_its_shell_dies(engine: BubblewrapEngine) -> None:
    killed = 0
    for n in range(30):
        pid = ""
        while not pid:  # the shell of the last round may still be dying
            with contextlib.suppress(EngineError):
                pid = (await attempt(engine, "echo $$")).stdout.decode().strip()
        killing = asyncio.create_task(attempt(engine, f"kill -9 {pid}", session="killer"))
        await asyncio.sleep(n % 6 * 0.0003)
        told: int | str
        try:
            told = (await attempt(engine, f"echo ran > f{n}; (exit 3)", timeout=20)).exit_code
        except EngineError as error:
            told = str(error)
        await killing
        ran = (await attempt(engine, f"ls f{n}", session="killer")).exit_code == 0
        if (told, ran) == (137, False):  # it was killed in its first microseconds
            killed += 1
        else:
            why = "the shell of the session ended before the command could start"
            assert (told, ran) in [(3, True), (137, True), (why, False)]
    assert killed < 15


async def test_a_shell_with_unread_reports_is_not_replaced(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Shell._read_records

    def read_slowly(shell: Shell) -> bool:
        told = read(shell)
        if shell.state is ShellState.TELLING:
            time.sleep(0.05)
        return told

    monkeypatch.setattr(Shell, "_read_records", read_slowly)
    # More than a pipe holds: it is read in two turns of the event loop.
    who = await sh(engine, "x=$(printf %0100000d 0); echo $$")
    for _ in range(3):
        await engine._computers["a"].settle()
        assert await sh(engine, "y=1; echo $$") == who


def test_output_that_arrives_while_its_pipe_is_checked_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> list[bytes]:
        reader = _Reader(tmp_path / "o", Stream.STDOUT)
        reader.journal = Journal(str(tmp_path / "journal"), 100, OutputQuota(100))

        class Poll:
            def register(self, fd: int, events: int) -> None:
                pass

            def poll(self, timeout: int) -> list[tuple[int, int]]:
                (tmp_path / "o").write_bytes(b"DEF")
                return []

        with monkeypatch.context() as patch:
            patch.setattr(select, "poll", Poll)
            assert reader.opened()
        reader.drain()
        reader.close()
        return [piece.data for piece in reader.journal._pieces]

    assert b"".join(asyncio.run(look())) == b"DEF"


async def test_a_command_cancelled_at_its_start_does_not_lose_the_state_of_the_previous_one(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_TOLD_SECONDS", 20.0)  # the machine may be busy
    for n in range(30):
        await sh(engine, f"x={n}")
        call = asyncio.create_task(run(engine, "a", "0", "y=1"))
        await asyncio.sleep(n * 0.0001)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await sh(engine, "echo $x") == f"{n}\n"


async def test_long_commands_leave_nothing_of_one_in_the_next(engine: BubblewrapEngine) -> None:
    for length in (20000, 5000, 9000):
        outcome = await attempt(engine, f"# {'x' * length}\necho {length}; (exit 3)")
        assert (outcome.stdout, outcome.exit_code) == (f"{length}\n".encode(), 3)


async def test_traps_that_are_set_plainly_outlive_their_shell(engine: BubblewrapEngine) -> None:
    for command, expected in (
        ("trap 'echo usr' USR1; x=1", "trap -- 'echo usr' SIGUSR1\n"),
        ("x=2; cd /tmp", "trap -- 'echo usr' SIGUSR1\n"),
        ("trap 'echo bye' EXIT", "trap -- 'echo bye' EXIT\ntrap -- 'echo usr' SIGUSR1\n"),
        ("trap - USR1", "trap -- 'echo bye' EXIT\n"),
        ("trap - EXIT; x=3; bootstrap() { :; }", ""),
        ("bootstrap() { x=4; }", ""),
        ("untrap() { trap - EXIT; }", ""),
    ):
        await attempt(engine, command)
        await attempt(engine, "kill -9 $$")
        assert await sh(engine, "trap -p") == expected
    assert await sh(engine, "declare -F; echo $x $PWD") == "declare -f bootstrap\ndeclare -f untrap\n3 /tmp\n"
    assert (await attempt(engine, "y=4; exit 5")).exit_code == 5
    assert await sh(engine, "echo $y") == "4\n"
