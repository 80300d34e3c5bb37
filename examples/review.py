"""A code-review agent: a model reads a change, tries its ideas in forks, and reports what it could prove.

The loop is that of any agent: the model asks for tools, the program runs them and returns their results, until the
model is done. The model here follows a script, so that the example runs anywhere; call yours in `Model.reply`.

It prints:

    read_file slug.py
    run python3 -m unittest -q
    try_in_fork python3 -c "import slug; assert ...
    try_in_fork sed -i.before ...
    review: slug('a  b') gives 'a--b'. Joining the words mends it; all tests pass with it:
    -    return text.lower().replace(" ", "-")
    +    return "-".join(text.lower().split())
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from arker import Arker, ArkerError, Computer

FILES = {
    "slug.py": 'def slug(text):\n    return text.lower().replace(" ", "-")\n',
    "test_slug.py": (
        "import unittest\nfrom slug import slug\n\nclass Test(unittest.TestCase):\n"
        "    def test_words(self):\n        self.assertEqual(slug('Hello World'), 'hello-world')\n"
    ),
}

PROBE = "python3 -c \"import slug; assert slug.slug('a  b') == 'a-b', slug.slug('a  b')\""
MEND = (
    """sed -i.before 's/text.lower().replace(" ", "-")/"-".join(text.lower().split())/' slug.py"""
    f" && {PROBE} && python3 -m unittest -q && ! diff -U0 slug.py.before slug.py"
)


@dataclass
class Model:
    """A model that follows a script: what it says depends on the results of its tools."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def reply(self, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Tool calls, or the final text."""
        self.seen += results
        match len(self.seen):
            case 0:
                return call("read_file", path="slug.py")
            case 1:
                return call("run", command="python3 -m unittest -q")
            case 2:
                return call("try_in_fork", command=PROBE)
            case 3:
                assert "AssertionError: a--b" in self.seen[-1]["stderr"]
                return call("try_in_fork", command=MEND)
        assert self.seen[-1]["exit_code"] == 0, self.seen[-1]
        diff = [line for line in self.seen[-1]["stdout"].splitlines() if line[:2] in ("- ", "+ ")]
        return {
            "text": "slug('a  b') gives 'a--b'. Joining the words mends it; all tests pass with it:\n"
            + "\n".join(diff)
        }


def call(tool: str, **arguments: str) -> dict[str, Any]:
    """A tool call of the model."""
    return {"tool": tool, "arguments": arguments}


def use_tool(computer: Computer, tool: str, arguments: dict[str, str]) -> dict[str, Any]:
    """The result for the model, also when it asked for something impossible.

    Raises ArkerError when the platform failed.
    """
    try:
        match tool:
            case "read_file":
                return {"content": computer.sync.read_file(f"/home/user/{arguments['path']}").decode()}
            case "run":
                return computer.run(arguments["command"], timeout=60).to_dict()
            case "try_in_fork":
                with computer.fork() as attempt:
                    return attempt.run(arguments["command"], timeout=60).to_dict()
    except ArkerError as error:
        if not 400 <= error.status < 500:
            raise
        return {"error": error.message}
    return {"error": f"there is no tool {tool!r}"}


def review(computer: Computer, model: Model) -> str:
    """Let the model work until it gives its final text; at most 20 turns."""
    results: list[dict[str, Any]] = []
    for _ in range(20):
        said = model.reply(results)
        if "text" in said:
            return str(said["text"])
        print(said["tool"], *said["arguments"].values())
        results = [use_tool(computer, said["tool"], said["arguments"])]
        json.dumps(results)  # what would travel to the model
    raise RuntimeError("the model came to no end")


with Arker.local() as arker, arker.vm("arkuntu").fork(name="review") as computer:
    written = computer.sync.write_files({f"/home/user/{name}": text for name, text in FILES.items()})
    assert all(outcome.ok for outcome in written.values())
    # Edits follow each other faster than Python tells versions of a file apart; forks inherit the session.
    computer.run("export PYTHONDONTWRITEBYTECODE=1")
    print("review:", review(computer, Model()))
