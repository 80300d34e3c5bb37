"""Forks, names, quotas, lists; and errors of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from arker.local.engine import protocol as engine
from arker.local.service import platform
from arker.local.service.idempotency import Idempotency
from arker.local.service.reserve import Reserve
from arker.local.storage.errors import DiskFull

from .kit import BASE, PRIVATE, Bench, chunk, code, command, fork, other_client, ulid, write


class TestForks:
    async def test_names_mean_own_computers_then_images_then_public_ones(self, bench: Bench) -> None:
        async with bench.client() as client, other_client(bench, client) as other:

            async def source() -> str:
                answer = await client.post("/api/v1/vms/fork", json={**PRIVATE, "from": "debian"})
                return str(answer.json().get("parent_vm_id") or code(answer))

            assert await source() == "not_found"
            public = await fork(other, name="debian", is_public=True)
            assert await source() == public
            # An image that was built while the deployment runs is there at once.
            bench.engine.names.append("debian")
            image = await source()
            assert image not in (public, "not_found")
            assert (await client.get(f"/api/v1/vms/{image}")).json()["owner_org_id"] == "org_arker"
            own = await fork(client, name="debian")
            assert await source() == own
            second = await fork(client, name="debian")
            answer = await client.post("/api/v1/vms/fork", json={**PRIVATE, "from": "debian"})
            assert code(answer) == "conflict"
            assert own in answer.json()["error"]["message"]
            assert second in answer.json()["error"]["message"]

    async def test_forks_of_a_new_image_at_the_same_time(self, bench: Bench) -> None:
        async with bench.client() as client:
            bench.engine.names.append("debian")
            answers = await asyncio.gather(
                *(client.post("/api/v1/vms/fork", json={**PRIVATE, "from": "debian"}) for _ in range(20))
            )
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.json()["parent_vm_id"] for answer in answers}) == 1

    async def test_there_is_one_region(self, bench: Bench) -> None:
        async with bench.client() as client:
            await fork(client, region="local")
            answer = await client.post(f"/api/v1/vms/{BASE}/fork", json={**PRIVATE, "region": "mars"})
            assert code(answer) == "bad_request"
            assert "`local`" in answer.json()["error"]["message"]
            (region,) = (await client.get("/api/v1/regions")).json()["regions"]
            assert region["region"] == "local"
            assert region["endpoint"] == "http://arker.test"

    async def test_a_fork_of_an_image_that_is_being_removed_leaves_nothing(self, bench: Bench) -> None:
        bench.engine.names.append("debian")
        async with bench.client() as client:
            create = bench.engine.create

            async def slow(vm_id: str, image: str) -> None:
                await create(vm_id, image)
                await bench.database.execute("DELETE FROM vms WHERE name = 'debian'")

            bench.engine.create = slow  # type: ignore[method-assign]
            refused = await client.post("/api/v1/vms/fork", json={"is_public": False, "from": "debian"})
            assert (refused.status_code, code(refused)) == (404, "not_found")
            assert not bench.engine.files

    async def test_a_quota_holds_also_for_forks_at_once(self, make_bench: Callable[..., Bench]) -> None:
        bench = make_bench(max_vms=3)
        async with bench.client() as client:
            answers = await asyncio.gather(
                *(client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE) for _ in range(10))
            )
            assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 7
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert code(refused) == "quota_exceeded"
            assert int(refused.headers["retry-after"]) >= 1
            assert len(bench.engine.files) == 3
            await client.delete(f"/api/v1/vms/{next(iter(bench.engine.files))}")
            await fork(client)

    async def test_a_list_shows_each_page_once(self, bench: Bench) -> None:
        async with bench.client() as client:
            made = [await fork(client, name=f"n{n:02}") for n in range(7)]
            for sort, expected in [("created_at", made), ("-created_at", made[::-1])]:
                seen = []
                for offset in (0, 3, 6):
                    page = await client.get(
                        "/api/v1/vms/list", params={"limit": 3, "offset": offset, "sort": sort}
                    )
                    assert page.json()["total"] == 7
                    seen += [item["vm_id"] for item in page.json()["items"]]
                assert seen == expected
            found = (await client.get("/api/v1/vms/list?q=n03")).json()
            assert [item["name"] for item in found["items"]] == ["n03"]
            assert found["total"] == 1
            beyond = (await client.get(f"/api/v1/vms/list?offset={10**17}")).json()
            assert beyond == {"items": [], "total": 7}
            # What looks like a pattern is text.
            assert (await client.get("/api/v1/vms/list", params={"q": "n%"})).json()["total"] == 0


class TestEngineTrouble:
    @pytest.mark.parametrize(
        ("error", "status", "expected"),
        [
            (engine.VmMissing("x"), 404, "not_found"),
            (engine.FileMissing("x"), 404, "not_found"),
            (engine.FileRefused("x"), 400, "bad_request"),
            (engine.FileTooLarge("x"), 413, "payload_too_large"),
            (engine.ComputerFull("x"), 413, "payload_too_large"),
            (engine.StorageFull("x"), 503, "unavailable"),
            (engine.SandboxUnavailable("x"), 503, "unavailable"),
            (engine.EngineError("x"), 500, "internal"),
            (RuntimeError("secret detail"), 500, "internal"),
        ],
        ids=lambda value: type(value).__name__,
    )
    async def test_each_has_its_code(
        self, bench: Bench, error: Exception, status: int, expected: str
    ) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.fail = error
            answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"})
            assert (answer.status_code, code(answer)) == (status, expected)
            assert "secret" not in answer.text
            assert "Traceback" not in answer.text

    async def test_an_entry_that_fails_leaves_the_others_alone(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.fail = engine.StorageFull("full")
            first, second, third = await write(
                client,
                vm,
                chunk("/home/user/a", b"a", ulid("A")),
                chunk("/home/user/b", b"b", ulid("B")),
                chunk("/home/user/../c", b"c", ulid("C")),
            )
            assert first["error"]["code"] == "unavailable"
            assert not first["written"]
            assert second["written"]
            assert third["error"]["code"] == "bad_request"
            assert list(bench.engine.files[vm]) == ["/home/user/b"]

    async def test_a_fork_that_cannot_be_noted_leaves_nothing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with bench.client() as client:

            async def full(*_: object, **__: object) -> None:
                raise OSError("the disk is full")

            with monkeypatch.context() as patch:
                patch.setattr(bench.database, "write", full)
                answer = await client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE)
                assert code(answer) == "internal"
            assert bench.engine.files == {}
            assert (await client.get("/api/v1/vms/list")).json()["total"] == 0

    async def test_health_is_the_same_in_all_places(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING", "arker.platform")
        free = 0
        monkeypatch.setattr(Reserve, "free", lambda _: free)
        async with bench.client() as client:
            for _ in range(2):
                assert (await client.get("/api/v1/health")).status_code == 503
                assert "\narker_healthy 0" in (await client.get("/metrics")).text
            free = 1 << 40
            assert "\narker_healthy 1" in (await client.get("/metrics")).text
            assert (await client.get("/api/v1/health")).status_code == 200
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", "unhealthy: the disk of the state folder is full (0 MiB free)"),
            ("WARNING", "healthy again"),
        ]

    async def test_a_full_disk_puts_off_sweeping_and_is_told_once(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING", "arker.platform")
        rounds = asyncio.Semaphore(0)

        async def sweep(_: Idempotency) -> None:
            rounds.release()
            raise DiskFull("the disk is full")

        monkeypatch.setattr(platform, "SWEEP_EVERY", 0)
        monkeypatch.setattr(Idempotency, "sweep", sweep)
        async with bench.client():
            for _ in range(4):
                await rounds.acquire()
        assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
            ("the regular cleanup is postponed: the disk is full", None)
        ]

    async def test_health_says_what_is_wrong_until_it_is_not(self, bench: Bench) -> None:
        async with bench.client() as client:
            assert (await client.get("/api/v1/health")).json()["status"] == "ok"
            vm = await fork(client)
            bench.engine.fail = engine.SandboxUnavailable("no user namespaces here")
            assert code(await command(client, vm, "id")) == "unavailable"
            answer = await client.get("/api/v1/health")
            assert (answer.status_code, code(answer)) == (503, "unavailable")
            assert "no user namespaces here" in answer.text
            assert (await command(client, vm, "id")).status_code == 200
            assert (await client.get("/api/v1/health")).status_code == 200
