"""Call every operation of the 1.3.0 client, in its own interpreter, so that its decoder reads every answer."""

import os
import pathlib
import tempfile
import time

import pytest

from arker import Arker, ArkerError

arker = Arker()
name = f"tour-{os.getpid()}"


def refused(code: str, call, *args, **kwargs) -> None:
    with pytest.raises(ArkerError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code, caught.value
    # A body that does not fit the document has no type.
    assert caught.value.body is not None, caught.value.raw


vm = arker.fork(source_vm_name="arkuntu", name=name, description="A tour.", idempotency_key=name)
try:
    # Computers
    assert (
        arker.fork(source_vm_name="arkuntu", name=name, description="A tour.", idempotency_key=name).id
        == vm.id
    )
    refused("conflict", arker.fork, source_vm_name="arkuntu", idempotency_key=name)
    refused("already_exists", arker.fork, source_vm_name="arkuntu", name=name)
    refused("not_found", arker.fork, source_vm_name="no-such-base")
    refused("unsupported_operation", arker.fork, image="debian:12")
    refused(
        "unsupported_operation",
        arker.fork,
        source_vm_name="arkuntu",
        policies={"rules": {}, "secrets": {"a": "b"}},
    )
    assert arker.get_vm(name).vm_id == vm.id
    assert arker.get_vm(vm.id).description == "A tour."
    assert vm.update(description="").description is None
    refused("unsupported_operation", vm.update, vcpu=8)
    refused("unsupported_operation", vm.get_policies)
    refused("not_found", arker.get_vm, "01KB3M8Q7ZC4V5W6X7Y8Z9A0B1")
    refused("forbidden", arker.vm("arkuntu").run, "true")
    listed, cursor = [], None
    while True:
        page = arker.list_vms(cursor=cursor, limit=1)
        listed += page.vms
        if (cursor := page.next_cursor) is None:
            break
    (mine,) = [item for item in listed if item.id == vm.id]
    # The key goes nowhere else.
    assert mine.base_url == arker.base_url
    assert [item.name for item in arker.list_vms(org_id="ArkerHQ", public=True)] == ["arkuntu"]
    assert arker.list_vms(region="mars").vms == []

    # Runs
    done = vm.run("echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_code, done.state) == ("out\n", "err\n", 3, "completed")
    assert vm.run(r"printf '\377'").stdout_bytes == b"\xff"
    assert vm.run("sleep 30", timeout=1).exit_code == 124
    whole = vm.run("setsid -f sh -c 'sleep 0.2; echo daemon'; exit 3", end_symbol="none")
    assert (whole.stdout, whole.exit_code) == ("daemon\n", 3)
    once = vm.run("echo $RANDOM", idempotency_key="run").stdout
    assert vm.run("echo $RANDOM", idempotency_key="run").stdout == once
    background = vm.run(
        "echo begun; until [ -e /home/user/go ]; do sleep 0.05; done; echo done", time_to_background=0
    )
    queued = vm.run("echo queued", time_to_background=0)
    assert vm.get_run(queued.run_id).state == "pending"
    while vm.get_run(background.run_id).stdout != "begun\n":
        time.sleep(0.05)
    assert vm.get_run(background.run_id).state == "running"
    vm.run("touch /home/user/go", session_idx=1)
    while vm.get_run(queued.run_id).state != "completed":
        time.sleep(0.05)
    ended = vm.get_run(background.run_id)
    assert (ended.stdout, ended.state, ended.exit_code) == ("begun\ndone\n", "completed", 0)
    assert vm.cancel_run(background.run_id).cancelled is False
    hung = vm.run("sleep 100", time_to_background=0)
    after = vm.run("sleep 100", time_to_background=0)
    for run in (after, hung):
        assert vm.cancel_run(run.run_id).cancelled is True
    for run in (after, hung):
        while vm.get_run(run.run_id).state != "cancelled":
            time.sleep(0.05)
    hung = vm.run("exec sleep 100", time_to_background=0, session_idx=1)
    while vm.get_run(hung.run_id).state != "running":
        time.sleep(0.05)
    vm.run(None, signal="SIGKILL", session_idx=1)
    while vm.get_run(hung.run_id).state != "completed":
        time.sleep(0.05)
    refused("not_found", vm.run, None, signal="SIGINT", session_idx=1)
    refused("not_found", vm.run, "true", session_id="no-such-session")
    refused("not_found", vm.get_run, "run_none")
    assert {run.state for run in vm.list_runs().runs} == {"completed", "cancelled"}
    first = vm.list_runs(limit=2, state="completed")
    second = vm.list_runs(limit=2, state="completed", cursor=first.next_cursor)
    assert len({run.run_id for run in [*first.runs, *second.runs]}) == 4

    # Sessions
    session = vm.create_session(env={"GREETING": "hel'lo"}, cwd="/tmp")
    assert vm.run('echo "$GREETING $PWD"', session_id=session.session_id).stdout == "hel'lo /tmp\n"
    assert vm.get_session(session.session_id).cwd == "/tmp"
    assert {one.session_idx for one in vm.list_sessions().sessions} >= {0, 1, session.session_idx}
    vm.update_session(session.session_id, cols=100, rows=40, timeout_secs=60)
    lasting = vm.run("sleep 100", session_id=session.session_id, time_to_background=0)
    assert vm.delete_session(session.session_id).deleted
    assert vm.get_run(lasting.run_id).state == "cancelled"
    refused("not_found", vm.run, "true", session_id=session.session_id)
    refused("bad_request", vm.create_session, cwd="/no/such/folder")

    # Files
    vm.sync("/tmp/file", b"\0\xff")
    assert vm.sync("/tmp/file") == b"\0\xff"
    assert vm.sync("/etc/hostname")
    refused("not_found", vm.sync, "/tmp/nothing")
    refused("bad_request", vm.sync, "/etc/hostname", b"x")
    with tempfile.TemporaryDirectory() as folder:
        for path in ("a.txt", "deep/b.txt"):
            file = pathlib.Path(folder) / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(path)
        assert vm.sync_dir(folder, "/home/user/tree").sent == 2
        assert vm.sync_dir(folder, "/home/user/tree").sent == 0
    assert vm.sync("/home/user/tree/deep/b.txt") == b"deep/b.txt"

    # File systems
    filesystem = arker.create_filesystem(name=name)
    refused("already_exists", arker.create_filesystem, name=name)
    assert arker.get_filesystem(filesystem.filesystem_id).name == name
    assert [one.name for one in arker.list_filesystems(name_prefix=name).filesystems] == [name]
    others = [vm.fork(name=f"{name}-{n}") for n in range(2)]
    for other in others:
        mount = other.create_mount(filesystem_id=filesystem.filesystem_id, path="/root/shared")
        assert mount.state == "attaching"
        again = other.create_mount(filesystem_id=filesystem.filesystem_id, path="/root/shared")
        assert again.mount_id == mount.mount_id
        refused("conflict", other.create_mount, filesystem_id=filesystem.filesystem_id, path="/mnt/elsewhere")
        refused(
            "unsupported_operation",
            other.create_mount,
            filesystem_id=filesystem.filesystem_id,
            path="/usr/x",
        )
    others[0].run("echo shared > /root/shared/file")
    assert others[1].run("cat /root/shared/file").stdout == "shared\n"
    assert [mount.state for mount in others[1].list_mounts().mounts] == ["mounted"]
    refused("unsupported_operation", arker.delete_filesystem, filesystem.filesystem_id)
    assert others[0].delete_mount(mount_id=others[0].list_mounts().mounts[0].mount_id).deleted
    for other in others:
        other.delete()
    third = vm.fork()
    third.create_mount(filesystem_id=filesystem.filesystem_id)
    assert third.run(f"cat /mnt/{name}/file").stdout == "shared\n"
    third.delete()
    assert arker.delete_filesystem(filesystem.filesystem_id).deleted
    refused("not_found", arker.get_filesystem, filesystem.filesystem_id)

    # The organization
    assert arker.whoami().org_id
    assert arker.list_regions().regions
    key = arker.create_api_key(name="Tour of keys!")
    assert key.api_key_id.startswith("tour-of-keys-")
    assert Arker(api_key=key.key).get_vm(vm.id).id == vm.id
    limited = arker.create_api_key(name="limited", scopes=[{"vm_id": vm.id}])
    assert Arker(api_key=limited.key).vm(vm.id).run("echo x").stdout == "x\n"
    refused("forbidden", Arker(api_key=limited.key).fork, source_vm_name="arkuntu")
    refused("not_found", Arker(api_key=limited.key).get_vm, "arkuntu")
    arker.revoke_api_key(limited.api_key_id)
    assert key.api_key_id in [one.api_key_id for one in arker.list_api_keys().api_keys]
    arker.revoke_api_key(key.api_key_id)
    refused("unauthorized", Arker(api_key=key.key).get_vm, vm.id)
    rows = arker.list_runs(vm=vm.id, limit=200).rows
    assert {"echo queued"} <= {row.command for row in rows}
    refused("not_found", arker.list_pools)
finally:
    assert vm.delete().deleted
refused("not_found", vm.delete)
print("the whole tour")
