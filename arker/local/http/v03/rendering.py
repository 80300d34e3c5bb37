"""Resources in the format of contract 0.3. Its schemas are closed, so no fields of our own are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arker.local.http.rendering import PLATFORM, PROVIDER, end_fields, text, timestamp
from arker.local.service.computers import REGION, Computer, Look
from arker.local.service.filesystems import Filesystem, Mounted
from arker.local.service.recorded import Result, RunRow, State
from arker.local.service.sessions import Session


def vm(look: Look, sessions: Sequence[Session], resources: Mapping[str, int | None]) -> dict[str, Any]:
    """Render a computer."""
    computer = look.computer
    return {
        "vm_id": computer.vm_id,
        "owner_org_id": computer.org_id,
        "created_at": timestamp(computer.created_ms),
        "name": computer.name,
        "description": computer.description,
        "hostname": None,
        "public": computer.is_public,
        "immutable": computer.kind == "base",
        "root_source_vm_id": look.root.vm_id if look.root else None,
        "root_source_vm_name": look.root.name if look.root else None,
        "state": look.state,
        "region": REGION,
        "provider": PROVIDER,
        "last_active_at": timestamp(look.last_active_ms) if look.mine else None,
        "network": {},
        "sessions": [session(computer, one) for one in sessions],
        "resources": dict(resources),
        "platform": PLATFORM,
    }


def listed_vm(look: Look, sessions: Sequence[Session], resources: Mapping[str, int | None]) -> dict[str, Any]:
    """Render a computer in a list. Clients send their key to the host that provider and region name together, so a list
    names no provider: the host that answered is the right one."""
    return {**vm(look, sessions, resources), "provider": None}


def session(computer: Computer, one: Session) -> dict[str, Any]:
    """Render a session of a computer."""
    return {
        "session_id": one.session_id,
        "session_idx": one.index,
        "state": one.state,
        "cwd": one.cwd,
        "env": dict(one.env),
        "started_at": None if one.created_ms is None else timestamp(one.created_ms),
        **_of(computer),
    }


def run_summary(computer: Computer, run: RunRow) -> dict[str, Any]:
    """Render a run without its output."""
    return {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "command": run.command,
        "state": run.state,
        "started_at": timestamp(run.started_ms),
        "completed_at": None if run.completed_ms is None else timestamp(run.completed_ms),
        "exit_code": run.exit_code,
        "fail_reason": run.fail_reason,
        **_of(computer),
    }


def run(computer: Computer, result: Result, *, ours: bool = False) -> dict[str, Any]:
    """Render a run with its output so far; with `ours`, also what is in no contract."""
    return {
        **run_summary(computer, result.run),
        **_output(result),
        "retry_count": 0,
        **(_ours(result) if ours else {}),
    }


def run_answer(result: Result, *, ours: bool = False) -> dict[str, Any]:
    """Render the answer to a request for a run; with `ours`, also what is in no contract."""
    row = result.run
    if row.completed_ms is None:
        # The record says whether the run is waiting or running.
        return {"run_id": row.run_id, "session_id": row.session_id, "state": "running"}
    # The contract has only these states here; the exit code tells them apart, as in a shell.
    failed = row.state == State.FAILED
    return {
        "run_id": row.run_id,
        "session_id": row.session_id,
        "state": "completed" if failed else row.state,
        **_output(result),
        "exit_code": -1 if failed else row.exit_code,
        **(_ours(result) if ours else {}),
    }


def _ours(result: Result) -> dict[str, Any]:
    end = result.end
    return {} if end is None else {**end_fields(end.reason, end.usage, end.notes), "cwd": end.cwd}


def _output(result: Result) -> dict[str, Any]:
    # While the output grows, it is cut at the end of a character, so that text does not turn into base64.
    growing = result.run.completed_ms is None
    stdout, stdout_encoding = text(_whole(result.stdout) if growing else result.stdout)
    stderr, stderr_encoding = text(_whole(result.stderr) if growing else result.stderr)
    return {
        "stdout": stdout,
        "stdout_encoding": stdout_encoding,
        "stderr": stderr,
        "stderr_encoding": stderr_encoding,
    }


def _whole(data: bytes) -> bytes:
    """Remove an incomplete UTF-8 character at the end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4 if byte & 0xF8 == 0xF0 else 1
        return data[:-back] if needed > back else data
    return data


def _of(computer: Computer) -> dict[str, Any]:
    return {
        "vm_id": computer.vm_id,
        "vm_name": computer.name,
        "source_org_id": computer.org_id,
        "region": REGION,
        "provider": PROVIDER,
    }


def filesystem(one: Filesystem) -> dict[str, Any]:
    """Render a file system."""
    return {
        "filesystem_id": one.filesystem_id,
        "name": one.name,
        "owner_org_id": one.org_id,
        "created_at": timestamp(one.created_ms),
        "size_bytes": None,
        "region": REGION,
        "provider": PROVIDER,
    }


def mount(mounted: Mounted) -> dict[str, Any]:
    """Render a mount."""
    return {
        "mount_id": mounted.mount.mount_id,
        "vm_id": mounted.mount.vm_id,
        "filesystem_id": mounted.mount.filesystem_id,
        "path": mounted.mount.path,
        "region": REGION,
        "state": "mounted" if mounted.there else "attaching" if mounted.failure is None else "failed",
        "state_detail": mounted.failure,
    }
