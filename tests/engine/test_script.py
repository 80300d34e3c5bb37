"""The growing script of a shell, read by a real bash."""

import os
import subprocess
from pathlib import Path

import pytest

from arker.local.engine.script import Script

WAIT = 30


def test_a_process_that_is_being_started_holds_no_gate_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = os.open

    def open_and_note(path: str, flags: int, *mode: int) -> int:
        opened.append(fd := real(path, flags, *mode))
        return fd

    script = Script(f"{tmp_path}/script", f"{tmp_path}/gate", bytes(tmp_path / "gate"), b"")
    with subprocess.Popen(["bash", "script"], cwd=tmp_path, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", open_and_note)
            script.give(b"echo 0\n")
        # As between fork and exec: the child has all descriptors of its parent.
        inherited = os.dup(opened[-1])
        try:
            assert shell.stdout.readline() == b"0\n"
            script.taken()
            for n in range(1, 5):
                script.give(b"echo %d\n" % n)
                assert shell.stdout.readline() == b"%d\n" % n
                script.taken()
        finally:
            os.close(inherited)
        script.close()
        assert shell.wait(WAIT) == 0
