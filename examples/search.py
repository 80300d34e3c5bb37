"""Search with forks: every state is a computer, every move runs in a fork of it, and the best few continue.

The task is a maze; the walker is a shell in the computer, and its state is whatever it has done there.
Nothing is undone and nothing is run twice: a dead end is deleted, and a good state is forked as often as it
takes.

It prints:

    step 1: 2 states, best 7 away
    ...
    found in 8 steps: right right right down down down right down
"""

from __future__ import annotations

from arker import Arker, Computer

MAZE = """\
.....
.##.#
....#
.##..
.#...
"""

# The program under search. It keeps its state in files and shell variables, and refuses what is impossible.
WALKER = r"""
x=0; y=0
go() {
    local nx=$x ny=$y row
    case $1 in left) nx=$((x-1));; right) nx=$((x+1));; up) ny=$((y-1));; down) ny=$((y+1));; esac
    [ $nx -ge 0 ] && [ $ny -ge 0 ] && row=$(sed -n "$((ny+1))p" maze) && [ "${row:nx:1}" = . ] || return 1
    grep -qx "$nx $ny" seen && return 1
    x=$nx y=$ny
    echo "$x $y" >> seen; echo "$1" >> path
    echo $((4 - x + 4 - y))
}
echo "0 0" > seen
"""

MOVES = ["left", "right", "up", "down"]
BEAM = 3


def attempt(job: tuple[Computer, str]) -> tuple[int, Computer] | None:
    """Make a move in a fork; returns its distance from the exit, or None for an impossible move."""
    state, move = job
    child = state.fork()
    result = child.run(f"go {move}")
    if not result.ok:
        child.delete()
        return None
    return int(result.text), child


def search(arker: Arker, start: Computer) -> None:
    """Continue from the best states until one is at the exit."""
    states = [start]
    for step in range(1, 20):
        outcomes = arker.map(attempt, [(state, move) for state in states for move in MOVES], concurrency=8)
        tried = (outcome.get() for outcome in outcomes)
        found = sorted((move for move in tried if move is not None), key=lambda scored: scored[0])
        for state in [*states, *(state for _, state in found[BEAM:])]:
            state.delete()
        states = [state for _, state in found[:BEAM]]
        print(f"step {step}: {len(states)} states, best {found[0][0]} away")
        if found[0][0] == 0:
            path = states[0].run("cat path").text.split()
            print(f"found in {step} steps:", *path)
            break
    for state in states:
        state.delete()


with Arker.local() as arker:
    start = arker.vm("arkuntu").fork()
    start.sync.write_file("/home/user/maze", MAZE)
    start.run(WALKER).check()
    search(arker, start)
