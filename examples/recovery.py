"""Failures, and how to continue: every step runs in a fork, and only a successful fork becomes the next state.

It prints:

    fetch    ok
    migrate  exit code 1: half of it done, then: no space    -> again
    migrate  ok
    index    ended by its timeout    -> given up, state as before
    publish  ok
    the last good state has: data index=no migrated published
    busy session: vm_busy -> another session answers
    lost file: not_found
    bad path: bad_request, nothing was sent
"""

from __future__ import annotations

import threading

from arker import Arker, ArkerError, Computer

# A command, how often it may be tried, and for how many seconds.
STEPS = {
    "fetch": ("echo data > data", 1, 60),
    # Fails once, after doing half of its work; a retry on the same files would find that half.
    "migrate": (
        "[ -e migrated ] && exit 9; touch migrated; "
        '[ "$TRY" = 2 ] || { echo "half of it done, then: no space" >&2; exit 1; }',
        3,
        60,
    ),
    "index": ("sleep 600", 1, 1),
    "publish": ("touch published", 1, 60),
}


def advance(state: Computer, name: str, command: str, tries: int, seconds: int) -> Computer:
    """The state after a step: a fork in which it succeeded, or, if none did, the state as it was."""
    for attempt in range(1, tries + 1):
        branch = state.fork()
        try:
            branch.run(f"TRY={attempt}; {command}", timeout=seconds).check()
        except ArkerError as error:
            branch.delete()
            if error.code != "command_failed":
                raise
            again = attempt < tries
            print(f"{name:8} {error.message}    -> {'again' if again else 'given up, state as before'}")
        else:
            print(f"{name:8} ok")
            state.delete()
            return branch
    return state


def codes(computer: Computer) -> None:
    """Errors have a code to decide by, and say whether a retry may help and whether the first attempt had an effect."""
    started = threading.Thread(
        target=computer.run, args=("touch here; until [ -e done ]; do sleep 0.01; done",)
    )
    started.start()
    computer.run("until [ -e here ]; do sleep 0.01; done", session_id="watcher")
    try:
        computer.run("true")
    except ArkerError as error:
        answer = computer.run("touch done; echo another session answers", session_id="second").text.strip()
        print(f"busy session: {error.code} -> {answer}")
    started.join()

    for what, path in (("lost file", "/home/user/lost"), ("bad path", "/etc/passwd")):
        try:
            computer.sync.read_file(path)
        except ArkerError as error:
            print(f"{what}: {error.code}" + ("" if error.attempts else ", nothing was sent"))


with Arker.local() as arker:
    state = arker.vm("arkuntu").fork(name="recovery")
    for name, (command, tries, seconds) in STEPS.items():
        state = advance(state, name, command, tries, seconds)
    with state:
        files = state.run("ls").text.split()
        print("the last good state has: data", "index=" + ("yes" if "index" in files else "no"), *files[1:])
        codes(state)
