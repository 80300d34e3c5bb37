"""Commands in a session behave as in bash: the same output, the same exit code."""

from __future__ import annotations

import json
import random
import re

import pytest

from arker.local.engine import BubblewrapEngine, EngineError
from tests.conftest import EXAMPLES

from .harness import attempt, content

#: Scripts are told apart by nothing that an earlier one in the session may have set.
ATOMS = [
    "echo a",
    "printf b",
    "echo err >&2",
    "true",
    "false",
    ":",
    "! true",
    "! false",
    "(exit 3)",
    "(exit 4) || echo or",
    "x=1; echo $x",
    "x=$(echo sub; exit 5); echo $x",
    "y=$(false) && echo no",
    "echo $((1 + 2))",
    "echo $((1 / 0))",
    "for i in 1 2; do echo $i; done",
    "while :; do break; done",
    "case a in a) echo m;; esac",
    "if false; then :; fi",
    "if false; then :; else (exit 6); fi",
    "f() { echo f$1; return 7; }; f x",
    "g() { exit 8; }; (g)",
    "nope",
    "cat <<E\nhere $((2))\nE",
    "cat <<'E'\n$raw `x`\nE",
    "cat <<<word",
    "echo a | tr a b",
    "false | true",
    "true | false",
    "echo 'q\"'\"'\"",
    'echo "two\nlines"',
    "echo a\\\nb",
    "# comment",
    "echo x # comment",
    "\n\n",
    "{ echo grouped; }",
    "(echo sub; exit 2)",
    "[[ a == b ]]",
    "[ 1 -eq 1 ]",
    "((0))",
    "((1))",
    "let 0",
    "a=(1 2 3); echo ${#a[@]}",
    "echo ${undefined_:-default}",
    "local z=1",
    "shift 5",
    "cd /nonexistent",
    "unset nosuch",
    "wait",
    "eval 'echo e; (exit 9)'",
    "eval 'if'",
    "command -v nosuchthing",
    "type nosuchthing",
    "test",
    "echo {1..3}",
    "echo \"$(printf 'a\\n\\n')\"",
    'read -r v; echo "[$v]"',
    "exec 3>&1; echo three >&3; exec 3>&-",
    "echo * | wc -l",
    "trap 'echo usr' USR1; kill -USR1 $BASHPID; trap - USR1",
    "set -- a b; echo $#; set --",
    "printf 'a\\0b'",
    "bash -c 'exit 11'",
    "bash -c 'kill -9 $$'",
    "echo $BASH_SUBSHELL",
    "time :",
    "x=q; echo ${x@Q}",
    "declare -i n=3+4; echo $n",
]
#: Those after which nothing more runs, or that end a script in an odd way.
ENDS = [
    "exit",
    "exit 0",
    "exit 3",
    "exit 300",
    "exit -1",
    "return 5",
    "return",
    "break",
    "continue",
    "exec true",
    "exec sh -c 'exit 12'",
    "exec /nonexistent",
    "set -e; false; echo not",
    "set -e; false || true; echo yes",
    "set -eo pipefail; false | true; echo not",
    "set -o pipefail; false | true",
    "set -e; (exit 5) && echo no; echo after",
    "set -e; f() { false; echo in; }; f; echo not",
    "set -e\nx=$(false)\necho not",
    "kill -TERM $$",
    "kill -9 $$",
    "if then",
    "echo 'open",
    'echo "open',
    "(",
    "}",
    "fi",
    "echo a\\",
    "echo a \\",
    "(exit 4) \\",
    "cat <<E\nno end",
    "$(",
    "&& echo",
    "echo a &&",
    "echo a |",
    ";;",
    "echo )",
    "false \\\n",
    "echo a\\\n",
    "# ends in a comment",
    "false # comment",
    "cat <<E\nbody\nE\n",
    "echo last\n\n",
    "!",
    "[[ a",
    "f(",
    "case x in",
    "for i in a; do",
    "while :; do",
    "echo a; }",
    "exit 3 4",
    "exit abc",
    "false\n# x",
    "(exit 7)\n",
]

INCOMPLETE = ("[[ a", "echo 'open", 'echo "open')

REFERENCE = r"""
import json, subprocess, sys
told = []
for script in json.load(open("scripts.json")):
    done = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True)
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    told.append([code, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")])
json.dump(told, open("told.json", "w"))
"""


#: What differs in messages: `bash -c` calls itself otherwise, and so does `eval`; how long something took; and who was
#: killed, which `bash -c` does not tell of its last command.
_DIFFERENT = re.compile(
    r"^bash: (?:(?:-c|eval): )?line \d+: +\d+ Killed .*\n|(?<=^bash: )(?:-c|eval): "
    # In a script that looks at traps, `exit` is a function.
    r"|(?<=^bash: )line \d+: (?=exit: )"
    r"|(?<=\t)\d+m[\d.]+s$",
    re.MULTILINE,
)


def comparable(message: str) -> str:
    return _DIFFERENT.sub("", message)


def generate(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    scripts = []
    for _ in range(count):
        parts = rng.choices(ATOMS, k=rng.randrange(0, 4))
        if rng.random() < 0.5:
            parts.append(rng.choice(ENDS))
        # In a session, `$?` is that of the last command.
        script = "\n".join(["true", *parts])
        if rng.random() < 0.2:
            # Longer than what is given to the shell by its pipe.
            script = "# " + "x" * rng.choice([480, 510, 600, 5000]) + "\n" + script
        if rng.random() < 0.2:
            script += "\n"
        scripts.append(script)
    return scripts


@pytest.mark.parametrize("seed", range(EXAMPLES // 4))
async def test_500_scripts_end_as_in_bash(engine: BubblewrapEngine, seed: int) -> None:
    scripts = generate(500, seed)
    await engine.write_file("a", "/home/user/scripts.json", json.dumps(scripts).encode())
    await engine.write_file("a", "/home/user/reference.py", REFERENCE.encode())
    assert (await attempt(engine, "python3 reference.py", session="reference", timeout=90)).exit_code == 0
    told = json.loads(await content(engine, "/home/user/told.json"))
    different = []
    for script, (code, printed, said) in zip(scripts, told, strict=True):
        try:
            outcome = await attempt(engine, script, timeout=20)
        except EngineError as error:
            different.append((script[-200:], error, [code, printed]))
            continue
        found = [outcome.exit_code, outcome.stdout.decode("latin-1")]
        if script.rstrip().endswith(INCOMPLETE) and code and outcome.exit_code:
            # `bash -c` ends with the code of the command before, where it is not 0.
            found[0] = code
        complained = comparable(outcome.stderr.decode("latin-1"))
        if [*found, complained] != [code, printed, comparable(said)]:
            different.append((script[-200:], [*found, complained], [code, printed, comparable(said)]))
    assert not different, f"{len(different)}: " + "\n".join(map(repr, different[:8]))


STEPS = [
    "x=$RANDOM; x=5",
    "x=$((x + 1)); echo $x",
    "echo ${x-unset}",
    "unset x",
    "export e=exported; bash -c 'echo $e'",
    "export -n e; bash -c 'echo ${e-none}'",
    "cd /tmp; pwd",
    "cd ..; pwd",
    "cd - >/dev/null; pwd",
    "f() { echo f:$x:$1; }",
    "f one",
    "unset -f f",
    "declare -A m=([a]='1 2'); echo ${m[a]}",
    "echo ${m[a]-none}",
    "m[b]=3; echo ${!m[@]}",
    "l=(1 '2 3'); echo ${#l[@]}",
    "echo ${l[1]-none}",
    "shopt -s extglob nullglob",
    "shopt -u nullglob; shopt -p nullglob",
    "[[ abc == a@(b|c)* ]] && echo glob",
    "shopt -s expand_aliases; alias hi='echo hello'",
    "hi there",
    "unalias hi",
    "set -f; echo *nothing*",
    "set +f",
    "set -- p 'q r'; echo $#",
    "echo $1 $2",
    "shift; echo $1",
    "set --",
    "umask 027; umask",
    "umask 022",
    "trap 'echo usr' USR1; kill -USR1 $$",
    "trap -p",
    "trap - USR1; trap -p",
    "(exit 3)",
    "echo $?",
    "false",
    "true",
    "pushd /usr >/dev/null; dirs",
    "popd >/dev/null; dirs",
    "readonly r_$RANDOM=1",
    "IFS=:; v=a:b; echo $v; unset IFS",
    "hash -p /bin/false cat; hash -t cat",
    "hash -r",
    "printf -v p %03d 7; echo $p",
    "echo $p",
    "declare -i n=1; n+=2; echo $n",
    "n+=1; echo $n",
    "declare -l low=ABC; echo $low",
    "low=DEF; echo $low",
    "g() { local x=inner; echo $x; }; g",
    "g",
    "export -f g; bash -c g",
    "nope",
    "echo $((7 / 0))",
    "eval 'if'",
    "ulimit -S -c 0; ulimit -S -c",
    "set -o noclobber; set +o | grep noclobber",
    "set +o noclobber",
]

SESSIONS = r"""
import json, subprocess
told = []
for steps in json.load(open("scripts.json")):
    quoted = [step.replace("'", "'\\''") for step in steps]
    script = "".join("eval '%s'\n__s=$?; printf '\\0%%d\\0' $__s; (exit $__s)\n" % step for step in quoted)
    done = subprocess.run(["bash"], input=script.encode(), capture_output=True)
    parts = done.stdout.split(b"\0")
    told.append([[int(c), p.decode("latin-1")] for p, c in zip(parts[::2], parts[1::2])])
json.dump(told, open("told.json", "w"))
"""


@pytest.mark.parametrize("seed", range(EXAMPLES // 4))
async def test_100_sessions_go_as_in_one_bash(engine: BubblewrapEngine, seed: int) -> None:
    rng = random.Random(seed)
    sessions = [rng.choices(STEPS, k=rng.randrange(3, 9)) for _ in range(100)]
    await engine.write_file("a", "/home/user/scripts.json", json.dumps(sessions).encode())
    await engine.write_file("a", "/home/user/reference.py", SESSIONS.encode())
    reference = await attempt(engine, "python3 reference.py", session="reference", timeout=90)
    assert reference.exit_code == 0, reference
    told = json.loads(await content(engine, "/home/user/told.json"))
    different = []
    for index, (steps, expected) in enumerate(zip(sessions, told, strict=True)):
        found = []
        for number, step in enumerate(steps):
            outcome = await attempt(engine, step, session=f"s{index}", timeout=20)
            found.append([outcome.exit_code, outcome.stdout.decode("latin-1")])
            if index % 3 == 0 and number % 2:
                # What the session knows outlives its shell.
                await attempt(engine, "kill -9 $$" if index % 2 else "exit $?", session=f"s{index}")
                session = engine._computers["a"].sessions[f"s{index}"]
                session.status = found[-1][0]
        await engine.end_session("a", f"s{index}")
        if found != expected:
            different.append(
                next(row for row in zip(steps, found, expected, strict=True) if row[1] != row[2])
            )
    assert not different, f"{len(different)}: " + "\n".join(map(repr, different[:8]))
