"""Contract 0.3 on an engine in memory: names, errors, runs as resources, what is closed and what is ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from arker.local.engine import protocol as engine
from arker.local.service import activity, recorded, runs
from arker.local.service.access import Principal
from arker.local.service.errors import ApiError
from arker.local.service.keys import open_keys
from arker.local.service.sessions import index_of
from arker.local.service.terminals import TerminalSize
from arker.local.storage.activity import ActivityRows
from arker.local.storage.errors import DiskFull

from .fake import outcome
from .kit import BASE, ULID, Bench, fork, held_at_once

OLD = {"User-Agent": "Python-urllib/3.11"}


async def make(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/fork", json={"source_vm_name": "arkuntu", **body})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def start(client: httpx.AsyncClient, vm: str, command: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(
        f"/v1/vms/{vm}/runs", json={"command": command, "time_to_background": 0, **body}
    )
    assert answer.status_code in (200, 202), answer.text
    run: dict[str, Any] = answer.json()
    return run


async def until(client: httpx.AsyncClient, vm: str, run_id: str, state: str) -> dict[str, Any]:
    while True:
        run: dict[str, Any] = (await client.get(f"/v1/vms/{vm}/runs/{run_id}")).json()
        if run["state"] == state:
            return run
        assert run["state"] in ("pending", "running"), run
        await asyncio.sleep(0.005)


def error(answer: httpx.Response) -> dict[str, Any]:
    assert list(answer.json()) == ["error"]
    found: dict[str, Any] = answer.json()["error"]
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


class TestErrors:
    @pytest.mark.parametrize(
        ("contract", "said", "statuses"),
        [("both", "0.1, 0.3", [200, 200]), ("0.1", "0.1", [200, 404]), ("0.3", "0.3", [404, 200])],
    )
    async def test_every_answer_says_which_contracts_are_served(
        self, make_bench: Callable[..., Bench], contract: str, said: str, statuses: list[int]
    ) -> None:
        async with make_bench(contract=contract).client() as client:
            answers = [await client.get(path) for path in ("/api/v1/vms/list", "/api/v1/vms", "/nothing")]
            assert [answer.status_code for answer in answers] == [*statuses, 404]
            assert {answer.headers["arker-contract"] for answer in answers} == {said}

    async def test_each_contract_has_its_envelope(self, bench: Bench) -> None:
        async with bench.client() as client:
            missing = f"/api/v1/vms/{'0' * 26}"
            new = error(await client.delete(missing))
            assert (new["code"], new["details"], new["recovery"]) == (
                "not_found",
                {"resource": "vm"},
                {"work": "not_started"},
            )
            assert new["request"] == {"kind": "matched", "operation_id": "deleteVm"}
            old = (await client.delete(missing, headers=OLD)).json()
            assert (old["ok"], old["error"]["code"]) == (False, "not_found")
            # A path that only 0.1 has answers as 0.1 does, whoever asks.
            assert (await client.post(f"{missing}/fork", json={"is_public": False})).json()["ok"] is False

    async def test_unknown_paths_and_methods(self, bench: Bench) -> None:
        async with bench.client() as client:
            found = error(await client.get("/v1/nothing"))
            assert (found["code"], found["request"]) == ("not_found", {"kind": "unmatched", "method": "GET"})
            answer = await client.put("/v1/fork", json={})
            found = error(answer)
            assert (answer.status_code, found["details"]) == (405, {"allowed_methods": ["POST"]})
            assert answer.headers["allow"] == "POST"

    @pytest.mark.parametrize(
        ("contract", "operations"),
        [("0.1", "fork, run, sync"), ("0.3", "mounts, policies, runs, sessions, sync")],
    )
    async def test_an_unknown_operation_names_those_that_are_served(
        self, make_bench: Callable[..., Bench], contract: str, operations: str
    ) -> None:
        async with make_bench(contract=contract).client() as client:
            for path in ("nothing", "nothing/else"):
                answer = await client.post(
                    f"/api/v1/vms/{BASE}/{path}", headers=OLD if contract == "0.1" else {}
                )
                assert answer.status_code == 404
                assert answer.text.count(f"there are {operations}") == 1

    async def test_a_wrong_body_names_each_field(self, bench: Bench) -> None:
        async with bench.client() as client:
            answer = await client.post("/v1/fork", json={"source_vm_name": 7, "name": "", "colour": "red"})
            found = error(answer)
            fields = {one["field"]: one["message"] for one in found["details"]["violations"]}
            assert fields.keys() == {"source_vm_name", "name", "colour"}
            assert fields["colour"] == "unknown field"
            vm = (await make(client))["vm_id"]
            answer = await client.post(
                f"/api/v1/local/vms/{vm}/runs", json={"command": "x", "env": {"a b": "c", "d": 5}}
            )
            fields = {one["field"]: one["message"] for one in error(answer)["details"]["violations"]}
            assert fields.keys() == {"env.a b", "env.d"}
            assert fields["env.a b"].startswith("its name should match")
            answer = await client.post("/v1/fork", json={})
            assert error(answer)["message"].startswith("expected exactly one of source_vm_id,")
            answer = await client.get("/v1/vms", params={"limit": "many"})
            assert error(answer)["message"] == "limit: expected a whole number"

    async def test_the_error_of_a_large_body_names_the_limit(self, bench: Bench) -> None:
        async with bench.client() as client:
            answer = await client.post("/v1/fork", json={"source_vm_name": "x" * 2**17})
            assert error(answer)["details"] == {"maximum_bytes": 2**16}

    async def test_a_rate_limit_says_that_nothing_began(self, make_bench: Callable[..., Bench]) -> None:
        async with make_bench(rate_limit=0.001).client() as client:
            while (answer := await client.post("/v1/fork", json={"source_vm_name": "arkuntu"})).is_success:
                pass
            found = error(answer)
            assert answer.status_code == 429
            assert (found["code"], found["details"]) == ("rate_limited", {"limiter": "arker"})
            assert found["recovery"] == {"work": "not_started"}
            assert str(found["retry_after_seconds"]) == answer.headers["retry-after"]

    async def test_an_internal_error_has_an_unknown_outcome(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            bench.engine.fail = RuntimeError("boom")
            answer = await client.post(f"/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"})
            assert (answer.status_code, error(answer)["recovery"]) == (500, {"work": "unknown"})

    @pytest.mark.parametrize(
        ("body", "feature"),
        [
            ({"image": "debian:12"}, "platform"),
            ({"source_vm_name": "arkuntu", "nestedvirt": True}, "nested_virtualization"),
            ({"source_vm_name": "arkuntu", "disk": False}, "diskless"),
            ({"source_vm_name": "arkuntu", "resources": {"vcpu": 8}}, "platform"),
            ({"source_vm_name": "arkuntu", "policies": {"rules": {"a": {}}}}, "network_policy"),
            (
                {"source_vm_name": "arkuntu", "policies": {"rules": {}, "secrets": {"a": "b"}}},
                "network_policy",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_features_that_one_machine_lacks_are_unsupported(
        self, bench: Bench, body: dict[str, Any], feature: str
    ) -> None:
        async with bench.client() as client:
            answer = await client.post("/v1/fork", json=body)
            found = error(answer)
            assert (answer.status_code, found["code"]) == (422, "unsupported_operation")
            assert found["details"] == {"reason": "feature_not_supported", "feature": feature}

    async def test_a_change_of_nothing_needs_no_feature(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await make(client, policies={"rules": {}}, ssh_public_keys={}, resources={})
            nothing = {"policies": {"rules": {}, "secrets": {}}, "ssh_public_keys": []}
            assert (await client.patch(f"/v1/vms/{vm['vm_id']}", json=nothing)).status_code == 200
            for wrong in (
                {"policies": {}},
                {"rules": [], "secrets": {}},
                {"rules": {"A!": None}},
                {"colour": 1},
            ):
                answer = await client.patch(f"/v1/vms/{vm['vm_id']}", json={"policies": wrong})
                assert error(answer)["code"] == "bad_request"


class TestNames:
    async def test_a_path_takes_an_id_or_a_name(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await make(client, name="web")
            for path in ("/v1/vms/web", "/api/v1/vms/web", f"/v1/vms/{vm['vm_id']}"):
                assert (await client.get(path)).json()["vm_id"] == vm["vm_id"]
            run = await client.post("/api/v1/vms/web/run", json={"command": "x", "session_id": 0})
            assert run.json()["stdout"] == "x"
            assert (await client.get("/v1/vms/arkuntu")).json()["vm_id"] == BASE
            assert (await client.delete("/v1/vms/web")).json() == {"deleted": True}
            assert (await client.get("/v1/vms/web")).status_code == 404

    async def test_a_name_is_unique_in_0_3_and_ambiguous_after_0_1(self, bench: Bench) -> None:
        async with bench.client() as client:
            first = await make(client, name="web")
            for name in ("web", "arkuntu"):
                answer = await client.post("/v1/fork", json={"source_vm_name": "arkuntu", "name": name})
                assert (answer.status_code, error(answer)["code"]) == (409, "already_exists")
            second = await fork(client, name="web")
            answer = await client.get("/v1/vms/web")
            found = error(answer)
            assert (answer.status_code, found["code"]) == (409, "conflict")
            assert first["vm_id"] in found["message"]
            assert second in found["message"]

    @pytest.mark.parametrize("name", ["0" * 26, "list", "fork", ".", "..", "a\0b", "a\nb"])
    async def test_a_name_has_to_fit_into_a_path(self, bench: Bench, name: str) -> None:
        async with bench.client() as client:
            answer = await client.post("/v1/fork", json={"source_vm_name": "arkuntu", "name": name})
            assert (answer.status_code, error(answer)["code"]) == (400, "bad_request")
            vm = (await make(client))["vm_id"]
            answer = await client.patch(f"/api/v1/local/vms/{vm}", json={"name": name})
            assert (answer.status_code, error(answer)["code"]) == (400, "bad_request")
            if len(name) <= 4 and name.isprintable():
                answer = await client.post(
                    f"/api/v1/vms/{BASE}/fork", json={"is_public": False, "name": name}
                )
                assert answer.status_code == 400

    async def test_a_source_is_named_within_an_organization(self, bench: Bench) -> None:
        async with bench.client() as client:
            mine = (await make(client, name="mine"))["vm_id"]
            for scope in ({"source_org_name": "Local"}, {"source_org_id": "org_local"}):
                child = await make(client, source_vm_name="mine", **scope)
                shown = await client.get(f"/v1/vms/{child['vm_id']}", headers={"Arker-Local": "1"})
                assert shown.json()["parent_vm_id"] == mine
                answer = await client.post("/v1/fork", json={"source_vm_name": "arkuntu", **scope})
                assert error(answer)["code"] == "not_found"
            elsewhere = {"source_vm_name": "mine", "source_org_name": "ArkerHQ"}
            assert error(await client.post("/v1/fork", json=elsewhere))["code"] == "not_found"


class TestVms:
    async def test_fields_of_our_own_are_sent_on_request_only(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await make(client)
            plain = (await client.get(f"/v1/vms/{vm['vm_id']}")).json()
            ours = (await client.get(f"/v1/vms/{vm['vm_id']}", headers={"Arker-Local": "1"})).json()
            assert "parent_vm_id" not in plain
            assert ours["parent_vm_id"] == BASE
            assert plain["hostname"] is None

    async def test_a_computer_is_renamed(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm, other = await make(client, name="before"), await make(client, name="other")
            where = f"/v1/local/vms/{vm['vm_id']}"
            for name, code in (
                ("other", "already_exists"),
                ("arkuntu", "already_exists"),
                (BASE, "bad_request"),
            ):
                answer = await client.patch(f"/api{where}", json={"name": name})
                assert error(answer)["code"] == code
                assert error(answer)["recovery"] == {"work": "not_started"}
            answer = await client.patch(f"/api{where}", json={"name": "after"})
            assert answer.json() == {"vm_id": vm["vm_id"], "name": "after"}
            assert (await client.patch(f"/api{where}", json={"name": "after"})).status_code == 200
            assert (await client.get("/v1/vms/after")).json()["vm_id"] == vm["vm_id"]
            assert (await client.get("/v1/vms/before")).status_code == 404
            assert (await client.get("/v1/vms/other")).json()["vm_id"] == other["vm_id"]

    async def test_a_computer_is_stopped_with_what_runs_in_it(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)

            async def command(text: str) -> engine.RunOutcome:
                await asyncio.Event().wait()
                return outcome()

            bench.engine.command = command
            run = await start(client, vm, "x")
            await until(client, vm, run["run_id"], "running")
            answer = await client.post(f"/api/v1/local/vms/{vm}/stop")
            assert answer.json() == {"stopped": True}
            ended = await until(client, vm, run["run_id"], "failed")
            assert ended["fail_reason"] == "computer_stopped"

    async def test_a_list_goes_through_all_computers_once(self, bench: Bench) -> None:
        async with bench.client() as client:
            made = [(await make(client))["vm_id"] for _ in range(5)]
            seen: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                page = (await client.get("/v1/vms", params={"limit": 2, **cursor})).json()
                assert all(vm["provider"] is None for vm in page["vms"])
                seen += [vm["vm_id"] for vm in page["vms"]]
                if page["next_cursor"] is None:
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert seen == sorted(seen, reverse=True)
            assert set(seen) == set(made)

    @pytest.mark.parametrize(
        "query",
        [
            {"cursor": "nonsense"},
            {"limit": "0"},
            {"created_after": "2025-11-27T00:00:00"},
            {"public": "perhaps"},
            {"colour": "red"},
        ],
        ids=str,
    )
    async def test_invalid_queries_are_refused(self, bench: Bench, query: dict[str, str]) -> None:
        async with bench.client() as client:
            assert (await client.get("/v1/vms", params=query)).status_code == 400

    async def test_a_description_is_changed_and_cleared_and_not_inherited(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client, description="first"))["vm_id"]
            path = f"/v1/vms/{vm}"
            assert (await client.patch(path, json={"description": "second"})).json()[
                "description"
            ] == "second"
            child = await client.post("/v1/fork", json={"source_vm_id": vm})
            assert child.json()["description"] is None
            assert (await client.patch(path, json={})).json()["description"] == "second"
            for empty in (None, "  "):
                assert (await client.patch(path, json={"description": empty})).json()["description"] is None

    async def test_a_fork_under_a_key_is_made_once_and_missed_when_it_is_gone(self, bench: Bench) -> None:
        async with bench.client() as client:
            headers, body = {"Idempotency-Key": "k"}, {"source_vm_name": "arkuntu", "command": "begin"}
            made = [(await client.post("/v1/fork", json=body, headers=headers)).json() for _ in range(2)]
            assert made[0]["vm_id"] == made[1]["vm_id"]
            vm = made[0]["vm_id"]
            assert [run["command"] for run in (await client.get(f"/v1/vms/{vm}/runs")).json()["runs"]] == [
                "begin"
            ]
            await client.delete(f"/v1/vms/{vm}")
            answer = await client.post("/v1/fork", json=body, headers=headers)
            assert answer.status_code == 404


class TestRuns:
    async def test_a_run_waits_for_the_one_before_it(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            go = asyncio.Event()

            async def command(text: str) -> engine.RunOutcome:
                if text == "first":
                    await go.wait()
                return outcome(text.encode())

            bench.engine.command = command
            first, second = [await start(client, vm, text) for text in ("first", "second")]
            await until(client, vm, first["run_id"], "running")
            assert (await client.get(f"/v1/vms/{vm}/runs/{second['run_id']}")).json()["state"] == "pending"
            # Contract 0.1 has another answer to the same, on its own path.
            busy = await client.post(f"/api/v1/vms/{vm}/run", json={"command": "x", "session_id": 0})
            assert (busy.status_code, busy.json()["error"]["code"]) == (409, "vm_busy")
            beside = await client.post(f"/v1/vms/{vm}/runs", json={"command": "beside", "session_idx": 1})
            assert beside.json()["stdout"] == "beside"
            go.set()
            ended = await until(client, vm, second["run_id"], "completed")
            assert (ended["stdout"], ended["exit_code"]) == ("second", 0)
            assert bench.engine.commands == ["first", "beside", "second"]

    async def test_commands_that_wait_have_a_bound_and_of_long_ones_the_beginning_is_shown(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recorded, "MOST_WAITING", 20_000)
        going, go = asyncio.Event(), asyncio.Event()

        async def command(text: str) -> object:
            going.set()
            await go.wait()
            return outcome(str(len(text)).encode())

        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            bench.engine.command = command  # type: ignore[assignment]
            await start(client, vm, "first")
            await going.wait()
            second = await start(client, vm, "x" * 15_000)
            refused = await client.post(
                f"/v1/vms/{vm}/runs", json={"command": "x" * 15_000, "background": True}
            )
            assert error(refused)["code"] == "quota_exceeded"
            go.set()
            run = await until(client, vm, second["run_id"], "completed")
            assert (run["command"], run["stdout"]) == ("x" * 4096, "15000")
            assert (await start(client, vm, "x" * 15_000))["session_id"] == "0"

    async def test_large_outputs_come_into_memory_one_after_another(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs, "MAX_OUTPUTS", 3_000_000)
        most = held_at_once(monkeypatch)

        async def verbose(text: str) -> object:
            return outcome(b"x" * 1_000_000)

        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            bench.engine.command = verbose  # type: ignore[assignment]
            answer = await client.post(f"/v1/vms/{vm}/runs", json={"command": "x"})
            path = f"/v1/vms/{vm}/runs/{answer.json()['run_id']}"
            answers = await asyncio.gather(*(client.get(path) for _ in range(12)))
            assert [len(answer.json()["stdout"]) for answer in answers] == [1_000_000] * 12
        assert max(most) == 3_000_000

    async def test_a_pending_run_that_is_cancelled_never_begins(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            go = asyncio.Event()

            async def command(text: str) -> engine.RunOutcome:
                await go.wait()
                return outcome()

            bench.engine.command = command
            first, second = [await start(client, vm, text) for text in ("first", "second")]
            path = f"/v1/vms/{vm}/runs"
            for run in (second, first):
                assert (await client.delete(f"{path}/{run['run_id']}")).json() == {"cancelled": True}
                await until(client, vm, run["run_id"], "cancelled")
                assert (await client.delete(f"{path}/{run['run_id']}")).json() == {"cancelled": False}
            assert bench.engine.commands == ["first"]

    async def test_a_run_that_cannot_start_is_refused_and_recorded(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            bench.engine.fail = engine.SandboxUnavailable("no namespaces here")
            answer = await client.post(f"/v1/vms/{vm}/runs", json={"command": "x"})
            assert (answer.status_code, error(answer)["code"]) == (503, "unavailable")
            (run,) = (await client.get(f"/v1/vms/{vm}/runs")).json()["runs"]
            assert (run["state"], run["fail_reason"]) == ("failed", "no namespaces here")

    async def test_a_run_that_a_restart_cut_has_failed(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]

            async def command(text: str) -> engine.RunOutcome:
                await asyncio.Event().wait()
                raise AssertionError

            bench.engine.command = command
            run = await start(client, vm, "endless")
            await until(client, vm, run["run_id"], "running")
        async with bench.client() as client:
            found = (await client.get(f"/v1/vms/{vm}/runs/{run['run_id']}")).json()
            assert (found["state"], found["exit_code"]) == ("failed", None)
            assert "the deployment ended" in found["fail_reason"]

    async def test_the_same_request_under_a_key_is_one_run(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            headers, path = {"Idempotency-Key": "k"}, f"/v1/vms/{vm}/runs"
            answers = await asyncio.gather(
                *(client.post(path, json={"command": "x"}, headers=headers) for _ in range(5))
            )
            assert len({answer.json()["run_id"] for answer in answers}) == 1
            assert bench.engine.commands == ["x"]
            other = await client.post(path, json={"command": "y"}, headers=headers)
            assert error(other)["code"] == "idempotency_conflict"

    async def test_records_are_kept_for_a_while(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recorded, "KEPT", 3)
        async with bench.platform() as platform, bench.client() as client:
            vm = (await make(client))["vm_id"]
            ids = [(await start(client, vm, str(n)))["run_id"] for n in range(5)]
            await until(client, vm, ids[-1], "completed")
            await platform.recorded.sweep()
            kept = (await client.get(f"/v1/vms/{vm}/runs")).json()["runs"]
            assert {run["run_id"] for run in kept} == set(ids[2:])
            monkeypatch.setattr(recorded, "KEPT_MS", -1000)
            await platform.recorded.sweep()
            assert (await client.get(f"/v1/vms/{vm}/runs")).json()["runs"] == []

    @pytest.mark.parametrize(
        ("so_far", "shown"),
        [("é".encode()[:1], ""), (b"a" + "€".encode()[:2], "a"), ("é".encode(), "é"), (b"\xff", None)],
    )
    async def test_growing_output_stays_text(self, bench: Bench, so_far: bytes, shown: str | None) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            written = asyncio.Event()

            async def command(text: str) -> engine.RunOutcome:
                journal = next(iter(bench.engine._live.values())).run.journal
                journal.append(engine.Stream.STDOUT, so_far)
                written.set()
                await asyncio.Event().wait()
                raise AssertionError

            bench.engine.command = command
            run = await start(client, vm, "x")
            await written.wait()
            found = (await client.get(f"/v1/vms/{vm}/runs/{run['run_id']}")).json()
            if shown is None:
                assert found["stdout_encoding"] == "base64"
            else:
                assert (found["stdout"], found["stdout_encoding"]) == (shown, "utf-8")
            await client.delete(f"/v1/vms/{vm}/runs/{run['run_id']}")
            await until(client, vm, run["run_id"], "cancelled")


class TestSessions:
    async def test_sessions_that_are_created_at_the_same_time_are_several(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            answers = await asyncio.gather(
                *(client.post(f"/v1/vms/{vm}/sessions", json={}) for _ in range(8))
            )
            assert sorted(answer.json()["session_id"] for answer in answers) == list("12345678")

    async def test_a_repeat_under_a_key_gets_the_session_of_the_first(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            where = f"/v1/vms/{vm}/sessions"

            async def create(key: str, **body: object) -> httpx.Response:
                return await client.post(where, json=body, headers={"Idempotency-Key": key})

            both = await asyncio.gather(create("k"), create("k"))
            assert {answer.json()["session_id"] for answer in both} == {"1"}
            assert (await create("k")).json()["session_id"] == "1"
            assert (await create("other")).json()["session_id"] == "2"
            changed = await create("k", env={"A": "b"})
            assert (changed.status_code, changed.json()["error"]["code"]) == (409, "idempotency_conflict")
            await client.delete(f"{where}/1")
            assert (await create("k")).status_code == 404
            assert (await create("third")).json()["session_id"] == "3"


class TestTerminals:
    async def test_the_time_limit_of_a_session_outlives_a_restart(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits: list[float | None] = []

        async def open_terminal(*_: object, idle: float | None, **__: object) -> engine.Terminal:
            limits.append(idle)
            raise engine.LimitReached("no terminals")

        monkeypatch.setattr(bench.engine, "open_terminal", open_terminal)

        async def opened(vm: str, idle: float | None = None) -> float | None:
            async with bench.platform() as platform:
                with pytest.raises(ApiError):
                    await platform.terminals.open(vm, "0", TerminalSize(80, 24), command=None, idle=idle)
            return limits.pop()

        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            where = f"/v1/vms/{vm}/sessions/0"
            assert (await client.patch(where, json={"timeout_secs": 60})).json()["ok"]
        assert await opened(vm) == 60
        assert await opened(vm, idle=5) == 5
        async with bench.client() as client:
            await client.patch(where, json={"timeout_secs": 0})
        assert await opened(vm) is None
        async with bench.client() as client:
            await client.patch(where, json={"timeout_secs": 10**30})
            await client.delete(where)
        assert await opened(vm) is None


class TestOrganizations:
    async def test_keys_are_made_listed_and_revoked(self, bench: Bench) -> None:
        async with bench.client() as client:
            answer = await client.post("/v1/api-keys", json={"name": "A Longer Name Than Fits"})
            made = answer.json()
            assert answer.status_code == 201
            assert made["api_key_id"].startswith("a-longer-name-")
            headers = {"Authorization": f"Bearer {made['key']}"}
            assert (await client.get("/v1/whoami", headers=headers)).status_code == 200
            (listed,) = (await client.get("/v1/api-keys")).json()["api_keys"]
            assert "key" not in listed
            assert (await client.delete(f"/v1/api-keys/{made['api_key_id']}")).status_code == 204
            assert (await client.get("/v1/whoami", headers=headers)).status_code == 401
            again = await client.delete(f"/v1/api-keys/{made['api_key_id']}")
            assert error(again)["details"] == {"resource": "api_key"}

    async def test_a_key_is_limited_to_computers(self, bench: Bench) -> None:
        async with bench.client() as client:
            one, other = await make(client, name="one"), await make(client, name="other")
            shared = await make(client, name="shared", public=True)
            answer = await client.post(
                "/v1/api-keys",
                json={
                    "name": "x",
                    "scopes": [{"vm_id": one["vm_id"]}, {"vm_id": "shared"}, {"vm_id": "one"}],
                },
            )
            made = answer.json()
            both = {one["vm_id"], shared["vm_id"]}
            assert {scope["vm_id"] for scope in made["scopes"]} == both
            (listed,) = (await client.get("/v1/api-keys")).json()["api_keys"]
            assert listed["scopes"] == made["scopes"]
            client.headers["Authorization"] = f"Bearer {made['key']}"
            for vm in (one["vm_id"], "one"):
                assert (await client.post(f"/v1/vms/{vm}/runs", json={"command": "x"})).status_code == 200
            for path in (other["vm_id"], "other", BASE, "arkuntu", f"{other['vm_id']}/runs"):
                assert error(await client.get(f"/v1/vms/{path}"))["code"] == "not_found"
            assert {vm["vm_id"] for vm in (await client.get("/v1/vms")).json()["vms"]} == both
            assert (await client.get("/v1/vms?public=true&org_id=ArkerHQ")).json()["vms"] == []
            old = (await client.get("/api/v1/vms/list")).json()
            assert ({vm["vm_id"] for vm in old["items"]}, old["total"]) == (both, 2)
            rows = (await client.get("/v1/runs")).json()["rows"]
            assert {row["vm_id"] for row in rows} <= both
            assert (await client.get(f"/v1/runs?vm={other['vm_id']}")).json()["rows"] == []
            for method, path, body in [
                ("POST", "/v1/fork", {"source_vm_id": one["vm_id"]}),
                ("POST", "/v1/fork", {"source_vm_name": "arkuntu"}),
                ("GET", "/v1/api-keys", None),
                ("POST", "/v1/api-keys", {}),
                ("DELETE", f"/v1/api-keys/{made['api_key_id']}", None),
                ("GET", "/v1/filesystems", None),
                ("POST", "/v1/filesystems", {"name": "x"}),
                ("POST", "/v1/vms/one/mounts", {"filesystem_id": "x"}),
                ("DELETE", "/v1/vms/one/mounts/x", None),
            ]:
                assert error(await client.request(method, path, json=body))["code"] == "forbidden", path
            assert (await client.delete(f"/v1/vms/{one['vm_id']}")).status_code == 200

    @pytest.mark.parametrize(
        ("scopes", "code"),
        [
            ([{"vm_id": "nothing"}], "not_found"),
            ([{"vm_id": BASE}], "forbidden"),
            ([{"pool_id": "01234567-89ab-cdef-0123-456789abcdef"}], "not_found"),
            ([{}], "bad_request"),
        ],
    )
    async def test_a_key_is_not_made_for_what_is_not_there(
        self, bench: Bench, scopes: list[dict[str, str]], code: str
    ) -> None:
        async with bench.client() as client:
            answer = await client.post("/v1/api-keys", json={"name": "x", "scopes": scopes})
            assert error(answer)["code"] == code
            assert (await client.get("/v1/api-keys")).json()["api_keys"] == []

    async def test_a_key_expires_with_the_one_that_made_it(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_keys(bench.folder) as keys:
            keys.register("ark_" + "t" * 40, name="for a while", expires_in=600)
        async with bench.client() as client:
            brief = {"Authorization": f"Bearer ark_{'t' * 40}"}
            key = (await client.post("/v1/api-keys", json={}, headers=brief)).json()["key"]
            made = {"Authorization": f"Bearer {key}"}
            assert (await client.get("/v1/whoami", headers=made)).status_code == 200
            later = int(time.time() + 601) * 1000
            monkeypatch.setattr("arker.local.storage.keys._now", lambda: later)
            assert (await client.get("/v1/whoami", headers=made)).status_code == 401
            assert (await client.get("/v1/api-keys")).json() == {"api_keys": []}

    async def test_activity_is_bounded(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(activity, "MANY", 3)
        monkeypatch.setattr(activity, "KEPT", 2)
        saved = "SELECT command FROM activity ORDER BY rowid"
        me = Principal("guest", "org_local", "Local")
        async with bench.platform() as platform:
            for number in range(5):
                now = time.time_ns() // 1_000_000
                platform.activity.add(me, "run", "vm", at_ms=now, total_ms=1, command=str(number))
            async with asyncio.timeout(60):
                while len(bench.database.all(saved)) < 5:
                    await asyncio.sleep(0.005)
            await platform.activity.sweep()
            assert [row["command"] for row in bench.database.all(saved)] == ["3", "4"]
            monkeypatch.setattr(activity, "KEPT_MS", -60_000)
            await platform.activity.sweep()
            assert bench.database.all(saved) == []
            await platform.activity.sweep()

    async def test_a_full_disk_loses_no_activity(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def full(*_: object) -> None:
            raise DiskFull("the disk of the deployment is full")

        async with bench.client() as client:
            await make(client)
            with monkeypatch.context() as patch:
                patch.setattr(ActivityRows, "add", full)
                answer = await client.get("/v1/runs")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            assert [row["endpoint"] for row in (await client.get("/v1/runs")).json()["rows"]] == ["fork"]

    async def test_activity_outlives_its_computer(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            for text in ("one", "two"):
                await client.post(f"/v1/vms/{vm}/runs", json={"command": text})
            await client.delete(f"/v1/vms/{vm}")
            answer = (await client.get("/v1/runs", params={"vm": vm, "sort": "when", "dir": "asc"})).json()
            assert [row["command"] for row in answer["rows"]] == ["", "one", "two"]
            assert [row["endpoint"] for row in answer["rows"]] == ["fork", "run", "run"]
            assert (await client.get("/v1/runs", params={"search": "tw"})).json()["rows"][0][
                "command"
            ] == "two"

    async def test_runs_of_every_kind_are_listed_with_what_they_took(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)

            async def command(text: str) -> engine.RunOutcome:
                return outcome(exit_code=3 if text == "old" else 0)

            bench.engine.command = command
            bench.engine.usage = engine.Usage(cpu_seconds=1.5, peak_memory=64 * 2**20)
            await client.post(f"/api/v1/vms/{vm}/run", json={"command": "old", "session_id": 0})
            await client.post(f"/v1/vms/{vm}/runs", json={"command": "new"})
            await client.post(f"/api/v1/local/vms/{vm}/runs", json={"command": "started"})
            async with asyncio.timeout(60):
                while len(rows := (await client.get(f"/v1/runs?vm={vm}&endpoint=run")).json()["rows"]) < 3:
                    await asyncio.sleep(0.005)
            shown = {(row["command"], row["exit_code"], row["state"]) for row in rows}
            assert shown == {("old", 3, "completed"), ("new", 0, "completed"), ("started", 0, "completed")}
            assert {(row["executor_cpu_ms"], row["executor_mem_mb"]) for row in rows} == {(1500, 64)}

    async def test_calls_of_files_are_listed_too(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client, name="web"))["vm_id"]
            written = {
                "path": "/home/user/f",
                "size": 0,
                "upload_id": ULID + "N",
                "start": 0,
                "end": 0,
                "content": "",
            }
            for asked in (
                {"op": "write", "writes": [written]},
                {"op": "read", "path": "/home/user/f"},
                {"op": "read", "path": "/home/user/nothing"},
            ):
                await client.post("/v1/vms/web/sync", json=asked)
            rows = (await client.get("/v1/runs", params={"endpoint": "sync"})).json()["rows"]
            # A read of a file that does not exist was not served.
            assert [(row["vm_id"], row["path"], row["status"]) for row in rows] == [
                (vm, "/v1/vms/{id}/sync", 200)
            ] * 2

    async def test_there_are_no_pools(self, bench: Bench) -> None:
        async with bench.client() as client:
            for method, path, operation in (
                ("GET", "/v1/pools", "listPools"),
                ("POST", "/v1/pools", "createPool"),
                ("DELETE", "/v1/pools/x", "deletePool"),
                ("GET", "/v1/pools/x/workers", "listPoolWorkers"),
                ("PUT", "/v1/pools/x/workers/y/vms/z", "putWorkerVm"),
            ):
                answer = await client.request(method, path)
                found = error(answer)
                assert (answer.status_code, found["details"]) == (404, {"resource": "pool"})
                assert found["request"] == {"kind": "matched", "operation_id": operation}


class TestFiles:
    async def test_errors_name_the_file_or_the_upload(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            where = f"/v1/vms/{vm}/sync"
            missing = await client.post(where, json={"op": "read", "path": "/home/user/f"})
            assert error(missing)["details"] == {"resource": "file"}
            commit = {"path": "/home/user/f", "size": 1, "upload_id": ULID + "N"}
            (unknown,) = (await client.post(where, json={"op": "write", "writes": [commit]})).json()[
                "results"
            ]
            assert (unknown["error"]["code"], unknown["error"]["details"]) == (
                "not_found",
                {"resource": "upload"},
            )
            empty = {**commit, "size": 0, "start": 0, "end": 0, "content": ""}
            other = {**empty, "path": "/home/user/g"}
            _, taken = (await client.post(where, json={"op": "write", "writes": [empty, other]})).json()[
                "results"
            ]
            assert (taken["error"]["code"], taken["error"]["details"]) == ("conflict", {"resource": "upload"})


class TestFilesystems:
    async def test_the_engine_knows_mounts_after_a_restart(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            made = (await client.post("/v1/filesystems", json={"name": "data"})).json()
            mount = {"filesystem_id": made["filesystem_id"]}
            answer = await client.post(f"/v1/vms/{vm}/mounts", json=mount)
            assert (answer.json()["path"], answer.json()["state"]) == ("/mnt/data", "attaching")
            expected = {vm: {"/mnt/data": made["filesystem_id"]}}
            assert bench.engine.mounts == expected
        bench.engine.mounts.clear()
        async with bench.client() as client:
            assert bench.engine.mounts == expected
            used = await client.delete(f"/v1/filesystems/{made['filesystem_id']}")
            assert (used.status_code, bench.engine.deleted_filesystems) == (422, [])
            await client.delete(f"/v1/vms/{vm}")
            gone = await client.delete(f"/v1/filesystems/{made['filesystem_id']}")
            assert gone.json() == {"deleted": True}
            assert bench.engine.deleted_filesystems == [made["filesystem_id"]]

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            *((path, 200) for path in ("/mnt", "/data", "/home/user/x", "/srv/a b/c/")),
            *((path, 400) for path in ("", "/", "data", "/mnt/../etc", "/mnt//x", "/a/.", "/" + "x" * 255)),
            *(
                (path, 422)
                for path in ("/etc", "/usr/x", "/proc/x", "/home", "/home/user/", "/tmp", "/var/tmp/x")
            ),
        ],
    )
    async def test_a_mount_is_anywhere_but_in_the_system(self, bench: Bench, path: str, status: int) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            made = (await client.post("/v1/filesystems", json={"name": "data"})).json()
            answer = await client.post(
                f"/v1/vms/{vm}/mounts", json={"filesystem_id": made["filesystem_id"], "path": path}
            )
            assert answer.status_code == status
            if status == 200:
                assert answer.json()["path"] == path.rstrip("/")
            assert bool(bench.engine.mounts) is (status == 200)

    async def test_the_same_mount_at_the_same_time_is_one(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            made = (await client.post("/v1/filesystems", json={"name": "data"})).json()
            mount = {"filesystem_id": made["filesystem_id"]}
            answers = await asyncio.gather(
                *(client.post(f"/v1/vms/{vm}/mounts", json=mount) for _ in range(8))
            )
            assert len({answer.json()["mount_id"] for answer in answers}) == 1

    async def test_a_mount_that_is_not_possible_says_why(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def mounted(vm_id: str) -> dict[str, str | None]:
            return {"/mnt/one": None, "/data": "/data is not a folder"}

        async with bench.client() as client:
            vm = (await make(client))["vm_id"]
            for name, path in (("one", None), ("two", "/data"), ("three", "/later")):
                made = (await client.post("/v1/filesystems", json={"name": name})).json()
                body = {"filesystem_id": made["filesystem_id"], **({} if path is None else {"path": path})}
                await client.post(f"/v1/vms/{vm}/mounts", json=body)
            monkeypatch.setattr(bench.engine, "mounted", mounted)
            found = (await client.get(f"/v1/vms/{vm}/mounts")).json()["mounts"]
            assert [(one["path"], one["state"], one["state_detail"]) for one in found] == [
                ("/mnt/one", "mounted", None),
                ("/data", "failed", "/data is not a folder"),
                ("/later", "attaching", None),
            ]


@pytest.mark.parametrize(("name", "index"), [("0", 0), ("7", 7), ("2147483647", 2147483647)])
def test_a_number_is_its_own_index(name: str, index: int) -> None:
    assert index_of(name) == index


@pytest.mark.parametrize("name", ["build", "07", "2147483648", "99999999999", "-1"])
def test_any_other_name_has_an_index_of_the_upper_half(name: str) -> None:
    assert 2**31 <= index_of(name) < 2**32
