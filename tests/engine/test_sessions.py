"""State that a session keeps, and when."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from arker.local.engine import BubblewrapEngine, SessionBusy, computer
from arker.local.engine.store import SessionRow

from .harness import Box, attempt, sh, until_there_are

# Everything a shell can know, set ...
SET = r"""
cd /usr/share
plain='a "b" $c `d` \e
second line'
export exported=é
declare -i number=7; declare -a list=(x 'y z' [5]=w); declare -A map=([k]='v 1' ["a]b"]=2); declare -l lower=ABC
readonly fixed=1; declare -n alias_of=plain; empty=; declare unset_but_declared
f() { local inner=1; echo "f:$1:$plain"; cat <<X
doc $1
X
}
g() { [[ $1 == @(a|b)* ]] && echo glob; }
export -f g
shopt -s extglob nullglob expand_aliases; shopt -u sourcepath
h() { case $1 in !(x)) echo notx;; esac; }
alias ll='echo "it'"'"'s an alias"'
set -o pipefail; set +o hashall; umask 027
trap 'echo usr1' USR1
"""
# ... and told.
TELL = r"""
pwd; echo "$plain" "$exported" $((number+1)) "${list[@]}" "${!list[@]}" "${map[k]}" "${map["a]b"]}" "$lower" "$fixed"
alias_of=changed; echo "$plain"; echo "[$empty] ${empty+set}"
f one; g abc; bash -c 'g abc; echo $exported'; h y
shopt -p extglob nullglob expand_aliases sourcepath; shopt -qo pipefail; echo $?; set +o | grep hashall; umask
ll
kill -USR1 $$
unset fixed 2>/dev/null; echo $fixed
"""


async def told(engine: BubblewrapEngine, vm: str = "a") -> str:
    outcome = await attempt(engine, TELL, vm)
    return outcome.stdout.decode()


@pytest.mark.parametrize(
    "interruption",
    ["none", "exit", "exec", "kill", "stop", "fork", "restart", "timeout", "set -e", "kill all"],
)
async def test_all_state_survives(box: Box, interruption: str) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await engine.create("b", "arkuntu")
        await attempt(engine, SET, "b")
        expected = await told(engine, "b")
        assert "f:one:" in expected
        assert "\nglob\nglob é\n" in expected or "\nglob\nglob\n" in expected
        await attempt(engine, SET)
        vm = "a"
        if interruption == "exit":
            await attempt(engine, "exit 5")
        elif interruption == "exec":
            await attempt(engine, "exec true")
        elif interruption == "kill":
            await attempt(engine, "kill -9 $$")
        elif interruption == "kill all":
            await attempt(engine, "kill -9 -1; kill -9 $$")
        elif interruption == "set -e":
            await attempt(engine, "set -e; false")
            await attempt(engine, "set +e")
        elif interruption == "timeout":
            await attempt(engine, "while :; do :; done", timeout=0.1)
        elif interruption == "stop":
            await engine.stop("a")
            assert "a" not in await engine.running()
        elif interruption == "fork":
            await engine.fork("a", "c")
            assert await told(engine, "c") == expected
            await engine.fork("c", "d")
            vm = "d"
            await attempt(engine, SET, "d")
        elif interruption != "restart":
            assert await told(engine) == expected
            return
        if interruption != "restart":
            assert await told(engine, vm) == expected
            return
    async with box.engine() as engine:
        assert [s.cwd for s in (await engine.sessions("a"))] == ["/usr/share"]
        assert await told(engine) == expected


async def test_a_folder_that_is_gone_is_no_trouble(engine: BubblewrapEngine) -> None:
    await sh(engine, "mkdir -p ~/d/e; cd ~/d/e; rm -r ~/d; x=1")
    await attempt(engine, "exit")
    assert await sh(engine, "pwd; echo $x") == "/home/user\n1\n"


@pytest.mark.parametrize("name", ["it's", "new\nline", "-dash", "back\\slash", "spa ce", "$HOME", "é", "'"])
async def test_folders_with_any_name(engine: BubblewrapEngine, name: str) -> None:
    await engine.write_file("a", f"/home/user/{name}/file", b"x")
    await sh(engine, "cd /home/user/*/")
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, 'printf %s "$PWD"') == f"/home/user/{name}"
    assert (await engine.sessions("a"))[0].cwd == f"/home/user/{name}"


async def test_folders_that_no_call_can_enter_are_not_kept(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=1; cd /usr")
    await attempt(engine, "PWD=/$(head -c 100000 /dev/zero | tr '\\0' a); exit 3")
    assert await sh(engine, "echo $x; cd .; builtin pwd -P") == "1\n/usr\n"
    deep = "for i in {1..60}; do mkdir $(printf 'x%.0s' {1..100}); cd x*; done"
    await attempt(engine, f"mkdir ~/deep; cd ~/deep; {deep}; exit")
    assert await sh(engine, "echo $x") == "1\n"


async def test_the_states_of_all_sessions_have_a_bound(engine: BubblewrapEngine) -> None:
    computer._CHECKPOINTS = 250_000
    large = "x=$(head -c 100000 /dev/zero | tr '\\0' x)"
    for index in range(5):
        await sh(engine, large, session=f"s{index}")
        await engine._computers["a"].settle()
    await engine.stop("a")
    kept = [await attempt(engine, "echo ${#x}", session=f"s{index}") for index in range(5)]
    assert [outcome.stdout for outcome in kept] == [b"100000\n"] * 2 + [b"0\n"] * 3
    assert [len(outcome.notes) for outcome in kept] == [0, 0, 1, 1, 1]
    # What one gives up, another may have.
    await sh(engine, "unset x", session="s0")
    await engine._computers["a"].settle()
    await sh(engine, large, session="s4")
    await engine.stop("a")
    assert await sh(engine, "echo ${#x}", session="s4") == "100000\n"


@pytest.mark.slow
async def test_a_huge_state_is_not_kept_and_harms_nothing(engine: BubblewrapEngine) -> None:
    await sh(engine, "small=1; cd /tmp")
    await sh(engine, "big=$(head -c 5000000 /dev/zero | tr '\\0' x); cd /usr")
    assert await sh(engine, "echo ${#big}") == "5000000\n"
    shell = engine._computers["a"].sessions["0"].shell
    assert shell is not None
    await shell.settled.wait()
    await attempt(engine, "kill -9 $$")
    outcome = await attempt(engine, "echo $small ${#big}; pwd")
    assert outcome.stdout == b"1 0\n/usr\n"
    note = "too large to be kept in the session: variable big (5000017 bytes)"
    assert (outcome.stderr, outcome.notes) == (f"arker: {note}\n".encode(), (note,))


@pytest.mark.slow
async def test_state_that_changes_while_it_is_saved_is_saved_again(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        store = engine._store
        assert store is not None
        save, saves, going = store.save_sessions, 0, threading.Event()

        def save_slowly(sessions: list[tuple[str, SessionRow]]) -> None:
            nonlocal saves
            saves += 1
            if saves == 1:
                going.wait(30)
            save(sessions)

        store.save_sessions = save_slowly  # type: ignore[method-assign, assignment]
        await sh(engine, "x=1")
        while not saves:
            await asyncio.sleep(0.01)
        await sh(engine, "x=2")
        await engine._computers["a"].settle()
        going.set()
        while saves < 2 or engine._unsaved():
            await asyncio.sleep(0.01)
        engine._unsaved = list  # type: ignore[method-assign]
    async with box.engine() as engine:
        assert await sh(engine, "echo $x") == "2\n"


@pytest.mark.slow
async def test_shells_that_keep_their_state_to_themselves_hold_nobody_up(engine: BubblewrapEngine) -> None:
    silent = "set -T; trap '((BASH_SUBSHELL)) && sleep 100' DEBUG"
    for index in range(40):
        await attempt(engine, silent, session=f"s{index}")
    began = time.monotonic()
    forked = asyncio.create_task(engine.fork("a", "b"))
    await asyncio.sleep(0.1)
    # A session that is new while they are waited for.
    told = asyncio.create_task(sh(engine, "echo fine", session="new"))
    await forked
    assert await told == "fine\n"
    assert await sh(engine, "echo fine", vm="b") == "fine\n"
    assert time.monotonic() - began < 20


async def test_state_is_on_disk_soon_even_if_the_process_is_killed(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await sh(engine, "cd /usr; export kept=1")
        await engine._computers["a"].settle()
        while engine._unsaved():
            await asyncio.sleep(0.01)
        # What a killed process does not get to do:
        engine._unsaved = list  # type: ignore[method-assign]
    async with box.engine() as engine:
        assert await sh(engine, "pwd; echo $kept") == "/usr\n1\n"


@pytest.mark.engine(shells=4)
async def test_idle_shells_make_room_and_come_back(engine: BubblewrapEngine) -> None:
    for index in range(12):
        await sh(engine, f"x={index}; cd /usr", session=f"s{index}")
    shells = await sh(engine, "pgrep -cx bash", session="s11")
    assert int(shells) <= 2 * 4 + 1
    for index in range(12):
        assert await sh(engine, "echo $x $PWD", session=f"s{index}") == f"{index} /usr\n"


@pytest.mark.slow
@pytest.mark.engine(shells=2)
async def test_busy_shells_do_not_make_room(engine: BubblewrapEngine) -> None:
    told = await asyncio.gather(*(sh(engine, f"sleep 0.5; echo {i}", session=f"s{i}") for i in range(6)))
    assert told == [f"{i}\n" for i in range(6)]


@pytest.mark.slow
@pytest.mark.engine(idle=0.5)
async def test_an_idle_sandbox_stops_and_comes_back(engine: BubblewrapEngine) -> None:
    await sh(engine, "cd /tmp; x=1; echo text > /tmp/file; echo text > ~/file")
    for _ in range(1000):
        await asyncio.sleep(0.05)
        if "a" not in await engine.running():
            break
    assert "a" not in await engine.running()
    assert await sh(engine, "echo $x; pwd; cat /tmp/file ~/file") == "1\n/tmp\ntext\ntext\n"


@pytest.mark.slow
@pytest.mark.engine(idle=0.5)
async def test_a_sandbox_with_something_running_does_not_idle(engine: BubblewrapEngine) -> None:
    await sh(engine, "sleep 60 &")
    await asyncio.sleep(2)
    assert await sh(engine, "pgrep -cx sleep") == "1\n"


async def test_a_checkpoint_that_arrives_as_the_next_command_ends_counts(engine: BubblewrapEngine) -> None:
    await sh(engine, "for n in {1..2000}; do declare v$n=$n; done")
    await sh(engine, "x=5")
    run = await engine.start_run("a", "0", "echo on")
    time.sleep(0.1)  # the report and the end are read at once
    await run.wait()
    await engine.fork("a", "b")
    assert await sh(engine, "echo $x", vm="b") == "5\n"


@pytest.mark.parametrize(
    ("commands", "code", "out", "after"),
    [
        # Scripts as models write them.
        (['set -euo pipefail; trap "echo failed" ERR; x=5; false'], 1, "failed\n", "5"),
        (["set -euo pipefail; source /dev/null; x=5; false"], 1, "", "5"),
        (['set -e; eval "x=5"; false'], 1, "", "5"),
        (['set -u; trap "echo int" INT; x=5; echo $nope'], 1, "", "5"),
        (['set -e; trap "echo bye; echo for good >&2" EXIT; false'], 1, "bye\n", ""),
        (['set -e; trap "echo bye" EXIT; declare -A m; x=5; exit 2'], 2, "bye\n", "5"),
        (["set -Eeuo pipefail; trap 'echo $LINENO; exit 9' ERR\nf() {\nfalse\n}\nx=5\nf"], 9, "3\n", "5"),
        # Traps that a function does not see.
        (["trap 'echo err' ERR", "x=5; exit 2"], 2, "", "5\nerr"),
        (["trap 'echo err' ERR", "x=5; f() { exit 2; }; f"], 2, "", "5\nerr"),
        (["trap 'echo err' ERR", "x=5; trap - ERR; exit 2"], 2, "", "5"),
        (["trap 'echo $BASH_COMMAND' DEBUG", "exit 2"], 2, "exit 2\n", "echo $x\n\nfalse"),
        (["set -T; trap 'echo $BASH_COMMAND' DEBUG; (exit 3); exit 2"], 2, "exit 3\nexit 2\n", ""),
        # The trap is one of the session's.
        (["trap 'echo bye' EXIT", "set -e; x=5; false"], 1, "bye\n", "5"),
    ],
)
async def test_how_scripts_with_traps_end(
    engine: BubblewrapEngine, commands: list[str], code: int, out: str, after: str
) -> None:
    *before, last = commands
    for command in before:
        await attempt(engine, command)
    outcome = await attempt(engine, last)
    assert (outcome.exit_code, outcome.stdout.decode()) == (code, out)
    assert (await attempt(engine, "echo $x; false")).stdout.decode() == f"{after}\n"


@pytest.mark.parametrize("command", ["x=1", "x=1; umask 022"])
async def test_a_new_shell_adds_nothing(engine: BubblewrapEngine, command: str) -> None:
    tell = "echo $x $#; shopt -q extglob || echo off"
    await sh(engine, command)
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, tell) == "1 0\noff\n"
    await sh(engine, "unset IFS HOSTNAME OPTIND PS4 TERM")
    await attempt(engine, "kill -9 $$")
    assert await sh(engine, "echo ${IFS-none} ${HOSTNAME-none} ${OPTIND-none} ${PS4-none} ${TERM-none}") == (
        "none none none none none\n"
    )


async def test_a_session_that_is_being_ended_takes_no_command(engine: BubblewrapEngine) -> None:
    await sh(engine, "x=1; (trap '' TERM; : > up; while :; do sleep 1; done) >/dev/null 2>&1 &")
    await sh(engine, "until [ -e up ]; do sleep 0.01; done", session="other")
    ending = asyncio.create_task(engine.end_session("a", "0"))
    while engine._computers["a"].sessions["0"].shell is not None:
        await asyncio.sleep(0)
    with pytest.raises(SessionBusy, match="session 0 is being ended"):
        await sh(engine, "echo early")
    await ending
    assert await sh(engine, "echo $x") == "\n"
    await until_there_are(engine, 0, "sleep")


async def test_a_copy_of_a_session_outlives_the_engine(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await sh(engine, "x=5; cd /tmp")
        await engine.copy_session("a", "0", "copy")
    async with box.engine() as engine:
        assert await sh(engine, "echo $x $PWD", session="copy") == "5 /tmp\n"
