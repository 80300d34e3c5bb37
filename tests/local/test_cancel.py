"""A run can be cancelled by its Idempotency-Key, also before it is answered or has arrived."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from arker.local.engine import protocol as engine
from arker.local.service import runs
from arker.local.service.errors import ApiError
from arker.local.service.recorded import Recorded
from arker.local.storage.notes import Identity
from arker.local.storage.runs import RunRow, RunRows

from .kit import Bench, code, command, fork, other_client


async def cancel(client: httpx.AsyncClient, vm: str, key: str) -> bool:
    answer = await client.post(f"/api/v1/local/vms/{vm}/runs/cancel", json={"idempotency_key": key})
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["cancelled"])


async def forever(text: str) -> engine.RunOutcome:
    await asyncio.Event().wait()
    raise AssertionError


async def started(bench: Bench) -> None:
    while not bench.engine.commands:
        await asyncio.sleep(0)


async def test_a_run_under_way_ends_and_its_session_is_free(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        bench.engine.command = forever
        waiting = asyncio.create_task(command(client, vm, "train", "k"))
        await started(bench)
        assert await cancel(client, vm, "k")
        answer = await asyncio.wait_for(waiting, 60)
        assert answer.json()["exit_code"] == 143
        # What came of it is known under its key, and it is over.
        assert (await command(client, vm, "train", "k")).json() == answer.json()
        assert not await cancel(client, vm, "k")
        bench.engine.command = None
        assert (await command(client, vm, "next")).status_code == 200


async def test_a_client_that_was_cut_off_can_cancel_its_run(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        bench.engine.command = forever
        waiting = asyncio.create_task(command(client, vm, "train", "k"))
        await started(bench)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert bench.engine._live
        assert await cancel(client, vm, "k")
        async with asyncio.timeout(60):
            while bench.engine._live:
                await asyncio.sleep(0)


async def test_a_cancellation_that_overtakes_its_run_keeps_it_from_starting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        assert await cancel(client, vm, "k")
        refused = await command(client, vm, "rm -r *", "k")
        assert (refused.status_code, code(refused)) == (409, "conflict")
        assert not bench.engine.commands
        # It was for that run alone, and is not remembered forever.
        assert (await command(client, vm, "id", "k")).status_code == 200
        monkeypatch.setattr(runs, "EARLY", 0)
        assert await cancel(client, vm, "later")
        assert (await command(client, vm, "id", "later")).status_code == 200


async def test_a_cancellation_overtakes_a_run_of_contract_0_3_as_well(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        assert await cancel(client, vm, "k")
        run, key = {"command": "x"}, {"Idempotency-Key": "k"}
        answer = await client.post(f"/v1/vms/{vm}/runs", json=run, headers=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
        assert not bench.engine.commands
        assert (await client.post(f"/v1/vms/{vm}/runs", json=run, headers=key)).status_code == 200


async def test_a_run_that_has_not_started_yet_is_cancelled(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        begun = asyncio.Event()

        async def slow(*_: object, **__: object) -> engine.Run:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        bench.engine.start_run = slow  # type: ignore[method-assign]
        waiting = asyncio.create_task(command(client, vm, "train", "k"))
        await begun.wait()
        assert await cancel(client, vm, "k")
        assert code(await asyncio.wait_for(waiting, 60)) == "conflict"


async def test_a_cancellation_that_comes_before_a_run_is_under_way_keeps_it_from_starting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        run, key = {"command": "x"}, {"Idempotency-Key": "k"}
        ended: list[str] = []

        # While the session of a started run is made.
        async def copy(vm_id: str, source: str, target: str) -> None:
            assert await cancel(client, vm, "k")

        async def end(vm_id: str, session_id: str) -> None:
            ended.append(session_id)

        monkeypatch.setattr(bench.engine, "copy_session", copy)
        monkeypatch.setattr(bench.engine, "end_session", end)
        answer = await client.post(f"/api/v1/local/vms/{vm}/runs", json=run, headers=key)
        assert code(answer) == "conflict"
        while not ended:
            await asyncio.sleep(0)
        assert ended[0].startswith("run-")

        # While the record of a run is saved.
        save = RunRows.save

        async def saving(self: RunRows, *given: Any, **options: Any) -> None:
            monkeypatch.setattr(RunRows, "save", save)
            assert await cancel(client, vm, "k")
            await save(self, *given, **options)

        monkeypatch.setattr(RunRows, "save", saving)
        answer = await client.post(f"/v1/vms/{vm}/runs", json=run, headers=key)
        assert answer.json()["state"] == "cancelled"
        assert not bench.engine.commands


async def test_a_session_that_ends_in_the_moment_in_which_its_run_begins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        recorded: Recorded = client._transport.app.state.context.platform.recorded  # type: ignore[attr-defined]
        save = RunRows.save
        ending: list[asyncio.Task[None]] = []

        async def saving(self: RunRows, row: RunRow, *given: Any, **options: Any) -> None:
            monkeypatch.setattr(RunRows, "save", save)
            await save(self, row, *given, **options)
            ending.append(asyncio.create_task(recorded.cancel_session(vm, row.session_id)))

        monkeypatch.setattr(RunRows, "save", saving)
        asked = client.post(f"/v1/vms/{vm}/runs", json={"command": "x"})
        assert (await asyncio.wait_for(asked, 60)).json()["state"] == "cancelled"
        await ending[0]
        assert not bench.engine.commands


async def test_a_cancellation_in_the_moment_in_which_a_run_begins(bench: Bench) -> None:
    async with bench.platform() as platform:
        made = Identity("local", "run:a", "k")

        async def work() -> bytes:
            raise AssertionError

        asked = asyncio.create_task(platform.runs._idempotency.once(made, b"", work, journal=True))
        await asyncio.sleep(0)
        assert platform.runs._idempotency.cancel(made)
        with pytest.raises(ApiError, match="cancelled before it began"):
            await asked
        assert not platform.runs._idempotency.known(made)


async def test_only_its_own_organization_can(bench: Bench) -> None:
    async with bench.client() as client, other_client(bench, client) as other:
        vm = await fork(client, is_public=True)
        bench.engine.command = forever
        waiting = asyncio.create_task(command(client, vm, "train", "k"))
        await started(bench)
        answer = await other.post(f"/api/v1/local/vms/{vm}/runs/cancel", json={"idempotency_key": "k"})
        assert code(answer) == "forbidden"
        assert bench.engine._live
        assert await cancel(client, vm, "k")
        await waiting
