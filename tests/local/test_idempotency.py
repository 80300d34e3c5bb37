"""Requests with the same Idempotency-Key have one effect."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from arker.local.engine import protocol as engine
from arker.local.service.idempotency import GRACE
from arker.local.storage.errors import DiskFull
from arker.local.storage.notes import Ended, Notes

from .fake import outcome
from .kit import BASE, PRIVATE, Bench, code, command, fork, other_client


class TestIdempotency:
    async def test_a_repeat_is_answered_and_not_carried_out(self, bench: Bench) -> None:
        async with bench.client() as client:
            answers = [
                await client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE, headers={"Idempotency-Key": "k"})
                for _ in range(3)
            ]
            assert len({answer.content for answer in answers}) == 1
            (vm,) = bench.engine.files
            runs = [await command(client, vm, "date", "k") for _ in range(3)]
            assert len({answer.content for answer in runs}) == 1
            assert bench.engine.commands == ["date"]

    async def test_it_is_kept_over_restarts(self, bench: Bench) -> None:
        async with bench.client() as client:
            forked = await client.post(
                "/api/v1/vms/fork", json={**PRIVATE, "from": "arkuntu"}, headers={"Idempotency-Key": "k"}
            )
            (vm,) = bench.engine.files
            first = await command(client, vm, "date", "k")
        async with bench.client() as client:
            again = await client.post(
                "/api/v1/vms/fork", json={**PRIVATE, "from": "arkuntu"}, headers={"Idempotency-Key": "k"}
            )
            assert again.content == forked.content
            assert (await command(client, vm, "date", "k")).content == first.content
            assert bench.engine.commands == ["date"]

    async def test_another_request_under_the_same_key_is_refused(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            await command(client, vm, "one", "k")
            for answer in (
                await command(client, vm, "two", "k"),
                await command(client, vm, "one", "k", timeout=5),
            ):
                assert (answer.status_code, code(answer)) == (409, "idempotency_conflict")
            assert bench.engine.commands == ["one"]

    async def test_a_key_is_one_organization_s_one_operation_s_and_one_computer_s(self, bench: Bench) -> None:
        async with bench.client() as client, other_client(bench, client) as other:
            headers = {"Idempotency-Key": "k"}
            made = {
                (await who.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE, headers=headers)).json()["vm_id"]
                for who in (client, other)
            }
            assert len(made) == 2
            one, two = await fork(client), await fork(client)
            await command(client, one, "date", "k")
            await command(client, two, "date", "k")
            assert bench.engine.commands == ["date", "date"]

    async def test_a_fork_is_answered_again_even_if_its_source_is_gone(self, bench: Bench) -> None:
        async with bench.client() as client:
            parent = await fork(client, name="parent")
            for path, body in [
                (f"/api/v1/vms/{parent}/fork", {}),
                ("/api/v1/vms/fork", {"from": "parent"}),
            ]:
                headers = {"Idempotency-Key": "k"}
                first = await client.post(path, json={**PRIVATE, **body}, headers=headers)
                assert first.status_code == 200
            await client.delete(f"/api/v1/vms/{parent}")
            for path, body in [
                (f"/api/v1/vms/{parent}/fork", {}),
                ("/api/v1/vms/fork", {"from": "parent"}),
            ]:
                again = await client.post(path, json={**PRIVATE, **body}, headers={"Idempotency-Key": "k"})
                assert again.status_code == 200
                fresh = await client.post(path, json={**PRIVATE, **body}, headers={"Idempotency-Key": "l"})
                assert code(fresh) == "not_found"
            assert len(bench.engine.files) == 2

    async def test_a_command_of_which_the_engine_cannot_tell_does_not_run_again(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.fail = engine.OutcomeUnknown("the connection to the engine broke")
            lost = await command(client, vm, "date", "k")
            assert (lost.status_code, code(lost)) == (500, "internal")
            again = await command(client, vm, "date", "k")
            assert (again.status_code, code(again)) == (409, "conflict")
            assert bench.engine.commands == []

    async def test_a_repeat_waits_for_the_first(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            gate = asyncio.Event()

            async def slow(text: str) -> engine.RunOutcome:
                await gate.wait()
                return outcome(b"done")

            bench.engine.command = slow
            first = asyncio.create_task(command(client, vm, "make", "k"))
            while not bench.engine.commands:
                await asyncio.sleep(0)
            second = asyncio.create_task(command(client, vm, "make", "k"))
            other = await command(client, vm, "other", "k")
            assert code(other) == "idempotency_conflict"
            gate.set()
            assert (await first).content == (await second).content
            assert bench.engine.commands == ["make"]

    async def test_a_repeated_start_leaves_no_session(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended: list[str] = []

        async def end(vm_id: str, session_id: str) -> None:
            ended.append(session_id)

        monkeypatch.setattr(bench.engine, "end_session", end)
        async with bench.client() as client:
            vm = await fork(client)
            for number in (1, 2):
                headers = {"Idempotency-Key": "k"}
                answer = await client.post(
                    f"/api/v1/local/vms/{vm}/runs", json={"command": "x"}, headers=headers
                )
                assert answer.status_code == 200
                async with asyncio.timeout(10):
                    while len(ended) < number:
                        await asyncio.sleep(0)
            assert bench.engine.commands == ["x"]
            assert ended[0] == ended[1]

    async def test_a_run_that_did_not_start_leaves_the_key_free(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.busy.add((vm, "0"))
            assert code(await command(client, vm, "date", "k")) == "vm_busy"
            bench.engine.busy.clear()
            assert (await command(client, vm, "date", "k")).json()["stdout"] == "date"
            bench.engine.fail = engine.StorageFull("full")
            headers = {"Idempotency-Key": "f"}
            answer = await client.post(f"/api/v1/vms/{vm}/fork", json=PRIVATE, headers=headers)
            assert code(answer) == "unavailable"
            answer = await client.post(f"/api/v1/vms/{vm}/fork", json=PRIVATE, headers=headers)
            assert answer.status_code == 200

    async def test_an_unknown_outcome_is_reported_and_nothing_runs_again(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.fail = RuntimeError("the engine died half way")
            assert code(await command(client, vm, "pay", "k")) == "internal"
            answer = await command(client, vm, "pay", "k")
            assert code(answer) == "conflict"
            assert "unknown" in answer.json()["error"]["message"]
            assert bench.engine.commands == []

    async def test_a_run_under_way_when_the_process_ends_is_unknown_to_the_next(self, bench: Bench) -> None:
        async def forever(text: str) -> engine.RunOutcome:
            await asyncio.Event().wait()
            raise AssertionError

        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.command = forever
            waiting = asyncio.create_task(command(client, vm, "train", "k"))
            while not bench.engine.commands:
                await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        bench.engine.command = None
        async with bench.client() as client:
            assert code(await command(client, vm, "train", "k")) == "conflict"
            assert bench.engine.commands == ["train"]

    async def test_answers_that_come_fast_do_not_wait_to_be_swept(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("arker.local.service.idempotency.MAX_ANSWERS", 10_000)
        async with bench.client() as client:
            vm = await fork(client)

            async def verbose(text: str) -> engine.RunOutcome:
                return outcome(b"x" * 1000)

            bench.engine.command = verbose
            for number in range(100):
                assert (await command(client, vm, "x", f"k{number}")).status_code == 200
        (kept,) = bench.database.all("SELECT total(length(answer)) FROM idempotency")
        assert 0 < kept[0] < 20_000
        bench.engine.command = None
        async with bench.client() as client:
            assert code(await command(client, vm, "x", "k0")) == "conflict"
            assert len(bench.engine.commands) == 100

    async def test_an_answer_is_given_again_before_it_is_saved_and_saved_soon(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def states() -> list[str]:
            return [
                row["state"] for row in bench.database.all("SELECT state FROM idempotency ORDER BY rowid")
            ]

        monkeypatch.setattr("arker.local.service.idempotency.SAVED_WITHIN", 3600)
        async with bench.client() as client:
            vm = await fork(client)
            first = await command(client, vm, "date", "k")
            assert states() == ["started"]
            assert (await command(client, vm, "date", "k")).content == first.content
            # The note of the next run takes it along.
            await command(client, vm, "date", "l")
            assert states() == ["ended", "started"]
        # As does the end of the deployment.
        assert states() == ["ended", "ended"]
        monkeypatch.setattr("arker.local.service.idempotency.SAVED_WITHIN", 0.001)
        async with bench.client() as client:
            assert (await command(client, vm, "date", "l")).content
            await command(client, vm, "date", "m")
            async with asyncio.timeout(30):
                while states()[-1] != "ended":
                    await asyncio.sleep(0.001)
            assert bench.engine.commands == ["date"] * 3

    async def test_answers_that_cannot_be_saved_are_told_to_be_unknown(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def full(notes: Notes, ended: Collection[Ended]) -> None:
            raise DiskFull("the disk of the deployment is full")

        monkeypatch.setattr("arker.local.service.idempotency.SAVED_WITHIN", 0.001)
        monkeypatch.setattr(Notes, "end", full)
        async with bench.client() as client:
            vm = await fork(client)
            assert (await command(client, vm, "date", "k")).status_code == 200
            async with asyncio.timeout(30):
                while "could not be saved: the disk of the deployment is full" not in caplog.text:
                    await asyncio.sleep(0.001)
            again = await command(client, vm, "date", "k")
            assert (again.status_code, code(again)) == (409, "conflict")
            assert bench.engine.commands == ["date"]

    async def test_output_that_is_too_large_to_keep_is_not_made_again(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)

            async def flood(text: str) -> engine.RunOutcome:
                return outcome(b"x" * 2_000_000)

            bench.engine.command = flood
            first = await command(client, vm, "flood", "k")
            assert len(first.json()["stdout"]) == 2_000_000
        async with bench.client() as client:
            assert code(await command(client, vm, "flood", "k")) == "conflict"
            assert bench.engine.commands == ["flood"]

    async def test_a_run_without_waiting_requests_ends_after_a_grace(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert GRACE >= 10
        monkeypatch.setattr("arker.local.service.idempotency.GRACE", 0.05)
        ended = asyncio.Event()

        async def forever(text: str) -> engine.RunOutcome:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.command = forever
            waiting = asyncio.create_task(command(client, vm, "train", "k"))
            while not bench.engine.commands:
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait_for(ended.wait(), 60)
            # Whoever asks at this very moment, or later, is told the same.
            for _ in range(2):
                assert code(await command(client, vm, "train", "k")) == "conflict"

    @pytest.mark.parametrize("key", ["", " ", "a" * 65, "with a blank", "ü"])
    async def test_invalid_keys_are_refused(self, bench: Bench, key: str) -> None:
        async with bench.client() as client:
            headers = {b"Idempotency-Key": key.encode()}
            answer = await client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE, headers=headers)
            assert code(answer) == "bad_request"
