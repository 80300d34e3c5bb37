"""The commands on computers, against a deployment."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from arker import Arker, ArkerError, Computer, Files, TreeResult
from arker.cli import files as files_module
from arker.ids import is_vm_id
from arker.transfers import LARGEST_FILE
from tests.cli.conftest import command

Cli = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def vm(cli: Cli, client: Arker, name: str) -> str:
    """A computer, by its name."""
    with client.vm("arkuntu").fork(name=name):
        yield name


# --- fork, ls, rm


def test_fork_ls_rm(cli: Cli, client: Arker, name: str) -> None:
    vm_id = cli("fork", "--name", name).stdout.strip()
    assert is_vm_id(vm_id)
    child = json.loads(cli("fork", name, "--name", f"{name}-child", "--json").stdout)
    assert child == {"vm_id": child["vm_id"], "name": f"{name}-child"}

    fields = cli("ls", name).stdout.splitlines()[1].split("\t")
    assert fields[:4] == [vm_id, name, "arkuntu", "local"]
    assert [row["vm_id"] for row in json.loads(cli("ls", name, "--json").stdout)] == [child["vm_id"], vm_id]
    assert cli("ls", "-q", f"{name}-child").stdout == f"{child['vm_id']}\n"

    tree = cli("ls", "--tree", name).stdout
    assert tree == f"arkuntu\n└─ {name}  {vm_id}\n   └─ {name}-child  {child['vm_id']}\n"
    assert json.loads(cli("ls", "--tree", "--json", name).stdout) == [
        {
            "base_image": "arkuntu",
            "forks": [{"vm_id": vm_id, "name": name, "forks": [{**child, "forks": []}]}],
        }
    ]

    # The parent first: its child hangs from the base image then.
    assert cli("rm", name).stdout == f"{vm_id}\n"
    assert cli("ls", "--tree", name).stdout == f"arkuntu\n└─ {name}-child  {child['vm_id']}\n"
    assert json.loads(cli("rm", "--json", child["vm_id"]).stdout) == {"deleted": [child["vm_id"]]}
    assert cli("ls", name).stdout == ""


def test_rename_and_stop(cli: Cli, client: Arker, vm: str, name: str) -> None:
    computer = client.vm(client.vm(vm).info().vm_id)
    computer.run("x=1")
    run = computer.start("sleep 1000")
    cli("rename", vm, f"{name}-new")
    cli("stop", f"{name}-new")
    assert run.refresh().reason == "computer_stopped"
    assert cli("run", f"{name}-new", "echo $x").output == "1\n"
    assert "base image" in cli("rename", computer.id, "arkuntu", code=2).output


@pytest.mark.parametrize("other", ["--tree", "--json"])
def test_ids_only_are_ids_only(cli: Cli, other: str) -> None:
    assert "leave out" in cli("ls", "--quiet", other, code=2).stderr


def test_a_prefix_is_as_good_as_an_id(cli: Cli, client: Arker, name: str) -> None:
    with client.vm("arkuntu").fork(name=name) as one, client.vm("arkuntu").fork(name=name) as other:
        same = next(n for n in range(len(one.id)) if one.id[n] != other.id[n])
        shared, unique = one.id[:same], one.id[: same + 1].lower()
        assert cli("run", unique, "--", "echo here").stdout == "here\n"
        refused = cli("run", shared, "--", "true", code=125).stderr
        assert refused.startswith(f"arker: {shared!r} is ambiguous: ")
        assert one.id in refused
        assert other.id in refused
        assert "ambiguous" in cli("rm", name, code=1).stderr
        assert "ambiguous" in cli("fork", name, code=1).stderr


def test_rm_continues_after_a_failure_and_reports_each(cli: Cli, client: Arker, name: str) -> None:
    one = client.vm("arkuntu").fork(name=name)
    result = cli("rm", f"{name}-x", name, f"{name}-y", code=1)
    assert result.stdout == f"{one.id}\n"
    assert [line.split(";")[0] for line in result.stderr.splitlines()] == [
        f"arker: there is no computer '{name}-x'",
        f"arker: there is no computer '{name}-y'",
    ]
    assert cli("rm", "--force", f"{name}-x", one.id).output == ""


def test_a_misspelt_name_is_mended(cli: Cli, vm: str) -> None:
    assert (
        f"; did you mean {vm!r}? see `arker ls`" in cli("run", vm[:-1] + "~", "--", "true", code=125).stderr
    )


def test_fork_of_an_unknown_name(cli: Cli, name: str) -> None:
    told = cli("fork", name, code=1).stderr
    assert told.startswith(f"arker: there is no image and no computer {name!r}")
    assert "arker images list" in told
    assert "did you mean 'arkuntu'?" in cli("fork", "arkubtu", code=1).stderr
    error = json.loads(cli("fork", name, "--json", code=1).stderr)["error"]
    assert error["code"] == "not_found"
    assert "not_found" not in error["message"]


def test_a_name_that_is_taken_is_warned_of(cli: Cli, client: Arker, vm: str) -> None:
    again = cli("fork", "--name", vm)
    assert (
        again.stderr == f"arker: 2 computers are named {vm!r} now; commands need an id to tell them apart\n"
    )
    client.vm(again.stdout.strip()).delete()


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("a\nb", "cannot be printed"),
        ("-x", "looks like an option"),
        ("--json", "looks like an option"),
        ("01KQBYKEV5WJ7YB010603T1DCT_d8c0", "looks like an id"),
        ("01kqbykev5wj7yb010603t1dct", "looks like an id"),
        ("arkuntu", "is a base image"),
        ("a:b", "could not tell it from a path"),
        ("a/b", "could not tell it from a path"),
        (" ", "is not empty"),
    ],
)
def test_a_name_that_commands_would_misread_is_refused(cli: Cli, new: str, problem: str) -> None:
    assert problem in cli("fork", f"--name={new}", code=2).stderr
    assert problem in cli("images", "publish", "--", "x", new, code=2).stderr


def test_names_are_shown_without_what_moves_the_cursor(cli: Cli, client: Arker, name: str) -> None:
    try:
        evil = client.vm("arkuntu").fork(name=f"{name}\u202e")
    except ArkerError:
        return  # the deployment does not take such names in the first place
    with evil:
        assert "\u202e" not in cli("ls", name).output
        assert "\u202e" not in cli("ls", "--tree", name).output


def test_whoami(cli: Cli, environment: dict[str, str]) -> None:
    url = environment["ARKER_BASE_URL"]
    assert cli("whoami").stdout == f"org_id\torg_local\norg_name\tLocal\nbase_url\t{url}\nglobal_url\t{url}\n"
    assert json.loads(cli("whoami", "--json").stdout)["org_id"] == "org_local"


# --- run


def test_run_passes_everything_through(process: Process, vm: str) -> None:
    done = process("run", vm, "--", "printf 'out\\377\\0'; printf 'err\\376' >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\xff\0", b"err\xfe", 7)


def test_run_quotes_arguments_and_takes_a_line_as_it_is(cli: Cli, vm: str) -> None:
    assert cli("run", vm, "--", "printf", "%s|", "a b", "$HOME", "x;y", "").stdout == "a b|$HOME|x;y||"
    assert cli("run", vm, "--", "echo $HOME | tr a-z A-Z").stdout == "/HOME/USER\n"


def test_run_keeps_sessions(cli: Cli, vm: str) -> None:
    cli("run", vm, "--", "cd /tmp; x=1")
    cli("run", vm, "--session", "two", "--", "cd /usr; x=2")
    assert cli("run", vm, "--", "echo $PWD $x").stdout == "/tmp 1\n"
    assert cli("run", "-s", "two", vm, "--", "echo $PWD $x").stdout == "/usr 2\n"


@pytest.mark.slow
def test_run_ends_with_the_timeout(cli: Cli, vm: str) -> None:
    # A busy machine takes its time until the command has begun.
    for seconds in ("1", "5", "25"):
        result = cli("run", vm, "--timeout", seconds, "--", "echo begun; sleep 60", code=124)
        assert "ended by its timeout" in result.stderr
        if result.stdout:
            break
    assert result.stdout == "begun\n"


def test_run_in_json(cli: Cli, vm: str) -> None:
    result = json.loads(cli("run", vm, "--json", "--", "printf '\\377'; exit 3", code=3).stdout)
    assert (result["stdout"], result["stdout_encoding"], result["exit_code"]) == ("/w==", "base64", 3)


def test_run_says_when_arker_failed_and_not_the_command(cli: Cli, vm: str) -> None:
    assert cli("run", f"{vm}-x", "--", "true", code=125).stderr.count("\n") == 1
    assert cli("run", "arkuntu", "--", "true", code=125).stderr.startswith("arker: forbidden: ")
    error = json.loads(cli("run", f"{vm}-x", "--json", "--", "true", code=125).stderr)["error"]
    assert error["code"] == "not_found"


def test_options_of_the_command_are_not_taken_for_ours(cli: Cli, vm: str) -> None:
    refused = cli("run", vm, "ls", "-l", code=2).stderr
    assert "'-l' (an option of the command to run goes after --: arker run VM -- COMMAND)" in refused
    assert "goes after --: arker start VM -- COMMAND)" in cli("start", vm, "ls", "-l", code=2).stderr
    assert "goes after" not in cli("attach", vm, "-l", code=2).stderr
    assert "did you mean --timeout?" in cli("run", vm, "--tmeout", "3", "--", "true", code=2).stderr
    assert refused.count("\n") == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e300", "soon"])
def test_a_timeout_that_cannot_be_is_refused(cli: Cli, seconds: str) -> None:
    assert (
        "invalid value for '--timeout'" in cli("run", "x", "--timeout", seconds, "--", "true", code=2).stderr
    )


def test_standard_input_stays_outside(process: Process, vm: str) -> None:
    done = process("run", vm, "--", "cat; echo $?", input=b"from a pipe")
    assert (done.stdout, done.returncode) == (b"0\n", 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", b"\xff"),
        ("rm", "fine", b"\xff"),
        ("fork", "--name", b"\xff"),
        ("run", "x", "--", b"echo \xff"),
        ("cp", b"\xff:x", "."),
    ],
)
def test_arguments_that_are_not_utf8_are_refused(cli: Cli, arguments: tuple[str | bytes, ...]) -> None:
    refused = cli(*map(os.fsdecode, arguments), code=2).stderr
    assert "is not UTF-8" in refused
    assert refused.count("\n") == 1


def wait_for(client: Arker, vm: str, file: str) -> None:
    """Wait until a command in the computer has made a file."""
    computer = client.vm(client.list(q=vm)[0])
    computer.run(f"until [ -e ~/{file} ]; do sleep 0.01; done", session_id="watcher", timeout=60).check()


def is_free(computer: Computer) -> bool:
    """Whether the session takes a command."""
    try:
        return computer.run("true").ok
    except ArkerError as error:
        if error.code != "vm_busy":
            raise
        return False


@pytest.mark.parametrize(
    ("options", "number", "code"),
    [
        # By the signal itself: a shell tells 130, and ends its loop.
        ([], signal.SIGINT, -signal.SIGINT),
        (["--env", "A=b"], signal.SIGTERM, 128 + signal.SIGTERM),
        ([], signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_a_signal_ends_the_command_and_us(
    environment: dict[str, str], client: Arker, vm: str, options: list[str], number: int, code: int
) -> None:
    with subprocess.Popen(
        command("run", vm, *options, "--", "touch begun; sleep 60; touch ended"),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        wait_for(client, vm, "begun")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, b"", b"")
    # The session is free again.
    computer = client.vm(client.list(q=vm)[0])
    deadline = time.monotonic() + 60
    while not is_free(computer):
        assert time.monotonic() < deadline
    assert computer.run("ls").text == "begun\n"


def test_a_closed_pipe_is_not_an_error(environment: dict[str, str], vm: str) -> None:
    with subprocess.Popen(
        command("run", vm, "--", "yes | head -c 1000000"),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""


# --- cp


def test_cp_both_ways(cli: Cli, vm: str, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "up.bin").write_bytes(data)
    cli("cp", str(tmp_path / "up.bin"), f"{vm}:/home/user/sub/x")
    cli("cp", str(tmp_path / "up.bin"), f"{vm}:")
    assert cli("run", vm, "--", "cmp sub/x up.bin && echo same").stdout == "same\n"
    cli("cp", f"{vm}:sub/x", str(tmp_path))
    cli("cp", f"{vm}:sub/x", str(tmp_path / "down.bin"))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "down.bin").read_bytes() == data
    copied = json.loads(cli("cp", "--json", f"{vm}:sub/x", str(tmp_path / "again")).stdout)
    assert copied == {"source": f"{vm}:sub/x", "target": str(tmp_path / "again"), "size": len(data)}


@pytest.mark.slow
def test_cp_by_standard_input_and_output(process: Process, vm: str) -> None:
    data = os.urandom(5_000_000)
    assert process("cp", "-", f"{vm}:x", input=data).returncode == 0
    down = process("cp", f"{vm}:x", "-")
    assert (down.returncode, down.stderr) == (0, b"")
    assert down.stdout == data
    assert process("cp", "-", f"{vm}:empty", input=b"").returncode == 0
    assert process("cp", f"{vm}:empty", "-").stdout == b""


def test_cp_takes_a_local_file_of_any_name(cli: Cli, vm: str, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff")
    try:
        file.write_bytes(b"content")
    except OSError:
        pytest.skip("the file system has names of UTF-8 only")
    cli("cp", str(file), f"{vm}:x")
    assert cli("run", vm, "--", "cat x").stdout == "content"
    cli("cp", str(file), f"{vm}:")
    assert cli("run", vm, "--", "cat $(printf '\\377')").stdout == "content"
    file.unlink()
    cli("cp", f"{vm}:{file.name}", str(tmp_path))
    assert file.read_bytes() == b"content"


def test_cp_takes_files_anywhere_of_any_size_and_keeps_them_executable(
    cli: Cli, vm: str, tmp_path: Path
) -> None:
    script, large = tmp_path / "script", tmp_path / "large"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    cli("cp", str(script), f"{vm}:/tmp/there")
    assert cli("run", vm, "--", "/tmp/there").stdout == "ran\n"
    script.unlink()
    cli("cp", f"{vm}:/tmp/there", str(script))
    assert os.access(script, os.X_OK)
    with large.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert json.loads(cli("cp", "--json", str(large), f"{vm}:large").stdout)["size"] == LARGEST_FILE + 1
    large.unlink()
    cli("cp", f"{vm}:large", str(large))
    assert large.stat().st_size == LARGEST_FILE + 1


def test_cp_of_folders(cli: Cli, vm: str, tmp_path: Path) -> None:
    source, target = tmp_path / "it's", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()
    (source / "sub" / "file").write_text("content")
    cli("cp", "-r", str(source), f"{vm}:new")
    cli("cp", "-r", str(source), f"{vm}:new")
    cli("cp", "-r", str(source), f"{vm}:in/")
    cli("cp", "-r", f"{vm}:new", f"{vm}:again/")
    copied = cli("run", vm, "--", "find . -type f | sort").stdout
    assert (
        copied
        == "./again/new/it's/sub/file\n./again/new/sub/file\n./in/it's/sub/file\n./new/it's/sub/file\n./new/sub/file\n"
    )
    cli("cp", "-r", f"{vm}:in", str(target))
    assert (target / "in" / "it's" / "sub" / "file").read_text() == "content"
    cli("cp", "-r", f"{vm}:in", str(target / "other"))
    assert (target / "other" / "it's" / "sub" / "file").read_text() == "content"


def test_cp_removes_what_the_source_does_not_have(cli: Cli, vm: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/f").touch()
    cli("cp", "-r", str(tmp_path / "src"), f"{vm}:")
    cli("run", vm, "--", "touch src/more; mkdir -p copies; cp -r src copies")
    (tmp_path / "src/extra").touch()
    cli("cp", "-r", "--delete", f"{vm}:src", str(tmp_path))
    assert sorted(path.name for path in (tmp_path / "src").iterdir()) == ["f", "more"]
    (tmp_path / "src/more").unlink()
    cli("cp", "-r", "--delete", str(tmp_path / "src"), f"{vm}:")
    assert cli("ls", "-q", f"{vm}:src").stdout == "f\n"
    # What cannot be read is not missing.
    cli("run", vm, "--", "mkfifo src/kept; touch copies/src/kept")
    assert "kept was left out" in cli("cp", "-r", "--delete", f"{vm}:src", f"{vm}:copies").stderr
    assert cli("ls", "-q", f"{vm}:copies/src").stdout == "f\nkept\n"
    assert "use it with -r" in cli("cp", "--delete", str(tmp_path / "src/f"), f"{vm}:f", code=2).stderr


def test_cp_of_several_files_and_between_computers(cli: Cli, vm: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "down").mkdir()
    cli("cp", str(tmp_path / "a"), str(tmp_path / "b"), f"{vm}:sub")
    cli("cp", f"{vm}:sub/a", f"{vm}:sub/b", str(tmp_path / "down"))
    assert sorted(path.name for path in (tmp_path / "down").iterdir()) == ["a", "b"]
    cli("cp", f"{vm}:sub/a", f"{vm}:c")
    assert cli("cat", f"{vm}:c", f"{vm}:sub/b").stdout == "ab"
    assert cli("cp", str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "none"), code=1)


def test_ls_of_a_folder(cli: Cli, vm: str) -> None:
    cli("run", vm, "--", "mkdir -p d/e; printf 123 > d/f; chmod 640 d/f; ln -s f d/l")
    assert cli("ls", "-q", f"{vm}:d").stdout == "e\nf\nl\n"
    assert cli("ls", "-qr", f"{vm}:").stdout == "d\nd/e\nd/f\nd/l\n"
    rows = [line.split("\t") for line in cli("ls", f"{vm}:d").stdout.splitlines()]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("drwxr-xr-x", "0", "e"),
        ("-rw-r-----", "3", "f"),
        ("lrwxrwxrwx", "0", "l -> f"),
    ]
    assert json.loads(cli("ls", "--json", f"{vm}:d/f").stdout)[0]["size"] == 3
    assert cli("ls", f"{vm}:none", code=1).stderr == "arker: file not found: /home/user/none\n"
    assert "for the files" in cli("ls", "-r", code=2).stderr
    odd = os.fsdecode(b"caf\xe9")
    cli("run", vm, "--", "echo odd > d/$(printf 'caf\\351')")
    assert cli("cat", f"{vm}:d/{odd}").stdout == "odd\n"
    assert "is not UTF-8" in cli("cat", f"{odd}:f", code=2).stderr


def test_edit(cli: Cli, vm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\necho more >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(script))
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    cli("edit", f"{vm}:new")
    cli("edit", f"{vm}:new")
    assert cli("cat", f"{vm}:new").stdout == "more\nmore\n"
    monkeypatch.setenv("EDITOR", "true")
    cli("edit", f"{vm}:new")
    monkeypatch.setenv("EDITOR", "false")
    assert "nothing was written" in cli("edit", f"{vm}:new", code=1).stderr
    monkeypatch.setenv("EDITOR", "/no/editor")
    assert "set $EDITOR" in cli("edit", f"{vm}:new", code=1).stderr
    assert list(copies.iterdir()) == []


def test_edit_keeps_what_could_not_be_written(
    cli: Cli, vm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", vm, "--", "echo old > f")
    script = tmp_path / "editor"
    script.write_text(
        f'#!/bin/sh\necho mine > "$1"\n{shlex.join(command("run", vm, "--", "echo theirs > f"))}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    said = cli("edit", f"{vm}:f", code=1).stderr
    assert said.count("your copy is ") == 1
    copy = Path(said.split("your copy is ")[1].split("\n")[0])
    assert copy.read_text() == "mine\n"
    shutil.rmtree(copy.parent)
    assert cli("cat", f"{vm}:f").stdout == "theirs\n"


def test_sync(cli: Cli, vm: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a")
    (tmp_path / "src/a.pyc").write_text("a")
    (tmp_path / "src/.git").mkdir()
    (tmp_path / "src/.gitignore").write_text("*.pyc\n")
    assert cli("sync", str(tmp_path / "src"), f"{vm}:p").stdout == "+ .gitignore\n+ a.py\n"
    (tmp_path / "src/a.py").rename(tmp_path / "src/b.py")
    assert cli("sync", "--delete", str(tmp_path / "src"), f"{vm}:p").stdout == "+ b.py\n- a.py\n"
    assert cli("sync", "--ignore", "b.py", str(tmp_path / "src"), f"{vm}:p").stdout == ""
    assert f"the other way: arker cp -r {vm}:p" in cli("sync", f"{vm}:p", str(tmp_path), code=2).stderr
    assert "there is no folder" in cli("sync", str(tmp_path / "none"), f"{vm}:p", code=2).stderr


@pytest.mark.slow
def test_sync_goes_on_until_it_is_interrupted(
    environment: dict[str, str], cli: Cli, vm: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("a")
    watching = subprocess.Popen(
        command("sync", "--watch", "--delete", str(folder), f"{vm}:p"),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "+ a\n"
        # At once, or it may be copied empty first.
        (tmp_path / "b").write_text("b")
        (tmp_path / "b").rename(folder / "b")
        assert watching.stdout.readline() == "+ b\n"
        (folder / "a").unlink()
        assert watching.stdout.readline() == "- a\n"
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(60)
        watching.stdout.close()  # type: ignore[union-attr]
    assert cli("ls", "-q", f"{vm}:p").stdout == "b\n"


@pytest.mark.slow
def test_sync_goes_on_after_a_failure_that_passes(
    cli: Cli, vm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [
        ArkerError("network", "cut"),
        ArkerError("network", "cut"),
        None,
        ArkerError("not_found", "gone"),
    ]
    push = Files.push

    def failing(self: Files, *args: Any, **options: Any) -> TreeResult:
        if (failure := failures.pop(0)) is not None:
            raise failure
        done = push(self, *args, **options)
        (tmp_path / "b").touch()
        return done

    monkeypatch.setattr(Files, "push", failing)
    monkeypatch.setattr(files_module, "_FAILED_SECONDS", 0.01)
    (tmp_path / "a").touch()
    done = cli("sync", "--watch", str(tmp_path), f"{vm}:p", code=1)
    assert done.stdout == "+ a\n"
    assert done.stderr.splitlines() == ["arker: cut; trying again", "arker: gone"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["x", "y"], 2, "one of the two files must be in a computer"),
        (["-", "{vm}:"], 2, "has no name to keep"),
        (["{tmp}", "{vm}:x"], 2, "is a folder; copy it with -r"),
        (["{vm}:sub/", "{tmp}"], 2, "is a folder; copy it with -r"),
        (["{vm}:x", "{tmp}/none/"], 1, "there is no folder {tmp}/none\n"),
        (["{vm}:x", "{tmp}/none/x"], 1, "there is no folder {tmp}/none\n"),
        (["{vm}:none", "{tmp}"], 1, "none\n"),
        (["{tmp}/none", "{vm}:x"], 1, "No such file or directory\n"),
        (["{vm}:/etc", "{tmp}"], 1, "is a folder; copy it with -r\n"),
        (["{vm}:/proc/1/maps", "{tmp}"], 1, "bad_request"),
        (["{vm}:x", "/dev/null"], 1, "not a regular file"),
        (["{vm}-none:x", "{tmp}"], 1, "there is no computer"),
    ],
)
def test_cp_refuses_in_one_line(
    cli: Cli, vm: str, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    result = cli("cp", *(text.format(vm=vm, tmp=tmp_path) for text in arguments), code=code)
    assert says.format(tmp=tmp_path) in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Errno" not in result.stderr
    assert not any(tmp_path.iterdir())


def test_cp_onto_a_folder_explains_how_to_copy_into_it(cli: Cli, vm: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("content")
    cli("cp", str(tmp_path / "x"), f"{vm}:sub/")
    refused = cli("cp", str(tmp_path / "x"), f"{vm}:sub", code=1).stderr
    assert refused == f"arker: {vm}:/home/user/sub is a folder; to copy into it: {vm}:/home/user/sub/\n"


# --- on a terminal


def on_terminal(
    environment: dict[str, str],
    *args: str,
    keys: bytes = b"",
    await_prompt: str = "",
    columns: int = 100,
    before: str = "",
) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and its output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.clear()
        os.environ.update(environment, TERM="xterm-256color", COLUMNS=str(columns))
        argv = command(*args, before=before)
        os.execv(argv[0], argv)
    seen = b""
    deadline = time.monotonic() + 60
    while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if keys and seen.endswith(await_prompt.encode()):
            os.write(terminal, keys)
            keys = b""
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen.decode()


def test_a_terminal_gets_a_table(environment: dict[str, str], client: Arker, name: str) -> None:
    with client.vm("arkuntu").fork(name=name) as computer:
        code, seen = on_terminal(environment, "ls", name, columns=200)
    head, row = seen.splitlines()
    assert code == 0
    assert "\x1b[1mID" in head
    assert row.startswith(computer.id)
    assert re.search(r" local +\d+[sm] ago$", row.rstrip())


def test_a_table_fits_80_columns(environment: dict[str, str], client: Arker, name: str) -> None:
    long = f"{name}-{'x' * 60}"
    with client.vm("arkuntu").fork(name=long) as computer:
        _, seen = on_terminal(environment, "ls", name, columns=80)
        row = re.sub(r"\x1b\[\d*m", "", seen).splitlines()[1].rstrip()
        assert re.fullmatch(rf"{computer.id} +{re.escape(name[:10])}\S*… +arkuntu +local +\d+[sm] ago", row)
        assert len(row) <= 80


def test_a_narrow_terminal_gets_all_but_long_names(
    environment: dict[str, str], client: Arker, name: str
) -> None:
    with client.vm("arkuntu").fork(name=name) as computer:
        _, seen = on_terminal(environment, "ls", name, columns=20)
    assert re.search(rf"{computer.id} +{re.escape(name[:11])}… +arkuntu +local +\d+[sm] ago", seen)


def test_no_color(environment: dict[str, str], client: Arker, name: str) -> None:
    with client.vm("arkuntu").fork(name=name) as computer:
        _, seen = on_terminal({**environment, "NO_COLOR": "1"}, "ls", "--tree", name)
    assert seen == f"arkuntu\r\n└─ {name}  {computer.id}\r\n"


@pytest.mark.slow
def test_a_terminal_gets_a_progress_bar(
    environment: dict[str, str], client: Arker, name: str, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(90_000_000)
    with client.vm("arkuntu").fork(name=name) as computer:
        copy = ("cp", str(tmp_path / "large"), f"{name}:x")
        assert on_terminal(environment, *copy, before="import arker.cli.copy as c; c._PATIENCE = 1e9") == (
            0,
            "",
        )
        code, seen = on_terminal(environment, *copy, before="import arker.cli.copy as c; c._PATIENCE = 0")
        assert code == 0
        assert "large" in seen
        assert "90.0 MB" in seen
        assert re.search(r"\d [kMG]B/s", seen)  # which of them is the machine's affair
        assert computer.run("stat -c %s x").text == "90000000\n"


# --- completion


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with an `arker` to find on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    start = shlex.join(command(before="import arker.cli.names as n; n._PATIENCE = 60"))
    (folder / "arker").write_text(f'#!/bin/sh\nexec {start} "$@"\n')
    (folder / "arker").chmod(0o755)
    return folder


def completed(environment: dict[str, str], *words: str) -> list[str]:
    line = " ".join(["arker", *words])
    outcome = subprocess.run(
        command(before="import arker.cli.names as n; n._PATIENCE = 60"),
        env={**environment, "_ARKER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD":
        str(len(words))}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert outcome.stderr == ""
    return [line.split(",", 1)[1] for line in outcome.stdout.split()]


@pytest.mark.slow
def test_completion_knows_commands_options_names_and_ids(
    environment: dict[str, str], client: Arker, name: str
) -> None:
    assert completed(environment, "d") == ["doctor"]
    assert "--timeout" in completed(environment, "run", "--")
    with client.vm("arkuntu").fork(name=name) as computer:
        assert completed(environment, "rm", name[:-2]) == [name]
        assert completed(environment, "run", computer.id[:-1]) == [computer.id]
        assert completed(environment, "fork", "arku") == ["arkuntu"]
        assert f"{name}:" in completed(environment, "cp", name[:-2])


def test_completion_in_bash(environment: dict[str, str], client: Arker, name: str, installed: Path) -> None:
    arker = installed / "arker"
    script = f"""
        eval "$({shlex.quote(str(arker))} completion bash)"
        compopt() {{ :; }}
        COMP_WORDS=(arker cp {name[:-2]}) COMP_CWORD=2 COMPREPLY=()
        _arker_completion {shlex.quote(str(arker))}
        printf '%s\n' "${{COMPREPLY[@]}}"
    """
    with client.vm("arkuntu").fork(name=name):
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=100
        )
    assert (done.stdout, done.stderr) == (f"{name}:\n", "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_completion_in_fish(environment: dict[str, str], client: Arker, name: str, installed: Path) -> None:
    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"arker completion fish | source; complete -C {shlex.quote(line)}"],
            env={**environment, "PATH": f"{installed}:{os.environ['PATH']}"},
            capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    with client.vm("arkuntu").fork(name=name) as computer:
        assert offered(f"arker rm {name[:-2]}") == [f"{name}\t{computer.id}"]
        assert offered(f"arker cp {name[:-2]}") == [f"{name}:\t{computer.id}"]
    # A comma in a description does not cut it.
    assert offered("arker fork --js") == ["--json\tPrint JSON; errors too, on standard error."]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_completion_in_zsh(environment: dict[str, str], client: Arker, name: str, installed: Path) -> None:
    with client.vm("arkuntu").fork(name=name), Zsh(environment, installed) as zsh:
        zsh.type("autoload -Uz compinit; compinit -u -D\n")
        zsh.type('eval "$(arker completion zsh)"; echo read""y\n', "ready")
        # The tail alone, as zsh draws no more than what is new on the line.
        zsh.type(f"arker rm {name[:-2]}\t", f"{name[-2:]} ")
        zsh.type(f"\x15arker cp {name[:-2]}\t", f"{name[-2:]}:")
        zsh.type("\x15arker fork --pub\t", "--public ")


class Zsh:
    """An interactive zsh on a terminal of its own."""

    def __init__(self, environment: dict[str, str], installed: Path) -> None:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            path = f"{installed}:{os.environ['PATH']}"
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**environment, "PATH": path, "TERM": "dumb", "PS1": "> "})

    def __enter__(self) -> Zsh:
        self.type("", "> ")
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)

    def type(self, keys: str, until: str = "> ") -> None:
        """Type, and wait for what the terminal shows then."""
        os.write(self._terminal, keys.encode())
        seen, deadline = "", time.monotonic() + 60
        while until not in seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{until!r} did not come: {seen!r}"
            seen += os.read(self._terminal, 65536).decode()


def test_completion_of_a_deployment_that_is_not_there_is_silent(bare: dict[str, str]) -> None:
    assert completed(bare, "rm", "x") == []
    nowhere = {
        **bare,
        "ARKER_API_KEY": "k" * 20,
        "ARKER_BASE_URL": "http://127.0.0.1:9",
        "ARKER_GLOBAL_URL": "http://127.0.0.1:9",
    }
    assert completed(nowhere, "rm", "x") == []
