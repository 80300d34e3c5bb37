"""What a command can change of a shell, told from its text: never less than what it changes."""

from __future__ import annotations

import random
import signal
import subprocess

import pytest

from arker.local.engine.checkpoint import _DYNAMIC, ON_DEMAND, OPTIONS, SECTIONS, Checkpoint
from arker.local.engine.effects import Changes, changes, changes_nothing, is_deep

from .test_differential import ATOMS, STEPS

PRISTINE = Checkpoint(
    {
        "options": b"braceexpand:hashall",
        "variables": b'declare -ir EUID="0"\ndeclare -- x="1"\n',
        "functions": b"f () \n{ \n    x=2\n}\n",
        "names": b"declare -f f\n",
        "aliases": b"",
        "traps": b"",
    }
)


@pytest.mark.parametrize(
    ("command", "sections", "variables"),
    [
        ("x=5", (), (b"x",)),
        ("cd /tmp && ls | wc", (), (b"OLDPWD",)),
        ("x=5; doner a; donex=1", (), (b"donex", b"x")),
        ("read a b <<< '1 2'", (), (b"REPLY", b"a", b"b")),
        ("export A=b", (), (b"A", b"b")),
        ('ls "${x} $y" > out 2>&1', (), ()),
        ("export PATH=$PATH:/x", (), None),
        ("echo $(($x + 1))", (), None),
        ("test -v $x", (), None),
        ("g() { echo $1; }", ("functions", "names"), ()),
        ("f", (), None),
        ("shopt -s extglob", OPTIONS[::-1], ()),
        ("alias a=b; umask 077", ("aliases", "umask"), (b"a",)),
        ("printf -vx 1", (), None),
        ("read -raz <<< a", (), None),
        ("unset x", ("functions", "names"), None),
        ("trap 'x=1' USR1", ("traps",), (b"x",)),
    ],
)
def test_what_a_command_can_change(
    command: str, sections: tuple[str, ...], variables: tuple[bytes, ...] | None
) -> None:
    part = changes(command.encode(), PRISTINE, functions_are_deep=False)
    assert part is not None
    assert (sorted(part.sections), part.variables) == (sorted(sections), variables)


@pytest.mark.parametrize(
    "command",
    [
        "eval $x",
        "$x y",
        "a; $x",
        "shopt -so errexit",
        "case a in a). ./env.sh;; esac",
        "ev{al,} x=1",
        "{umask,077}",
        "time -p $x",
        "if ! $x; then :; fi",
        ">f $x y",
        'y="1 2" $x z',
        "y[0]=1 $x z",
        "*val x=1",
        "[e]val x=1",
        "# no\\\neval x=1",
        "echo a\\\\\neval x=1",
        "e\\\nval x=1",
        "jobs -x $x",
        "a=(1 2)",
        "cat <<E\nE",
        "x=1 y",
        "in $x",
        "declare $x",
        "trap $x",
        "set -e",
        ". file",
        "2>&1 $x",
        "exit",
        "${ x=1; }",
    ],
)
def test_what_can_change_everything(command: str) -> None:
    assert changes(command.encode(), PRISTINE, functions_are_deep=False) is None


def test_what_changes_nothing() -> None:
    for command in ("ls -l 'a b'", 'echo $x "${x} y" $1', "/bin/true\n"):
        assert changes_nothing(command.encode(), PRISTINE)
    for command in ("f", "cd", "x=1", "test -v $x", "echo $(f)", "echo ${x:=1}", "printf -v x 1", "a; f"):
        assert not changes_nothing(command.encode(), PRISTINE)


@pytest.mark.parametrize(
    ("word", "harmless"),
    [
        (rb"'echo bye'", True),
        (rb"''", True),
        (rb"'x=1'", False),
        (rb"'echo '\''a; x=1'\'''", False),
        (rb"$'echo\na'", False),
        (rb"'f'", False),
    ],
)
def test_traps_may_run_at_any_time(word: bytes, harmless: bool) -> None:
    known = Checkpoint({**PRISTINE.sections, "traps": b"trap -- " + word + b" SIGUSR1\n"})
    assert (changes(b"cd", known, functions_are_deep=False) is not None) is harmless
    assert changes_nothing(b"sleep 1", known) is harmless


def test_functions_that_change_variables_alone() -> None:
    assert not is_deep(b"f () \n{ \n    x=2\n}\ng () \n{ \n    f\n}\n")
    assert is_deep(b"f () \n{ \n    alias a=b\n}\n")
    assert is_deep(b'f () \n{ \n    "$@"\n}\n')


MORE = [
    "for v in 1 2; do :; done",
    "while read -r l; do n=$l; done < /etc/passwd",
    "read q r s <<< '1 2'",
    "read <<< word",
    "read -a words <<< '1 2'",
    "printf -v p %s x",
    "getopts ab: o -b c",
    ": ${q:=1} ${r=2}",
    "{ :; } {fd}>/dev/null",
    "select s in a b; do break; done <<< 1",
    "export E=1 F",
    "v=(1 2); v+=(3)",
    "((c++)); let d=3",
    "k='c=7'; : $((k))",
    "k='c=8'; : ${x:k}",
    "k='c=9'; : $[k]",
    "n=z; printf -v $n 1",
    "n=z; read $n <<< 1",
    "n=z; : ${!n:=3}",
    "declare -n ref=t; ref=4",
    "ref=5",
    "declare -i int; int='u=3'",
    "int='w=4'",
    "sleep 0 & wait -n -p who",
    "x=1 y=2 :",
    "function h { h=1; }; h",
    "h",
    "unset -f h",
    "readonly R=1",
    "a[3]=4",
    "m\\\n=5",
    "re\\\nad q2 <<< 1",
    "'read' q3 <<< 1",
    "r''ead q4 <<< 1",
    "command -v ls",
    "PS4='${ps:=1}'; set -x; :; set +x",
    "prompt='${pr:=1}'; : ${prompt@P}",
    "if true; then y=1; else z=1; fi",
    "case a in a) y=2 ;; esac",
    "echo a | read z",
    "y=$(z=1; echo $z)",
    "[[ a =~ (a) ]]",
    "declare -gx dx=1",
    "mapfile -t lines < /etc/passwd",
    "umask 077",
    "alias la='ls -a'",
    "unalias -a",
    "shopt -s nullglob",
    "cd /usr",
    "set -f",
    "shopt -s lastpipe",
    "printf -vpv 1",
    "read -ara <<< 1",
    "sleep 0 & wait -pwp $!",
    "for x; do y=3; done",
    "time -p cd /",
    "a=1 b=2 cd /tmp",
    "echo a\\\nyy=1",
    "# c\\\nyy=2",
    "odd-name() { odd=1; }; odd-name",
    "odd-name",
    ">/dev/null yy=3",
    "umask 077 && yy=4",
    "if ! yy=5; then :; fi",
    "{ yy=6; }; (yy=7)",
    "trap 'echo usr' USR1",
    "trap 'tv=1' USR2; t=2",
    "trap - USR1 USR2",
]

_COMPARED = {name: code for name, code in SECTIONS.items() if name not in ON_DEMAND}
_LOOK = (
    """look() { printf '%s\\0%s\\0' "$SHELLOPTS" "$BASHOPTS" """
    + "".join(f"; {code}; \\builtin printf '\\0'" for code in _COMPARED.values())
    + "; }\n"
)


def _ignore_no_signals() -> None:
    """Undo what `nohup` and jobs in the background do: bash shows signals that are ignored when it starts as traps."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def look_around(cases: list[tuple[str, str]]) -> list[list[Checkpoint]]:
    """What bash knows before and after the second of two scripts; less where it does not come to that."""

    def quoted(script: str) -> str:
        return "'" + script.replace("'", "'\\''") + "'"

    lines = [
        f"(exec 3>&1 </dev/null >/dev/null 2>&1; eval {quoted(first)}; look >&3; eval {quoted(second)}; look >&3)\n"
        "printf '\\1\\0'\n"
        for first, second in cases
    ]
    script = (_LOOK + "".join(lines)).encode()
    done = subprocess.run(
        ["bash", "--norc", "--noprofile"],
        input=script,
        capture_output=True,
        check=True,
        preexec_fn=_ignore_no_signals,
    )
    names = (*OPTIONS, *_COMPARED)
    found = []
    for told in done.stdout.split(b"\1\0")[:-1]:
        texts = told.split(b"\0")[:-1]
        states = [texts[at : at + len(names)] for at in range(0, len(texts), len(names))]
        found.append([Checkpoint(dict(zip(names, state, strict=True))) for state in states])
    return found


@pytest.mark.parametrize("seed", range(3))
def test_nothing_changes_that_was_not_told(seed: int) -> None:
    rng = random.Random(seed)
    steps = [step for step in (*STEPS, *ATOMS, *MORE) if "exec" not in step and "kill" not in step]
    cases = []
    for _ in range(200):
        first = "\n".join(rng.choices(steps, k=rng.randrange(3)))
        second = rng.choice(["\n", "; ", " && "]).join(rng.choices(steps, k=rng.randrange(1, 3)))
        cases.append((first, second))
    compared, missed = 0, []
    for (first, second), states in zip(cases, look_around(cases), strict=True):
        if len(states) < 2:  # it ended, by an error say
            continue
        before, after = states
        deep = is_deep(before.sections["functions"])
        part: Changes | None = Changes()
        if not changes_nothing(second.encode(), before):
            part = changes(second.encode(), before, functions_are_deep=deep)
        if part is None:
            continue
        compared += 1
        different = {name for name in before.sections if before.sections[name] != after.sections[name]}
        unseen = different - {*part.sections, "variables"}
        if part.variables is not None:
            old, new = before.variables, after.variables
            changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
            unseen |= {str(name) for name in changed - {*part.variables, *_DYNAMIC, b"SECONDS"}}
        if unseen:
            missed.append((first, second, unseen))
    assert compared > 50
    assert not missed, missed[:5]
