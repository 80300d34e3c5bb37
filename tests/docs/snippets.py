"""Fenced code blocks of a Markdown page, and what a page promises of them.

* A `python` block is executed; the blocks of one page share their names, as if typed one after the other.
* A `sh` block is executed by bash, which stops at the first command that fails. The blocks of a page share
  folder and environment, the python blocks behind them included, as in one terminal.
* A `text` block right behind one of these is what it prints. `...` stands for any run of characters, and values that
  differ from run to run (ids, ports, keys, times) for any other of their kind, so that a page can show real ones.
* A block under the comment `<!-- not executed: why -->` is only compiled.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCE = re.compile(
    r"^(?P<skip>[ ]*<!-- not executed: [^\n]+ -->\n+)?"
    r"^(?P<indent> *)```(?P<language>[\w-]+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


_LANGUAGES = ("python", "sh")

#: Values that differ from run to run, each with a group that names its kind.
_VARYING = re.compile(
    r"(?P<id>\b01[0-9A-HJKMNP-TV-Z]{24}(?:_[0-9a-z]+)?\b)"
    r"|(?P<address>\b127\.0\.0\.1:\d+)"
    r"|(?P<key>\b(?:ark|key)_[\w-]+)"
    r"|(?P<pid>\bpid \d+)"
    r"|(?P<time>\b\d+\.\d+s\b|\b\d+(?:\.\d+)? ms\b|\d{4}-\d\d-\d\dT[\d:.]+Z)"
)


def prints(promised: str, printed: str) -> bool:
    """Whether what was printed is what the page promises."""

    def level(text: str) -> str:
        return _VARYING.sub(lambda found: f"<{found.lastgroup}>", text.strip())

    pattern = ".*?".join(map(re.escape, level(promised).split("...")))
    return re.fullmatch(pattern, level(printed), re.DOTALL) is not None


@dataclass(frozen=True)
class Snippet:
    """A block of code: where it starts, what it says, and what it must print (None: anything)."""

    line: int
    language: str
    code: str
    output: str | None
    executed: bool


def find_snippets(text: str) -> Iterator[Snippet]:
    """The `python` and `sh` blocks of a page, in order."""
    fences = list(_FENCE.finditer(text))
    # One that is written so that it is not found would never be tried.
    assert len(re.findall(r"```(?:python|sh)\b", text)) == sum(f["language"] in _LANGUAGES for f in fences)
    for fence, following in itertools.pairwise([*fences, None]):
        assert fence
        if fence["language"] not in _LANGUAGES:
            continue
        adjacent = following and not text[fence.end() : following.start()].strip()
        yield Snippet(
            line=text.count("\n", 0, fence.start("code")),
            language=fence["language"],
            code=_dedent(fence["code"], fence["indent"]),
            output=_dedent(following["code"], following["indent"])
            if adjacent and following and following["language"] == "text"
            else None,
            executed=not fence["skip"],
        )


def _dedent(code: str, indent: str) -> str:
    return re.sub("^" + indent, "", code, flags=re.MULTILINE) if indent else code


def run_page(page: Path) -> None:
    """Execute the snippets of a page. One that fails, or prints something else, names its line."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for snippet in find_snippets(page.read_text()):
        where = f"{page.name}:{snippet.line + 1}"
        printed = (
            _run_python(snippet, names, page) if snippet.language == "python" else _run_sh(snippet, where)
        )
        if snippet.executed and snippet.output is not None:
            assert prints(snippet.output, printed), (
                f"{where}: printed\n{printed}\ninstead of\n{snippet.output}"
            )


def _run_python(snippet: Snippet, names: dict[str, Any], page: Path) -> str:
    # Padded, so that a traceback names the line of the page.
    code = compile("\n" * snippet.line + snippet.code, str(page), "exec")
    printed = io.StringIO()
    if snippet.executed:
        with contextlib.redirect_stdout(printed):
            exec(code, names)
    return printed.getvalue()


def _run_sh(snippet: Snippet, where: str) -> str:
    bash = ["bash", "--noprofile", "--norc", "-euo", "pipefail"]
    if not snippet.executed:
        subprocess.run([*bash, "-n"], input=snippet.code, text=True, check=True)
        return ""
    with tempfile.NamedTemporaryFile() as environment, tempfile.TemporaryFile("w+") as printed:
        # Not through a pipe: a server that the snippet leaves running would hold it open.
        outcome = subprocess.run(
            [*bash, "-c", f"{snippet.code}\n{{ env -0; printf '\\0'; pwd; }} > {environment.name}"],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            check=False,
        )
        printed.seek(0)
        text = printed.read()
        assert outcome.returncode == 0, f"{where}: exit code {outcome.returncode}\n{text}"
        variables, _, folder = Path(environment.name).read_text().partition("\0\0")
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in variables.split("\0"))
    os.chdir(folder.rstrip("\n"))
    return text


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
