"""Which deployment a command finds, how to configure one, and how to serve one."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from arker.cli import local, profiles
from arker.local.process.launcher import Deployment, launch
from tests.cli.conftest import command, invoke
from tests.cli.test_commands import on_terminal

# --- profiles


def test_a_profile_is_added_used_and_removed(bare: dict[str, str], deployment: Deployment) -> None:
    added = invoke(
        "config", "add", "mine", "--base-url", deployment.base_url, input=f"{deployment.api_key}\n"
    )
    assert added.stdout == ""
    assert added.stderr.startswith(f"mine is {deployment.base_url}, its key is in ")
    assert added.stderr.endswith("; mine is now in use\n")
    assert json.loads(invoke("whoami", "--json").stdout)["global_url"] == deployment.base_url

    invoke("config", "add", "other", "--base-url", "http://127.0.0.1:9", "--no-check", input="k" * 20)
    assert "whoami" not in invoke("config", "use", "other").output
    assert invoke("whoami", code=1).stderr.startswith("arker: network: ")
    assert "org_local" in invoke("whoami", "--profile", "mine").stdout

    rows = {row["name"]: row for row in json.loads(invoke("config", "list", "--json").stdout)}
    assert [name for name, row in rows.items() if row["used"]] == ["other"]
    assert list(rows) == ["mine", "other", "local"]

    invoke("config", "remove", "other")
    assert "no profile 'other'" in invoke("whoami", "--profile", "other", code=2).stderr
    invoke("config", "remove", "mine")
    assert json.loads(Path(bare["XDG_CONFIG_HOME"], "arker", "keys.json").read_text()) == {}


def test_a_key_is_never_shown(bare: dict[str, str], deployment: Deployment) -> None:
    key = deployment.api_key
    shown = [invoke("config", "add", "mine", "--base-url", deployment.base_url, input=key)]
    shown += [
        invoke("config"),
        invoke("config", "list", "--json"),
        invoke("whoami"),
        invoke("whoami", "--json"),
    ]
    shown += [invoke("config", "add", "bad", "--base-url", deployment.base_url, input=f"{key}wrong", code=1)]
    assert not any(key in result.output for result in shown)
    config = Path(bare["XDG_CONFIG_HOME"], "arker")
    assert key not in (config / "config.json").read_text()
    assert [file.name for file in config.iterdir() if key in file.read_text()] == ["keys.json"]


def test_a_key_that_is_not_valid_is_not_kept(bare: dict[str, str], deployment: Deployment) -> None:
    refused = invoke("config", "add", "mine", "--base-url", deployment.base_url, input="k" * 20, code=1)
    assert refused.stderr.startswith("arker: unauthorized: ")
    assert not Path(bare["XDG_CONFIG_HOME"]).exists()


def test_a_key_is_asked_for_without_echo(bare: dict[str, str], deployment: Deployment) -> None:
    add = ("config", "add", "mine", "--base-url", deployment.base_url)
    code, seen = on_terminal(bare, *add, keys=f"{deployment.api_key}\n".encode(), await_prompt="API key: ")
    assert (code, deployment.api_key in seen) == (0, False)
    assert "org_local" in invoke("whoami").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "local"], "is built in"),
        (["add", "a/b"], "cannot name a profile"),
        (["add", "a"], "no API key came"),
        (["add", "a", "--base-url", "x"], "a URL begins with"),
        (["use", "none"], "there is no profile 'none'; there are: local"),
        (["remove", "none"], "there is no profile"),
    ],
)
def test_invalid_profiles_are_refused(bare: dict[str, str], arguments: list[str], says: str) -> None:
    result = invoke("config", *arguments, input="", code=2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_key_does_not_travel_in_clear(bare: dict[str, str]) -> None:
    add = ["config", "add", "mine", "--base-url", "http://example.org", "--no-check"]
    refused = invoke(*add, input="k" * 20, code=2).stderr
    assert "in clear" in refused
    assert "--allow-http" in refused
    assert "True" not in refused
    invoke(*add, "--allow-http", input="k" * 20)


def test_config_use_warns_about_variables_that_take_precedence(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("config", "use", "local").stderr == ""
    monkeypatch.setenv("ARKER_API_KEY", "k" * 20)
    assert (
        "ARKER_API_KEY or ARKER_BASE_URL is set and takes precedence over"
        in invoke("config", "use", "local").stderr
    )
    monkeypatch.setenv("ARKER_PROFILE", "none")
    assert "ARKER_PROFILE is set and takes precedence over" in invoke("config", "use", "local").stderr
    assert "ARKER_PROFILE names none, which does not exist" in invoke("config").stderr


def test_a_url_in_the_environment_gets_no_key_of_a_profile(
    bare: dict[str, str], deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("config", "add", "mine", "--base-url", deployment.base_url, input=deployment.api_key)
    monkeypatch.setenv("ARKER_BASE_URL", "http://127.0.0.1:9")
    assert invoke("whoami", code=2).stderr.startswith(
        "arker: ARKER_API_KEY is not set, but ARKER_BASE_URL is"
    )
    monkeypatch.delenv("ARKER_BASE_URL")
    assert "ARKER_API_KEY is not set;" in invoke("whoami", "--profile", "environment", code=2).stderr


@pytest.mark.parametrize("url", ["localhost:8720", "ftp://x", "http://example.org", "https://"])
def test_a_url_that_cannot_be_is_an_error_of_the_configuration(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ARKER_API_KEY", "k" * 20)
    monkeypatch.setenv("ARKER_BASE_URL", url)
    assert invoke("whoami", code=2).stderr.startswith("arker: ARKER_BASE_URL: ")
    refused = invoke("config", "add", "mine", "--base-url", url, input="k" * 20, code=2).stderr
    assert refused.startswith("arker: base-url: ")


def test_an_environment_that_would_send_a_key_elsewhere_is_refused(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARKER_API_KEY", "k" * 20)
    monkeypatch.setenv("ARKER_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("ARKER_GLOBAL_URL", raising=False)
    said = invoke("ls", code=2).stderr
    assert "would send its key to https://arker.ai. Set ARKER_GLOBAL_URL=http://127.0.0.1:9" in said


def test_nothing_is_configured(bare: dict[str, str]) -> None:
    result = invoke("ls", code=2)
    assert result.stderr.startswith("arker: no deployment is configured: set ARKER_API_KEY, or")
    assert json.loads(invoke("ls", "--json", code=2).stderr)["error"]["code"] == "unconfigured"
    invoke("config", "use", "local")
    assert "no deployment runs on this machine" in invoke("ls", code=2).stderr


# --- serving


@pytest.fixture
def state(bare: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own, which commands take for that of the machine; whatever serves it is stopped."""
    # Not below pytest's own folder: the deployment has to reach it when it has dropped root's powers.
    folder = Path(tempfile.mkdtemp(prefix="arker-test-"))
    monkeypatch.setenv("ARKER_STATE", str(folder))
    yield folder
    if (running := local.running(folder, stopping=True)) is not None:
        os.kill(running.pid, signal.SIGKILL)
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder)


def arker(*args: str, code: int = 0) -> str:
    """A command as a process of its own, in the environment of the test; its standard output."""
    done = subprocess.run(command(*args), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout


def gone(pid: int) -> bool:
    try:
        # It is our child's child, and init may not have got to it yet.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def exported(said: str) -> dict[str, str]:
    """The variables that a shell has after `eval "$(... | grep ^export)"`."""
    lines = [line.removeprefix("export ") for line in said.splitlines() if line.startswith("export ")]
    return {name: value.split()[0] for name, _, value in (line.partition("=") for line in lines)}


def test_a_deployment_in_the_background(state: Path) -> None:
    said = json.loads(arker("serve", "--detach", "--port", "0", "--limit", "processes=77", "--json"))
    told = arker("doctor")
    assert "\nlimits of the deployment: " in told
    assert "processes=77" in told
    assert json.loads(arker("doctor", "--json"))["limits"]["processes"] == 77
    assert said["state"] == str(state)
    assert said["new_key"].startswith("ark_")
    # Commands find it by themselves, and it answers whoever has the key.
    vm_id = arker("fork", "--name", "mine").strip()
    assert arker("run", "mine", "--", "echo here") == "here\n"
    assert json.loads(arker("whoami", "--json"))["base_url"] == said["url"]
    # One key for all commands, not one for each.
    keys = json.loads(arker("keys", "list", "--json"))
    assert sorted(key["name"].split(" of ")[0] for key in keys) == [
        "made at the first start",
        "the command line",
    ]
    assert said["new_key"] not in (state / "deployment.log").read_text()

    # The lines to export are there the second time, too, with a key that is valid.
    again = invoke("serve", "--detach", "--port", "0")
    assert f"at {said['url']} (pid {said['pid']}); `arker serve --stop` stops it" in again.stderr
    assert exported(again.stdout)["ARKER_BASE_URL"] == said["url"]
    first = exported(again.stdout)["ARKER_API_KEY"]
    asked = urllib.request.Request(
        f"{said['url']}/api/v1/whoami", headers={"Authorization": f"Bearer {first}"}
    )
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 200
    assert len(json.loads(arker("keys", "list", "--json"))) == 2
    arker("serve", "--stop")
    assert gone(said["pid"])
    assert local.running(state) is None
    arker("serve", "--stop", code=1)

    # What was there is there again, and so is the key.
    assert exported(arker("serve", "--detach", "--port", "0"))["ARKER_API_KEY"] == first
    assert arker("ls", "-q") == f"{vm_id}\n"
    arker("serve", "--stop")


@pytest.mark.parametrize(("pid", "held"), [(7, True), (8, False)])
def test_a_lock_that_is_missing_from_one_list_of_locks_is_held(
    pid: int, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lock"
    file.touch()
    line = f"1: FLOCK  ADVISORY  WRITE 7 00:1:{file.stat().st_ino} 0 EOF\n"
    lists = itertools.chain([""], itertools.repeat(line))
    monkeypatch.setattr(Path, "read_text", lambda _: next(lists))
    assert local._is_held(file, pid) == held


def test_a_deployment_that_stops_is_left_alone_and_a_second_stop_ends_it_at_once(state: Path) -> None:
    said = json.loads(arker("serve", "--detach", "--port", "0", "--grace", "100", "--json"))
    vm_id = arker("fork").strip()
    with subprocess.Popen(
        command("run", vm_id, "--", "touch begun; sleep 100"), stderr=subprocess.DEVNULL
    ) as run:
        while arker("run", "--session", "other", vm_id, "--", "ls") != "begun\n":
            pass
        with subprocess.Popen(command("serve", "--stop"), stderr=subprocess.PIPE, text=True) as first:
            while local.running(state) is not None:
                time.sleep(0.01)
            assert local.running(state, stopping=True) is not None
            assert first.poll() is None
            arker("serve", "--stop")
        assert first.returncode == 0
        run.wait(30)
    assert gone(said["pid"])


def test_a_key_that_was_revoked_is_replaced(state: Path) -> None:
    arker("serve", "--detach", "--port", "0")
    arker("ls")
    mine = next(key for key in json.loads(arker("keys", "list", "--json")) if "command line" in key["name"])
    arker("keys", "revoke", mine["key_id"])
    arker("ls")
    arker("serve", "--stop")


def test_a_key_that_cannot_be_kept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(file: Path, data: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(file))

    arker("serve", "--detach", "--port", "0")
    keys = arker("keys", "list")
    monkeypatch.setattr(profiles, "_write", read_only)
    refused = invoke("ls", code=1).stderr
    assert "XDG_CONFIG_HOME" in refused
    assert refused.count("\n") == 1
    assert arker("keys", "list") == keys, "a key was made that nobody has"
    arker("serve", "--stop")


def test_the_lock_file_of_a_killed_deployment_does_not_count_as_running(state: Path) -> None:
    said = json.loads(arker("serve", "--detach", "--port", "0", "--json"))
    os.kill(said["pid"], signal.SIGKILL)
    # The lock is free when the last thread has ended, which may be later than the process is seen to end.
    deadline = time.monotonic() + 60
    while local.running(state) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert said["url"] in (state / "lock").read_text()
    arker("ls", code=2)


def test_a_deployment_that_cannot_start_in_the_background_says_why(state: Path) -> None:
    done = subprocess.run(
        command("serve", "--detach", "--host", "192.0.2.1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    warning, refusal = done.stderr.splitlines()
    assert warning.startswith("arker: --host 192.0.2.1 lets other machines connect")
    assert refusal.startswith("arker: cannot listen on 192.0.2.1")
    assert local.running(state) is None


def test_a_terminal_is_offered_a_deployment(bare: dict[str, str], state: Path) -> None:
    environment = {**bare, "ARKER_STATE": str(state)}
    code, seen = on_terminal(environment, "fork", keys=b"n\n", await_prompt="[Y/n]: ")
    assert code == 2
    assert local.running(state) is None
    code, seen = on_terminal(environment, "fork", "--name", "first", keys=b"\n", await_prompt="[Y/n]: ")
    assert code == 0
    assert "No deployment is configured. Start one here, in the background? [Y/n]:" in seen
    vm_id = seen.splitlines()[-1]
    assert arker("ls", "-q") == f"{vm_id}\n"
    arker("serve", "--stop")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--limit", "processes"], "expected NAME=VALUE"),
        (["--limit", "processes=many"], "expected a number"),
        (["--limit", "ram=1"], "there is no limit 'ram'; there are"),
        (["--limit", "memory=0"], "memory"),
        (["--limit", "memory=1s"], "expected a size, such as 512MiB or 2GB"),
        (["--public-url", "ftp://x"], "public_url"),
        (["--port", "99999"], "is not in the range"),
    ],
)
def test_serve_refuses_in_one_line(state: Path, arguments: list[str], says: str) -> None:
    result = invoke("serve", *arguments, code=2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_keys(state: Path) -> None:
    made = json.loads(invoke("keys", "create", "--name", "mine", "--org", "Team", "--json").stdout)
    assert made["key"].startswith("ark_")
    rows = invoke("keys", "list").stdout.splitlines()
    assert [row.split("\t")[:3] for row in rows] == [[made["key_id"], "Team", "mine"]]
    assert made["key"] not in rows[0]
    assert rows[0].split("\t")[-2:] == ["all", ""]
    revoked = json.loads(invoke("keys", "revoke", made["key_id"], "--recursive", "--json").stdout)
    assert revoked == {"revoked": [made["key_id"]]}
    (listed,) = json.loads(invoke("keys", "list", "--json").stdout)
    assert listed["revoked_at"]
    assert (listed["vm_ids"], listed["made_by"]) == (None, None)
    assert "there is no valid key" in invoke("keys", "revoke", made["key_id"], code=1).stderr
    assert "organization's name" in invoke("keys", "create", "--org", "a b", code=1).stderr
    assert "no computer 'web'" in invoke("keys", "create", "--vm", "web", code=1).stderr
    many = [argument for n in range(17) for argument in ("--vm", str(n))]
    assert "at most 16 computers" in invoke("keys", "create", *many, code=1).stderr
    assert len(json.loads(invoke("keys", "list", "--json").stdout)) == 1


def test_images(state: Path) -> None:
    assert invoke("images", "list").stdout == "arkuntu\tbase\t\t01KQBYKEV5WJ7YB010603T1DCT_d8c0\n"
    assert invoke("images").stdout == invoke("images", "list").stdout
    assert json.loads(invoke("images", "list", "--json").stdout)[0]["name"] == "arkuntu"


def test_doctor(state: Path) -> None:
    told = invoke("doctor").stdout
    assert "ok      computers  one was forked and ran a command in " in told
    assert f"deployment: not running (state: {state})" in told
    assert "\ndefault limits: " in told
    assert "processes=512" in told
    assert "disk=16GiB" in told
    assert "idle=5min" in told
    checks = {check["name"]: check for check in json.loads(invoke("doctor", "--json").stdout)["checks"]}
    assert list(checks) == [
        "installed", "bwrap", "namespaces", "bash", "setsid", "python3", "node", "disk", "computers",
    ]  # fmt: skip
    assert all(check["ok"] for check in checks.values() if check["needed"])
    assert checks["python3"]["detail"].startswith("/usr/")


def test_doctor_says_what_is_missing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arker.local.process import launcher

    def launch(*_: object, **__: object) -> None:
        raise launcher.LaunchError("sandboxes cannot start: no user namespaces; sysctl ...")

    monkeypatch.setattr(launcher, "launch", launch)
    told = invoke("doctor", code=1)
    assert "fails   computers  " in told.stdout
    assert "no user namespaces; sysctl ..." in told.stdout
    assert told.stderr.count("\n") == 1
    failed = invoke("doctor", "--json", code=1)
    assert [c["name"] for c in json.loads(failed.stdout)["checks"] if c["needed"] and not c["ok"]] == [
        "computers"
    ]
    assert json.loads(failed.stderr)["error"]["code"] == "unavailable"

    def missing(name: str) -> None:
        return None

    monkeypatch.setattr(launcher.importlib.util, "find_spec", missing)
    assert "pip install 'arker[local]'" in invoke("doctor", code=1).stdout


# --- the command itself


def test_help_is_fast_and_imports_little() -> None:
    code = """
import sys, arker.cli
sys.argv[1:] = ["--help"]
try:
    arker.cli.main()
finally:
    print(*filter(sys.modules.get, sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stderr.split()}
    assert not imported & {
        "httpx",
        "httpcore",
        "pydantic",
        "attr",
        "rich",
        "starlette",
        "uvicorn",
        "sqlite3",
        "ssl",
    }
    # A machine that takes long to import click alone may take longer for the help as well.
    assert cpu_time(command("--help")) < max(0.25, 6 * cpu_time([sys.executable, "-c", "import click"]))


def cpu_time(argv: list[str]) -> float:
    """Return the least CPU time of several runs of a command, in seconds."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


@pytest.mark.parametrize(
    "name", ["fork", "ls", "run", "cp", "rm", "whoami", "config", "serve", "doctor", "keys", "images"]
)
def test_every_command_has_a_help_text(name: str) -> None:
    told = invoke(name, "--help").stdout
    assert told.startswith(f"Usage: arker {name}")
    assert f"  {name} " in invoke("--help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    script = invoke("completion", shell).stdout
    assert f"_ARKER_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run"], ["ls", "--nonsense"], ["ls", "--tre"], ["fork", "a", "b"], ["rm"]]
)
def test_a_wrong_command_line_is_reported_in_one_line(bare: dict[str, str], arguments: list[str]) -> None:
    result = invoke(*arguments, code=2)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "--help`" in result.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["fokr"], "arker fork"),
        (["delete"], "arker rm"),
        (["login"], "arker config"),
        (["config", "lst"], "arker config list"),
        (["help", "doctr"], "arker doctor"),
    ],
)
def test_a_command_that_does_not_exist_suggests_one(
    bare: dict[str, str], words: list[str], meant: str
) -> None:
    assert f"did you mean `{meant}`? See `arker" in invoke(*words, code=2).stderr


def test_help_version_and_exec_are_commands(bare: dict[str, str]) -> None:
    assert invoke("help").stdout == invoke("--help").stdout
    assert "  help " in invoke("help").stdout
    assert invoke("help", "config", "add").stdout == invoke("config", "add", "--help").stdout
    assert "`arker ls` has no command 'x'" in invoke("help", "ls", "x", code=2).stderr
    assert invoke("version").stdout == invoke("--version").stdout
    assert invoke("exec", "--help").stdout == invoke("run", "--help").stdout.replace(
        "arker run [", "arker exec ["
    )


@pytest.mark.parametrize("group", [[], ["keys"]])
def test_a_group_alone_shows_its_help(bare: dict[str, str], group: list[str]) -> None:
    told = invoke(*group, code=2)
    assert told.stdout == ""
    assert told.stderr == invoke(*group, "--help").stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "redirect", "code"),
    [
        (["config"], ">&-", 0),
        (["config"], "<&- >&- 2>&-", 0),
        (["config", "add", "a"], "<&-", 2),
        (["config", "use", "none"], "2>&-", 2),
        (["--help"], "> /dev/full", 1),
        (["config"], "> /dev/full", 1),
    ],
)
def test_streams_that_are_closed_or_full(
    bare: dict[str, str], arguments: list[str], redirect: str, code: int, unbuffered: str
) -> None:
    line = f"{shlex.join(command(*arguments))} {redirect}"
    done = subprocess.run(
        ["bash", "-c", line], env={**bare, "PYTHONUNBUFFERED": unbuffered}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == (code > 0 and "2>" not in redirect)
    assert "bug" not in done.stderr


def test_ctrl_c_while_it_is_loaded(bare: dict[str, str]) -> None:
    before = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "arker.cli.app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
    done = subprocess.run(command("ls", before=before), env=bare, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_a_bug_is_reported_in_one_line(bare: dict[str, str]) -> None:
    broken = command(
        "completion", "bash", before="import click.shell_completion as s; s.get_completion_class = None"
    )
    done = subprocess.run(broken, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("arker: internal error: TypeError: ")
    assert done.stderr.count("\n") == 1
    loud = subprocess.run(
        broken, env={**bare, "ARKER_DEBUG": "1"}, capture_output=True, text=True, check=False
    )
    assert "Traceback" in loud.stderr


def test_commands_work_over_contract_0_3_alone(bare: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with launch(contract="0.3") as deployment:
        monkeypatch.setenv("ARKER_API_KEY", deployment.api_key)
        monkeypatch.setenv("ARKER_BASE_URL", deployment.base_url)
        monkeypatch.setenv("ARKER_GLOBAL_URL", deployment.base_url)
        invoke("fork", "--name", "parent")
        invoke("fork", "parent", "--name", "child")
        ran = invoke("run", "child", "--session", "s", "--", "cd /tmp; echo $PWD; exit 3", code=3)
        assert ran.stdout == "/tmp\n"
        assert invoke("run", "child", "-s", "s", "--", "pwd").stdout == "/tmp\n"
        invoke("run", "child", "-s", "s", "--timeout", "1", "--", "sleep 60", code=124)
        lines = invoke("ls", "--tree").stdout.splitlines()
        assert [line.split()[-2] for line in lines[-2:]] == ["parent", "child"]
        assert invoke("whoami", "--json").exit_code == 0
        invoke("rm", "parent", "child")
