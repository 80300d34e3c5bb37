"""Small files, as the kernel gives them."""

from __future__ import annotations

from pathlib import Path

from arker.local.engine import small_files


def test_a_list_of_the_kernel_is_read_to_its_end() -> None:
    # Longer than the page that one read gets; in a process with pytest it has hundreds of lines.
    found = small_files.read("/proc/self/maps")
    assert len(found) > 8192
    assert found.endswith("\n")


def test_what_is_made_is_read_and_replaced_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    for text in ("x" * 200_000, "short"):
        small_files.make(path, text.encode())
        assert small_files.read(path) == text
