"""Puts what `make bench` has written into a page: `<!-- results: ../benchmarks/results -->` becomes its reports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_MARK = re.compile(r"<!-- results: (\S+) -->")
_NONE = "No figures are kept at this commit; `make bench` measures them."


def include(folder: str, reports: list[str]) -> str:
    """Markdown that includes the reports of a folder, the overview first, one heading lower, with their plots."""
    reports = sorted(reports, key=lambda name: (name != "README.md", name))
    return "\n".join(
        f"```{{include}} {folder}/{name}\n:relative-images:\n:heading-offset: 1\n```\n" for name in reports
    )


def _source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    def replace(match: re.Match[str]) -> str:
        folder = (Path(app.srcdir) / docname).parent / match[1]
        return include(match[1], [path.name for path in folder.glob("*.md")]) or _NONE

    source[0] = _MARK.sub(replace, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the extension known to Sphinx."""
    app.connect("source-read", _source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
