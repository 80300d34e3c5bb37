"""The program that `computer.python()` runs, at the end of two pipes, with every Python of this machine that it
supports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arker.pythonvalues import PythonError, Record, Records, answer, call_frame, command, program

from . import awaiting

CALLS = [
    "x = 20\nx + 22",
    "print('ö')\nimport sys\nprint('err', file=sys.stderr)\n\n1 / 0",
    "y = = 1",
    awaiting.DEFINE,
    "import os\nif os.fork() == 0:\n    x = 0\nelse:\n    os.wait()\nx",
]


def pythons() -> list[str]:
    folders = [*map(Path, os.get_exec_path()), *(Path.home() / ".pyenv/versions").glob("*/bin")]
    found = {f"3.{minor}": folder / f"python3.{minor}" for folder in folders for minor in range(8, 15)
             if os.access(folder / f"python3.{minor}", os.X_OK)}  # fmt: skip
    works = {version for version, path in found.items() if not subprocess.call([path, "-c", ""])}
    return [sys.executable, *(str(found[version]) for version in sorted(works))]


def talk(executable: str, nonce: bytes, sent: bytes) -> subprocess.CompletedProcess[bytes]:
    line = command(executable, program(), None, {"A": "b c"})
    return subprocess.run(["bash", "-c", line], input=sent, capture_output=True, timeout=100, check=False)


@pytest.mark.parametrize("executable", pythons(), ids=lambda path: Path(path).name)
def test_calls_are_answered_in_order(executable: str) -> None:
    nonce = os.urandom(16)
    frames = [
        call_frame(nonce, number, code, 60, None, interrupted=False) for number, code in enumerate(CALLS, 1)
    ]
    done = talk(executable, nonce, program() + b"".join(frames))
    assert done.returncode == 0, done.stderr
    output, answers, parts = b"", [], b""
    for piece in Records(nonce).feed(done.stdout):
        if isinstance(piece, bytes):
            output += piece
        elif piece.letter == b"P":
            parts += piece.data
        else:
            answers.append(answer(parts))
            assert piece.data == b"%d" % len(answers)
            parts = b""
    assert [found["value"] for found in answers] == ["42", None, None, "5", "20"]
    errors: list[PythonError | None] = [found["error"] for found in answers]
    assert [error and (error.name, error.line) for error in errors] == [
        None, ("ZeroDivisionError", 5), ("SyntaxError", 1), None, None,
    ]  # fmt: skip
    assert output.decode() == "ö\n"
    assert [piece for piece in Records(nonce).feed(done.stderr) if isinstance(piece, bytes)] == [b"err\n"]


class Talk:
    """An interpreter of this Python, and what it answers."""

    def __init__(self) -> None:
        self.nonce = os.urandom(16)
        line = command(sys.executable, program(), None, None)
        self.process = subprocess.Popen(["bash", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.records, self.calls = Records(self.nonce), 0
        self.input.write(program())

    def send(self, code: str, *, interrupted: bool = False) -> None:
        self.calls += 1
        self.input.write(call_frame(self.nonce, self.calls, code, None, None, interrupted))
        self.input.flush()

    def answer(self) -> dict[str, object]:
        parts = b""
        while data := os.read(self.output.fileno(), 65536):
            for piece in self.records.feed(data):
                if isinstance(piece, Record) and piece.letter == b"P":
                    parts += piece.data
                elif isinstance(piece, Record):
                    return answer(parts)
        raise AssertionError("it ended")

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.input.close()
        self.output.close()
        self.process.wait()


def test_an_interrupt_reaches_a_call_that_has_arrived_and_no_other() -> None:
    with Talk() as talk:
        talk.send("x = 1")
        talk.answer()
        # Nothing to interrupt, however late the process hears of it.
        talk.process.send_signal(signal.SIGSTOP)
        talk.process.send_signal(signal.SIGINT)
        talk.send("x", interrupted=True)
        talk.process.send_signal(signal.SIGCONT)
        assert talk.answer()["value"] == "1"
        # The call arrives, and the interrupt with it, before the process has a chance to look.
        talk.process.send_signal(signal.SIGSTOP)
        talk.send("while True: pass")
        talk.process.send_signal(signal.SIGINT)
        talk.process.send_signal(signal.SIGCONT)
        error = talk.answer()["error"]
        assert isinstance(error, PythonError)
        assert error.name == "KeyboardInterrupt"
        talk.send("x")
        assert talk.answer()["value"] == "1"


def test_a_python_that_is_too_old_says_so(tmp_path: Path) -> None:
    """Its version is that of a module which takes the place of `sys`."""
    old = tmp_path / "old"
    old.write_text(
        f"#!{sys.executable}\n"
        "import sys\ncode = sys.argv[sys.argv.index('-c') + 1]\nsys.version_info = (3, 7, 9)\nexec(code)\n"
    )
    old.chmod(0o755)
    done = talk(str(old), bytes(16), program())
    assert done.returncode == 127
    assert b"needs Python 3.8 or newer" in done.stderr


@pytest.mark.parametrize("size", [1, 2, 7, 16, 1000])
def test_records_arrive_in_pieces_of_any_size(size: int) -> None:
    nonce = b"0123456789abcdef"
    record = nonce + b"P\x03\x00abc"
    stream = b"out" + nonce[:9] + record + record + b"more" + nonce[:15]
    records, found = Records(nonce), list[bytes | Record]()
    for start in range(0, len(stream), size):
        found += records.feed(stream[start : start + size])
    found.append(records.end())
    output = b"".join(piece for piece in found if isinstance(piece, bytes))
    assert output == b"out" + nonce[:9] + b"more" + nonce[:15]
    assert [piece for piece in found if isinstance(piece, Record)] == [Record(b"P", b"abc")] * 2
