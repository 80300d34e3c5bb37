"""Fenced code blocks of a Markdown page, and what a page promises of them.

* A `python` block is executed; the blocks of one page share their names, as a reader would type them one after the other.
* A `text` block right behind a `python` block is what that one prints, with `...` for any run of characters.
* A `python` block under the comment `<!-- not executed: why -->` is only compiled.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCE = re.compile(
    r"^(?P<skip><!-- not executed: [^\n]+ -->\n+)?(?P<indent> *)```(?P<language>[\w-]+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A block of code: where it starts, what it says, and what it must print (None: anything)."""

    line: int
    code: str
    output: str | None
    executed: bool


def find_snippets(text: str) -> Iterator[Snippet]:
    """The `python` blocks of a page, in order."""
    fences = list(_FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence["language"] != "python":
            continue
        adjacent = following and not text[fence.end() : following.start()].strip()
        indent = re.compile("^" + fence["indent"], re.MULTILINE)
        yield Snippet(
            line=text.count("\n", 0, fence.start("code")),
            code=indent.sub("", fence["code"]),
            output=following["code"] if adjacent and following and following["language"] == "text" else None,
            executed=not fence["skip"],
        )


def run_page(page: Path) -> None:
    """Execute the snippets of a page; an exception or another output is an AssertionError that names the line."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for snippet in find_snippets(page.read_text()):
        # Padded, so that a traceback names the line of the page.
        code = compile("\n" * snippet.line + snippet.code, str(page), "exec")
        if not snippet.executed:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        if snippet.output is not None:
            pattern = ".*?".join(map(re.escape, snippet.output.strip().split("...")))
            assert re.fullmatch(pattern, printed.getvalue().strip(), re.DOTALL), (
                f"{page.name}:{snippet.line}: printed\n{printed.getvalue()}\ninstead of\n{snippet.output}"
            )
