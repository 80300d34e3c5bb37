"""Tests that do damage, each to a computer of its own."""

from __future__ import annotations

import asyncio

import pytest

from arker import AsyncComputer, Computer


def test_removes_what_a_build_left(computer: Computer) -> None:
    computer.run("bin/tidy.sh project").check()
    assert computer.run("cd project && find . -type f | sort").text.split() == ["./README", "./src/main.py"]


def test_the_computer_is_as_it_was_prepared(computer: Computer) -> None:
    # Whatever another test did to its computer.
    assert computer.run("ls -A project").text.split() == [".cache", "README", "src"]


def test_needs_a_folder(computer: Computer) -> None:
    result = computer.run("bin/tidy.sh")
    assert (result.exit_code, result.stdout) == (2, b"")
    assert b"usage" in result.stderr


@pytest.mark.parametrize("name", ["two words", "-rf", "$HOME", "new\nline"])
def test_any_folder_name(computer: Computer, name: str) -> None:
    computer.sync.write_file("/home/user/keep/__pycache__/x.pyc", b"")
    computer.sync.write_file(f"/home/user/{name}/__pycache__/x.pyc", b"")
    computer.sync.write_file("/home/user/name", name)
    computer.run('bin/tidy.sh "./$(cat name)"').check()
    assert computer.run("find . -name '*.pyc' | grep -v ^./project").text == "./keep/__pycache__/x.pyc\n"


@pytest.mark.parametrize("victim", ["/usr/bin", "/etc"])
def test_even_the_system_survives(computer: Computer, victim: str) -> None:
    before = computer.run(f"ls {victim}").text
    assert not computer.run(f"rm -rf {victim}").ok
    assert computer.run(f"ls {victim}").text == before


@pytest.mark.anyio
async def test_side_by_side(async_computer: AsyncComputer) -> None:
    runs = (async_computer.run("bin/tidy.sh project", session_id=f"s{n}") for n in range(4))
    assert [result.exit_code for result in await asyncio.gather(*runs)].count(0) >= 1
    assert not (await async_computer.run("ls -d project/.cache")).ok


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
