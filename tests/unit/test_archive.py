"""Archives that both ends of a transfer write and read."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker.archive import Entry, compress, expand, pack, unpack

names = st.binary(min_size=1, max_size=300).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"x").replace(b"/", b"_").replace(b".", b"_"))
)
times = st.integers(-(10**18), 10**19)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(["file", "directory", "symlink"]))
    data = draw(st.binary(max_size=2000)) if kind == "file" else b""
    target = draw(names) if kind == "symlink" else ""
    path = "/".join(draw(st.lists(names, min_size=1, max_size=3)))
    return Entry(path, kind, draw(st.integers(0, 0o7777)), draw(times), data, target)


@given(st.lists(entries(), max_size=5))
def test_packed_entries_are_unpacked(tree: list[Entry]) -> None:
    assert list(unpack(b"".join(pack(tree)))) == tree


@given(st.binary(max_size=3000), st.integers(0, 3000), st.integers(0, 255))
def test_a_damaged_archive_is_reported(junk: bytes, at: int, value: int) -> None:
    archive = bytearray(b"".join(pack([Entry("name", "file", 0o644, 1, b"x" * 600, "")])))
    archive[at % len(archive)] = value
    for damaged in (junk, bytes(archive), bytes(archive)[: at % len(archive)]):
        try:
            list(unpack(damaged))
        except ValueError:
            continue


def test_an_archive_cut_short_is_refused() -> None:
    archive = b"".join(pack([Entry("name", "file", 0o644, 1, b"x" * 600)]))
    for size in range(len(archive) - 1024):
        with pytest.raises(ValueError, match="cut short"):
            list(unpack(archive[:size]))


@given(st.lists(entries(), min_size=1, max_size=4))
def test_python_reads_it(tree: list[Entry]) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(tree))), errors="surrogateescape") as archive:
        members = archive.getmembers()
    assert [os.fsencode(member.name) for member in members] == [os.fsencode(entry.path) for entry in tree]
    assert [member.size for member in members] == [len(entry.data) for entry in tree]


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar"])
def test_tar_reads_it_and_is_read(tmp_path: Path, form: str) -> None:
    long = "/".join(["d" * 60] * 3)
    tree = [
        Entry("d", "directory", 0o755, 2_000_000_000),
        Entry("d/f", "file", 0o751, 1_500_000_000_000_000_001, b"content"),
        Entry("d/l", "symlink", 0o777, 3_000_000_000, target="f"),
        Entry(long, "directory", 0o755, 4_000_000_000),
        Entry(f"{long}/f", "file", 0o644, 5_000_000_000, b"x" * 10_000),
    ]
    subprocess.run(["tar", "xf", "-"], input=b"".join(pack(tree)), cwd=tmp_path, check=True)
    info = (tmp_path / "d/f").stat()
    assert ((tmp_path / "d/f").read_bytes(), info.st_mode & 0o777, info.st_mtime_ns) == (
        b"content",
        0o751,
        1_500_000_000_000_000_001,
    )
    os.link(tmp_path / "d/f", tmp_path / "d/g")
    made = subprocess.run(
        ["tar", "cf", "-", f"--format={form}", "d", "d" * 60], cwd=tmp_path, check=True, capture_output=True
    )
    found = {entry.path: entry for entry in unpack(made.stdout)}
    assert bytes(found["d/f"].data) == bytes(found["d/g"].data) == b"content"
    assert found["d/l"].target == "f"
    assert len(found[f"{long}/f"].data) == 10_000
    if form == "pax":
        assert found["d/f"].mtime_ns == 1_500_000_000_000_000_001


def test_what_compresses_well_is_compressed() -> None:
    archive = b"".join(pack([Entry(f"f{number}", "file", 0o644, 5, b"text " * 500) for number in range(100)]))
    compressed = compress(archive)
    assert compressed is not None
    assert len(compressed) < len(archive) / 4
    assert expand(compressed, len(archive)) == archive
    assert gzip.decompress(compressed) == archive
    # The headers of an archive compress well; what follows them counts.
    contents = [Entry(f"d{number}", "directory", 0o755, 5) for number in range(20)]
    contents.append(Entry("f", "file", 0o644, 5, random.Random(1).randbytes(200_000)))
    assert compress(b"".join(pack(contents))) is None


@pytest.mark.parametrize("damage", ["cut", "more", "other", "large"])
def test_damaged_compression_is_refused(damage: str) -> None:
    compressed = gzip.compress(bytes(10_000))
    data = {"cut": compressed[:-1], "more": compressed + b"x", "other": b"x" * 100, "large": compressed}[
        damage
    ]
    with pytest.raises(ValueError, match="expands to more" if damage == "large" else "compressed"):
        expand(data, 9_999 if damage == "large" else 10_000)
