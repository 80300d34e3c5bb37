"""`arker shell` in a real terminal, tmux: full-screen programs, Ctrl-C, the size of the window, leaving."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arker import Arker, Computer

missing = [name for name in ("tmux", "vim", "less", "top") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(missing), reason=f"this machine has no {', '.join(missing)}"),
    pytest.mark.slow,
]

PROMPT = "$ "


class Screen:
    """A window of tmux in which a command runs."""

    def __init__(self, folder: Path, environment: dict[str, str], command: list[str]) -> None:
        self._socket = folder / "tmux"
        self._environment = environment
        # It stays when the command has ended, and shows its exit code.
        line = f"{shlex.join(command)}; echo ended with $?; exec sleep 1000"
        self._tmux("-f/dev/null", "new-session", "-d", "-x100", "-y30", "sh", "-c", line)

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self._socket), *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def type(self, *keys: str) -> None:
        """Type texts and keys such as `Enter`."""
        for key in keys:
            self._tmux("send-keys", key)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", f"-x{columns}", f"-y{rows}")

    def until(self, seen: str | Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen has a text; the lines that are not empty."""
        last = time.monotonic() + 60
        while True:
            lines = [line for line in self._tmux("capture-pane", "-p").splitlines() if line]
            if any(seen in line for line in lines) if isinstance(seen, str) else seen(lines):
                return lines
            assert time.monotonic() < last, "\n".join(lines)
            time.sleep(0.05)

    def prompt(self) -> None:
        """Wait for the prompt of the shell in the last line."""
        self.until(lambda lines: bool(lines) and (lines[-1] + " ").endswith(PROMPT))

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def vm(environment: dict[str, str]) -> Iterator[Computer]:
    with Arker() as arker, arker.vm("arkuntu").fork() as computer:
        yield computer


@pytest.fixture
def screen(vm: Computer, environment: dict[str, str], tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(tmp_path, environment, [sys.executable, "-m", "arker", "shell", vm.id])
    screen.prompt()
    yield screen
    screen.close()


def test_an_editor_a_pager_and_a_monitor(screen: Screen, vm: Computer) -> None:
    screen.type("vim -u NONE letter", "Enter")
    screen.until('"letter" [New')
    screen.type("iDear reader,", "Enter", "käse", "Escape", ":wq", "Enter")
    screen.prompt()
    assert vm.run("cat letter").text == "Dear reader,\nkäse\n"
    screen.type("clear; seq 1000 | less", "Enter")
    screen.until(lambda lines: lines[:1] == ["1"] and lines[28:29] == ["29"])
    screen.type("G")
    screen.until(lambda lines: lines[-2:] == ["1000", "(END)"])
    screen.type("q")
    screen.prompt()
    screen.type("clear; top -d 0.2", "Enter")
    screen.until("PID USER")
    screen.resize(70, 20)
    screen.until(lambda lines: "PID USER" in "\n".join(lines) and len(lines) <= 20)
    screen.type("q")
    screen.prompt()
    screen.type("clear; stty size", "Enter")
    screen.until("20 70")


def test_ctrl_c_the_exit_code_and_leaving(
    screen: Screen, vm: Computer, environment: dict[str, str], tmp_path: Path
) -> None:
    # Not by bash itself: a Ctrl-C that comes before it has started a program ends nothing.
    screen.type("bash -c 'echo be''gun; exec sleep 1000'", "Enter")
    screen.until("begun")
    screen.type("C-c")
    screen.until("^C")
    screen.prompt()
    screen.type("echo st''ays", "Enter")
    screen.until("stays")
    screen.type("Enter", "~", ".")
    screen.until("left; ")
    screen.until("ended with 0")
    (tmp_path / "again").mkdir()
    again = Screen(tmp_path / "again", environment, [sys.executable, "-m", "arker", "shell", vm.id])
    try:
        again.until("stays")
        again.type("exit 7", "Enter")
        again.until("ended with 7")
    finally:
        again.close()
