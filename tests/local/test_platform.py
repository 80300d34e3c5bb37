"""The platform and its web app, on an engine in memory: whose is what, and what happens in trouble."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from arker.local.engine import LocalFile
from arker.local.engine import protocol as engine
from arker.local.service.idempotency import GRACE
from arker.local.service.keys import generate, open_keys
from arker.local.storage.database import MIGRATIONS, open_database
from arker.local.storage.errors import StateError

from .conftest import BASE, KEY, Bench, run
from .fake import outcome

PRIVATE = {"is_public": False}
ULID = "01KB3M9C2D4E6F8G0H2J4K6M8"


def ulid(letter: str) -> str:
    return ULID + letter


async def fork(client: httpx.AsyncClient, source: str = BASE, **body: Any) -> str:
    answer = await client.post(f"/api/v1/vms/{source}/fork", json={**PRIVATE, **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["vm_id"])


async def command(
    client: httpx.AsyncClient, vm: str, text: str, key: str | None = None, **body: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(
        f"/api/v1/vms/{vm}/run", json={"command": text, "session_id": 0, **body}, headers=headers
    )


async def write(client: httpx.AsyncClient, vm: str, *entries: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "write", "writes": list(entries)})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def read(client: httpx.AsyncClient, vm: str, path: str) -> bytes:
    answer = (await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": path})).json()
    if "presigned_url" in answer:
        return (await client.get(answer["presigned_url"], headers={"Authorization": ""})).content
    content: str = answer["content"]
    return base64.b64decode(content) if answer["encoding"] == "base64" else content.encode()


def chunk(
    path: str, data: bytes, upload_id: str, start: int = 0, size: int | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "path": path,
        "size": len(data) if size is None else size,
        "upload_id": upload_id,
        "start": start,
        "end": start + len(data),
        "content": base64.b64encode(data).decode(),
        **more,
    }


def code(answer: httpx.Response) -> str:
    body = answer.json()
    assert body["ok"] is False
    assert body["error"]["request_id"] == answer.headers["x-request-id"]
    return str(body["error"]["code"])


def other_client(bench: Bench, client: httpx.AsyncClient, org: str = "acme") -> httpx.AsyncClient:
    """A client of another organization, of the same deployment."""
    key = generate()
    with open_keys(bench.folder) as keys:
        keys.register(key, name="", org=org)
    return httpx.AsyncClient(
        transport=client._transport, base_url=client.base_url, headers={"Authorization": f"Bearer {key}"}
    )


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Bearer ", "Basic abc", "Bearer wrong", f"Bearer {KEY}x", KEY, f"Bearer {KEY[:-1]}"],
    )
    def test_without_a_valid_key_nothing_is_answered(self, bench: Bench, header: str) -> None:
        async def test() -> None:
            async with bench.client() as client:
                for method, path in [
                    ("GET", "/api/v1/whoami"),
                    ("GET", "/api/v1/vms/list?limit=999"),
                    ("POST", f"/api/v1/vms/{BASE}/fork"),
                    ("POST", "/api/v1/vms/nonsense/run"),
                    ("DELETE", f"/api/v1/vms/{BASE}"),
                ]:
                    answer = await client.request(
                        method, path, headers={"Authorization": header}, content=b"{"
                    )
                    assert (answer.status_code, code(answer)) == (401, "unauthorized")
                    assert answer.headers["www-authenticate"] == "Bearer"

        run(test())

    def test_a_key_works_from_when_it_is_made_until_it_is_revoked(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client, other_client(bench, client) as other:
                answer = await other.get("/api/v1/whoami")
                assert answer.json()["org_name"] == "acme"
                with open_keys(bench.folder) as keys:
                    (key,) = keys.listed()
                    assert keys.revoke(key.key_id)
                    assert not keys.revoke(key.key_id)
                assert code(await other.get("/api/v1/whoami")) == "unauthorized"

        run(test())

    def test_a_revoked_key_cannot_come_back(self, bench: Bench) -> None:
        key = generate()
        with open_keys(bench.folder) as keys:
            assert keys.register(key, name="") == keys.register(key, name="again")
            keys.revoke(keys.listed()[0].key_id)
            with pytest.raises(ValueError, match="revoked"):
                keys.register(key, name="")

    def test_no_file_holds_a_key(self, bench: Bench) -> None:
        key = generate()
        with open_keys(bench.folder) as keys:
            keys.register(key, name="")
        for file in bench.folder.iterdir():
            if file.is_file():
                assert key.encode() not in file.read_bytes()
                assert key[4:].encode() not in file.read_bytes()

    def test_when_a_key_was_last_used_is_kept(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client, other_client(bench, client) as other:
                await other.get("/api/v1/whoami")
            with open_keys(bench.folder) as keys:
                assert keys.listed()[0].last_used_ms is not None

        run(test())


class TestOwnership:
    def test_a_private_computer_is_not_there_for_others(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client, other_client(bench, client) as other:
                mine = await fork(client, name="secret")
                absent = "0" * 26
                for vm in (mine, absent):
                    for answer in (
                        await other.post(f"/api/v1/vms/{vm}/fork", json=PRIVATE),
                        await command(other, vm, "id"),
                        await other.post(
                            f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"}
                        ),
                        await other.get(f"/api/v1/vms/{vm}"),
                        await other.delete(f"/api/v1/vms/{vm}"),
                    ):
                        assert answer.status_code == 404
                        # Nothing in the answer tells whether it exists.
                        assert (
                            answer.json()["error"]["message"]
                            == f"there is no computer {vm} that this key may use"
                        )
                answer = await other.post("/api/v1/vms/fork", json={**PRIVATE, "from": "secret"})
                assert code(answer) == "not_found"
                assert (await other.get("/api/v1/vms/list")).json() == {"items": [], "total": 0}
                assert (await client.get(f"/api/v1/vms/{mine}")).status_code == 200

        run(test())

    def test_a_public_computer_can_be_forked_by_others_and_nothing_else(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client, other_client(bench, client) as other:
                mine = await fork(client, name="shared", is_public=True)
                await write(client, mine, chunk("/home/user/f", b"mine", ulid("A")))
                child = await fork(other, mine)
                assert await read(other, child, "/home/user/f") == b"mine"
                # What the shells know, secrets of the environment among it, stays in the family.
                assert bench.engine.knowing == set()
                assert await fork(client, mine) in bench.engine.knowing
                for answer in (
                    await command(other, mine, "id"),
                    await other.post(f"/api/v1/vms/{mine}/sync", json={"op": "read", "path": "/home/user/f"}),
                    await other.delete(f"/api/v1/vms/{mine}"),
                ):
                    assert (answer.status_code, code(answer)) == (403, "forbidden")
                    assert "fork it" in answer.json()["error"]["message"]
                seen = (await other.get(f"/api/v1/vms/{mine}")).json()
                assert seen["public"]
                assert seen["sessions"] == []
                assert seen["last_active_at"] is None
                assert seen["parent_vm_id"] is None
                answer = await other.post("/api/v1/vms/fork", json={**PRIVATE, "from": "shared"})
                assert answer.json()["parent_vm_id"] == mine

        run(test())

    def test_the_base_image_can_be_seen_and_forked_but_not_used(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                seen = (await client.get(f"/api/v1/vms/{BASE}")).json()
                assert (seen["name"], seen["public"], seen["owner_org_id"]) == ("arkuntu", True, "org_arker")
                for answer in (
                    await command(client, BASE, "id"),
                    await client.post(
                        f"/api/v1/vms/{BASE}/sync", json={"op": "read", "path": "/home/user/f"}
                    ),
                    await client.delete(f"/api/v1/vms/{BASE}"),
                ):
                    assert code(answer) == "forbidden"
                    assert "base image `arkuntu`" in answer.json()["error"]["message"]

        run(test())


class TestForks:
    def test_names_mean_own_computers_then_images_then_public_ones(self, bench: Bench) -> None:
        async def test() -> None:
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

        run(test())

    def test_forks_of_a_new_image_at_the_same_time(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                bench.engine.names.append("debian")
                answers = await asyncio.gather(
                    *(client.post("/api/v1/vms/fork", json={**PRIVATE, "from": "debian"}) for _ in range(20))
                )
                assert {answer.status_code for answer in answers} == {200}
                assert len({answer.json()["parent_vm_id"] for answer in answers}) == 1

        run(test())

    def test_there_is_one_region(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                await fork(client, region="local")
                answer = await client.post(f"/api/v1/vms/{BASE}/fork", json={**PRIVATE, "region": "mars"})
                assert code(answer) == "bad_request"
                assert "`local`" in answer.json()["error"]["message"]
                (region,) = (await client.get("/api/v1/regions")).json()["regions"]
                assert region["region"] == "local"
                assert region["endpoint"] == "http://arker.test"

        run(test())

    def test_a_fork_of_an_image_that_is_being_removed_leaves_nothing(self, bench: Bench) -> None:
        async def go() -> None:
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

        run(go())

    def test_a_quota_holds_also_for_forks_at_once(self, make_bench: Callable[..., Bench]) -> None:
        async def test() -> None:
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

        run(test())

    def test_a_list_shows_each_page_once(self, bench: Bench) -> None:
        async def test() -> None:
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

        run(test())


class TestEngineTrouble:
    @pytest.mark.parametrize(
        ("error", "status", "expected"),
        [
            (engine.VmMissing("x"), 404, "not_found"),
            (engine.FileMissing("x"), 404, "not_found"),
            (engine.FileRefused("x"), 400, "bad_request"),
            (engine.FileTooLarge("x"), 413, "payload_too_large"),
            (engine.StorageFull("x"), 503, "unavailable"),
            (engine.SandboxUnavailable("x"), 503, "unavailable"),
            (engine.EngineError("x"), 500, "internal"),
            (RuntimeError("secret detail"), 500, "internal"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_each_has_its_code(self, bench: Bench, error: Exception, status: int, expected: str) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                bench.engine.fail = error
                answer = await client.post(
                    f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"}
                )
                assert (answer.status_code, code(answer)) == (status, expected)
                assert "secret" not in answer.text
                assert "Traceback" not in answer.text

        run(test())

    def test_an_entry_that_fails_leaves_the_others_alone(self, bench: Bench) -> None:
        async def test() -> None:
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

        run(test())

    def test_a_fork_that_cannot_be_noted_leaves_nothing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:

                async def full(*_: object, **__: object) -> None:
                    raise OSError("the disk is full")

                with monkeypatch.context() as patch:
                    patch.setattr(bench.database, "write", full)
                    answer = await client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE)
                    assert code(answer) == "internal"
                assert bench.engine.files == {}
                assert (await client.get("/api/v1/vms/list")).json()["total"] == 0

        run(test())

    def test_health_says_what_is_wrong_until_it_is_not(self, bench: Bench) -> None:
        async def test() -> None:
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

        run(test())


class TestStart:
    def test_what_a_crash_left_is_put_in_order(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                kept, lost = await fork(client), await fork(client)
            del bench.engine.files[lost]
            stray = bench.folder / "staging" / f"{kept}.{ulid('A')}"
            stray.write_bytes(b"half")
            async with bench.client() as client:
                assert set(bench.engine.files) == {kept}
                listed = (await client.get("/api/v1/vms/list")).json()
                assert [item["vm_id"] for item in listed["items"]] == [kept]
                assert not stray.exists()

        run(test())

    def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        connection = open_database(tmp_path / "arker.db")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        connection.close()
        before = (tmp_path / "arker.db").read_bytes()
        with pytest.raises(StateError, match="newer Arker"):
            open_database(tmp_path / "arker.db")
        assert (tmp_path / "arker.db").read_bytes() == before

    @pytest.mark.parametrize("version", range(len(MIGRATIONS)))
    def test_a_file_of_an_older_version_is_brought_up_to_date(self, tmp_path: Path, version: int) -> None:
        old = sqlite3.connect(tmp_path / "arker.db", isolation_level=None)
        for step in MIGRATIONS[:version]:
            old.executescript(step)
        old.execute(f"PRAGMA user_version = {version}")
        if version:
            old.execute("INSERT INTO orgs VALUES ('org_x', 'kept')")
        old.close()
        with contextlib.closing(open_database(tmp_path / "arker.db")) as migrated:
            assert migrated.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
            names = {row["name"] for row in migrated.execute("SELECT name FROM orgs")}
            assert names == {"Local", "Arker"} | ({"kept"} if version else set())
            schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
            with contextlib.closing(open_database(tmp_path / "new.db")) as new:
                rows = [tuple(row) for row in new.execute(schema)]
                assert [tuple(row) for row in migrated.execute(schema)] == rows

    def test_what_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "arker.db").write_bytes(b"something else" * 1000)
        with pytest.raises(StateError, match="not a database"):
            open_database(tmp_path / "arker.db")

    def test_the_database_is_for_its_owner_only(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            connection = open_database(tmp_path / "arker.db")
            connection.execute("INSERT INTO meta VALUES ('x', x'00')")
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            connection.close()
        finally:
            os.umask(before)
        assert modes == {"arker.db": 0o600, "arker.db-wal": 0o600, "arker.db-shm": 0o600}


class TestIdempotency:
    def test_a_repeat_is_answered_and_not_carried_out(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                answers = [
                    await client.post(
                        f"/api/v1/vms/{BASE}/fork", json=PRIVATE, headers={"Idempotency-Key": "k"}
                    )
                    for _ in range(3)
                ]
                assert len({answer.content for answer in answers}) == 1
                (vm,) = bench.engine.files
                runs = [await command(client, vm, "date", "k") for _ in range(3)]
                assert len({answer.content for answer in runs}) == 1
                assert bench.engine.runs == ["date"]

        run(test())

    def test_it_is_kept_over_restarts(self, bench: Bench) -> None:
        async def test() -> None:
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
                assert bench.engine.runs == ["date"]

        run(test())

    def test_another_request_under_the_same_key_is_refused(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                await command(client, vm, "one", "k")
                for answer in (
                    await command(client, vm, "two", "k"),
                    await command(client, vm, "one", "k", timeout=5),
                ):
                    assert (answer.status_code, code(answer)) == (409, "idempotency_conflict")
                assert bench.engine.runs == ["one"]

        run(test())

    def test_a_key_is_one_organization_s_one_operation_s_and_one_computer_s(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client, other_client(bench, client) as other:
                headers = {"Idempotency-Key": "k"}
                made = {
                    (await who.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE, headers=headers)).json()[
                        "vm_id"
                    ]
                    for who in (client, other)
                }
                assert len(made) == 2
                one, two = await fork(client), await fork(client)
                await command(client, one, "date", "k")
                await command(client, two, "date", "k")
                assert bench.engine.runs == ["date", "date"]

        run(test())

    def test_a_fork_is_answered_again_even_if_its_source_is_gone(self, bench: Bench) -> None:
        async def test() -> None:
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
                    again = await client.post(
                        path, json={**PRIVATE, **body}, headers={"Idempotency-Key": "k"}
                    )
                    assert again.status_code == 200
                    fresh = await client.post(
                        path, json={**PRIVATE, **body}, headers={"Idempotency-Key": "l"}
                    )
                    assert code(fresh) == "not_found"
                assert len(bench.engine.files) == 2

        run(test())

    def test_a_repeat_waits_for_the_first(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                gate = asyncio.Event()

                async def slow(text: str) -> engine.RunOutcome:
                    await gate.wait()
                    return outcome(b"done")

                bench.engine.command = slow
                first = asyncio.create_task(command(client, vm, "make", "k"))
                while not bench.engine.runs:
                    await asyncio.sleep(0)
                second = asyncio.create_task(command(client, vm, "make", "k"))
                other = await command(client, vm, "other", "k")
                assert code(other) == "idempotency_conflict"
                gate.set()
                assert (await first).content == (await second).content
                assert bench.engine.runs == ["make"]

        run(test())

    def test_what_was_not_started_leaves_the_key_free(self, bench: Bench) -> None:
        async def test() -> None:
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

        run(test())

    def test_an_outcome_that_nobody_knows_is_said_to_be_so_and_nothing_runs_again(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                bench.engine.fail = RuntimeError("the engine died half way")
                assert code(await command(client, vm, "pay", "k")) == "internal"
                answer = await command(client, vm, "pay", "k")
                assert code(answer) == "conflict"
                assert "unknown" in answer.json()["error"]["message"]
                assert bench.engine.runs == []

        run(test())

    def test_a_run_under_way_when_the_process_ends_is_unknown_to_the_next(self, bench: Bench) -> None:
        async def test() -> None:
            async def forever(text: str) -> engine.RunOutcome:
                await asyncio.Event().wait()
                raise AssertionError

            async with bench.client() as client:
                vm = await fork(client)
                bench.engine.command = forever
                waiting = asyncio.create_task(command(client, vm, "train", "k"))
                while not bench.engine.runs:
                    await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            bench.engine.command = None
            async with bench.client() as client:
                assert code(await command(client, vm, "train", "k")) == "conflict"
                assert bench.engine.runs == ["train"]

        run(test())

    def test_answers_that_come_fast_do_not_wait_to_be_swept(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
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
                assert len(bench.engine.runs) == 100

        monkeypatch.setattr("arker.local.service.idempotency.MAX_ANSWERS", 10_000)
        run(test())

    def test_output_that_is_too_large_to_keep_is_not_made_again(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)

                async def flood(text: str) -> engine.RunOutcome:
                    return outcome(b"x" * 2_000_000)

                bench.engine.command = flood
                first = await command(client, vm, "flood", "k")
                assert len(first.json()["stdout"]) == 2_000_000
            async with bench.client() as client:
                assert code(await command(client, vm, "flood", "k")) == "conflict"
                assert bench.engine.runs == ["flood"]

        run(test())

    def test_a_run_that_nobody_waits_for_is_ended_after_a_grace(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
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
                while not bench.engine.runs:
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait_for(ended.wait(), 5)
                # Whoever asks at this very moment, or later, is told the same.
                for _ in range(2):
                    assert code(await command(client, vm, "train", "k")) == "conflict"

        assert GRACE >= 10
        monkeypatch.setattr("arker.local.service.idempotency.GRACE", 0.05)
        run(test())

    @pytest.mark.parametrize("key", ["", " ", "a" * 65, "with a blank", "ü"])
    def test_what_is_no_key(self, bench: Bench, key: str) -> None:
        async def test() -> None:
            async with bench.client() as client:
                headers = {b"Idempotency-Key": key.encode()}
                answer = await client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE, headers=headers)
                assert code(answer) == "bad_request"

        run(test())


class TestUploads:
    def test_chunks_in_any_order_and_overlapping(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm, data = await fork(client), os.urandom(100)
                path, upload = "/home/user/f", ulid("A")
                for start, end, arrived in [(60, 100, 40), (20, 40, 60), (60, 100, 60), (30, 70, 80)]:
                    (result,) = await write(client, vm, chunk(path, data[start:end], upload, start, 100))
                    assert not result["complete"]
                    assert not result["written"]
                    assert result["received_bytes"] == arrived
                assert result["ranges"] == [{"start": 20, "end": 100}]
                assert path not in bench.engine.files[vm]
                (result,) = await write(client, vm, chunk(path, data[:20], upload, 0, 100))
                assert result["complete"]
                assert result["written"]
                assert result["ranges"] == [{"start": 0, "end": 100}]
                assert await read(client, vm, path) == data
                assert list((bench.folder / "staging").iterdir()) == []

        run(test())

    def test_an_upload_goes_on_after_a_restart(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                await write(client, vm, chunk("/home/user/f", b"world", ulid("A"), 5, 10))
                (asked,) = await write(client, vm, {"path": "/home/user/g", "size": 3, "presigned": True})
                await client.put(asked["presigned_url"], content=b"abc")
            async with bench.client() as client:
                (result,) = await write(client, vm, chunk("/home/user/f", b"hello", ulid("A"), 0, 10))
                assert result["written"]
                commit = {"path": "/home/user/g", "size": 3, "upload_id": asked["upload_id"]}
                (result,) = await write(client, vm, commit)
                assert result["written"]
                assert bench.engine.files[vm] == {"/home/user/f": b"helloworld", "/home/user/g": b"abc"}

        run(test())

    def test_what_was_staged_before_the_machine_started_anew_is_not_trusted(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                await write(client, vm, chunk("/home/user/f", b"world", ulid("A"), 5, 10))
                await bench.database.execute("UPDATE uploads SET boot = 'another'")
                (result,) = await write(client, vm, chunk("/home/user/f", b"hello", ulid("A"), 0, 10))
                assert result["ranges"] == [{"start": 0, "end": 5}]
                assert not result["written"]

        run(test())

    def test_a_repeat_of_a_finished_upload_never_overwrites_a_newer_file(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm, path = await fork(client), "/home/user/f"
                old = chunk(path, b"old", ulid("A"))
                (asked,) = await write(client, vm, {"path": path, "size": 3, "presigned": True})
                await client.put(asked["presigned_url"], content=b"put")
                commit = {"path": path, "size": 3, "upload_id": asked["upload_id"]}
                first = [await write(client, vm, old), await write(client, vm, commit)]
                await write(client, vm, chunk(path, b"new", ulid("B")))
                assert [await write(client, vm, old), await write(client, vm, commit)] == first
                assert await read(client, vm, path) == b"new"
                assert len(bench.engine.writes) == 3

        run(test())

    def test_one_upload_is_one_file(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                await write(client, vm, chunk("/home/user/f", b"ab", ulid("A"), 0, 4))
                (asked,) = await write(client, vm, {"path": "/home/user/f", "size": 4, "presigned": True})
                for entry in (
                    chunk("/home/user/g", b"cd", ulid("A"), 2, 4),
                    chunk("/home/user/f", b"cd", ulid("A"), 2, 5),
                    chunk("/home/user/f", b"cd", asked["upload_id"], 2, 4),
                    {"path": "/home/user/g", "size": 4, "upload_id": asked["upload_id"]},
                    {"path": "/home/user/f", "size": 4, "upload_id": asked["upload_id"]},
                    {"path": "/home/user/f", "size": 4, "upload_id": ulid("A")},
                ):
                    (result,) = await write(client, vm, entry)
                    assert result["error"]["code"] == "conflict"
                (result,) = await write(
                    client, vm, {"path": "/home/user/f", "size": 4, "upload_id": ulid("Z")}
                )
                assert result["error"]["code"] == "not_found"
                assert bench.engine.files[vm] == {}

        run(test())

    def test_digests_are_checked(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm, good, bad = await fork(client), hashlib.sha256(b"abc").hexdigest(), "0" * 64
                for digest, expected in [(bad, False), (good, True)]:
                    (result,) = await write(
                        client, vm, chunk("/home/user/f", b"abc", ulid("A"), sha256=digest)
                    )
                    assert result["written"] is expected
                    assert result.get("error", {}).get("code") == (None if expected else "bad_request")
                (asked,) = await write(client, vm, {"path": "/home/user/g", "size": 3, "presigned": True})
                await client.put(asked["presigned_url"], content=b"abc")
                for digest, expected in [(bad, False), (good, True)]:
                    commit = {
                        "path": "/home/user/g",
                        "size": 3,
                        "upload_id": asked["upload_id"],
                        "sha256": digest,
                    }
                    (result,) = await write(client, vm, commit)
                    assert result["written"] is expected

        run(test())

    @pytest.mark.parametrize("size", [0, 1, 3_000_000])
    def test_a_put_takes_all_or_nothing(self, bench: Bench, size: int) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm, data = await fork(client), os.urandom(size)
                (asked,) = await write(client, vm, {"path": "/home/user/f", "size": size, "presigned": True})
                assert asked["expires_in"] == 900
                assert asked["method"] == "PUT"
                commit = {"path": "/home/user/f", "size": size, "upload_id": asked["upload_id"]}

                async def pieces(content: bytes) -> Any:
                    for start in range(0, len(content), 70_000):
                        yield content[start : start + 70_000]

                for wrong in {data[:-1], data + b"x"} - {data}:
                    for content in (wrong, pieces(wrong)):
                        answer = await client.put(asked["presigned_url"], content=content)
                        assert code(answer) == "bad_request"
                (result,) = await write(client, vm, commit)
                assert result["error"]["code"] == "conflict"
                assert list((bench.folder / "staging").iterdir()) == []
                for content in (os.urandom(size), pieces(data)):
                    assert (await client.put(asked["presigned_url"], content=content)).status_code == 200
                (result,) = await write(client, vm, commit)
                assert result == {"path": "/home/user/f", "size": size, "complete": True, "written": True}
                assert await read(client, vm, "/home/user/f") == data
                assert code(await client.put(asked["presigned_url"], content=data)) == "conflict"
                assert list((bench.folder / "staging").iterdir()) == []

        run(test())

    def test_abandoned_uploads_expire(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client, bench.platform() as platform:
                vm = await fork(client)
                await write(client, vm, chunk("/home/user/f", b"ab", ulid("A"), 0, 4))
                await platform._uploads.sweep()
                assert len(list((bench.folder / "staging").iterdir())) == 1
                await bench.database.execute("UPDATE uploads SET touched_ms = touched_ms - 25 * 3600 * 1000")
                (staged,) = (bench.folder / "staging").iterdir()
                os.utime(staged, (0, 0))
                await platform._uploads.sweep()
                assert list((bench.folder / "staging").iterdir()) == []
                assert bench.database.all("SELECT * FROM uploads") == []

        run(test())

    def test_unfinished_uploads_have_a_bound(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm, other = await fork(client), await fork(client)
                half = chunk("/home/user/f", b"ab", ulid("A"), 0, 6)
                assert not (await write(client, vm, half))[0]["complete"]
                wanted = {"path": "/home/user/g", "size": 5, "presigned": True}
                for refused in (wanted, chunk("/home/user/g", b"ab", ulid("B"), 0, 5)):
                    assert (await write(client, vm, refused))[0]["error"]["code"] == "quota_exceeded"
                # What needs no room, was begun already, or is of another computer.
                assert (await write(client, vm, chunk("/home/user/h", bytes(50), ulid("C"), 0, 50)))[0][
                    "written"
                ]
                assert "presigned_url" in (await write(client, other, wanted))[0]
                rest = chunk("/home/user/f", b"cdef", ulid("A"), 2, 6)
                assert (await write(client, vm, rest))[0]["written"]
                assert "presigned_url" in (await write(client, vm, wanted))[0]

        monkeypatch.setattr("arker.local.service.uploads.MAX_PENDING", 10)
        run(test())

    def test_unfinished_uploads_are_so_many(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                wanted = {"path": "/home/user/g", "size": 0, "presigned": True}
                *made, refused = await write(client, vm, *[wanted] * 4)
                assert all("presigned_url" in result for result in made)
                assert refused["error"]["code"] == "quota_exceeded"

        monkeypatch.setattr("arker.local.service.uploads.MAX_UNFINISHED", 3)
        run(test())

    def test_an_upload_in_too_many_pieces_is_refused(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                pieces = [chunk("/home/user/f", b"x", ulid("A"), at, 7) for at in range(7)]
                *taken, refused = await write(client, vm, *pieces[0::2])
                assert [len(result["ranges"]) for result in taken] == [1, 2, 3]
                assert refused["error"]["code"] == "bad_request"
                # What is between makes one of two.
                results = await write(client, vm, *pieces[1:6:2], pieces[6])
                assert results[-1]["written"]

        monkeypatch.setattr("arker.local.service.uploads.MAX_PIECES", 3)
        run(test())

    def test_an_answer_lists_so_many_pieces_and_no_more(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                pieces = [chunk("/home/user/f", b"x", ulid("A"), at, 9) for at in range(0, 9, 2)]
                results = await write(client, vm, *pieces)
                assert [len(result.get("ranges", ())) for result in results] == [1, 2, 3, 0, 0]
                assert {result["error"]["code"] for result in results[3:]} == {"payload_too_large"}
                again = await write(client, vm, *pieces[3:4])
                assert len(again[0]["ranges"]) == 4

        monkeypatch.setattr("arker.local.service.files.MAX_LISTED", 4)
        run(test())

    def test_a_deleted_computer_takes_its_uploads_along(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                await write(client, vm, chunk("/home/user/f", b"ab", ulid("A"), 0, 4))
                (asked,) = await write(client, vm, {"path": "/home/user/g", "size": 1, "presigned": True})
                await client.delete(f"/api/v1/vms/{vm}")
                assert list((bench.folder / "staging").iterdir()) == []
                assert bench.database.all("SELECT * FROM uploads") == []
                assert code(await client.put(asked["presigned_url"], content=b"x")) == "not_found"

        run(test())


class TestSignedReads:
    def test_a_url_answers_the_version_that_it_was_made_for(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm, data = await fork(client), os.urandom(5_000_000)
                bench.engine.files[vm]["/home/user/f"] = data
                answer = await client.post(
                    f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"}
                )
                url = answer.json()["presigned_url"]
                whole = await client.get(url, headers={"Authorization": ""})
                assert whole.content == data
                etag = whole.headers["etag"]
                part = await client.get(url, headers={"Range": "bytes=4999990-", "If-Range": etag})
                assert (part.status_code, part.content) == (206, data[-10:])
                assert part.headers["content-range"] == "bytes 4999990-4999999/5000000"
                stale = await client.get(url, headers={"Range": "bytes=4999990-", "If-Range": '"other"'})
                assert (stale.status_code, stale.content) == (200, data)
                bench.engine.files[vm]["/home/user/f"] = os.urandom(5_000_000)
                assert code(await client.get(url)) == "conflict"
                await client.delete(f"/api/v1/vms/{vm}")
                assert code(await client.get(url)) == "not_found"

        run(test())

    def test_no_url_takes_another_method(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                bench.engine.files[vm]["/home/user/f"] = bytes(5_000_000)
                answer = await client.post(
                    f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"}
                )
                url = answer.json()["presigned_url"]
                assert code(await client.put(url, content=b"")) == "forbidden"
                assert (await client.head(url)).status_code == 403
                assert code(await client.post(url)) == "unsupported_method"

        run(test())

    @pytest.mark.parametrize(
        ("output", "encoding"),
        [
            (b"\0" * 1_000_000, "base64"),
            (b"\x1b[31mred\x1b[0m\n" * 50_000, "utf-8"),
            (b'tabs\t, "quotes" and lines\n' * 50_000, "utf-8"),
            (b"\0\1\2", "utf-8"),
        ],
        ids=lambda value: repr(value[:10]),
    )
    def test_no_answer_is_much_larger_than_what_it_carries(
        self, bench: Bench, output: bytes, encoding: str
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)

                async def command(text: str) -> engine.RunOutcome:
                    return outcome(output)

                bench.engine.command = command
                response = await client.post(f"/api/v1/vms/{vm}/run", json={"command": "x", "session_id": 0})
                answer = response.json()
                assert answer["stdout_encoding"] == encoding
                text = answer["stdout"].encode()
                assert (base64.b64decode(text) if encoding == "base64" else text) == output
                assert len(response.content) < 2 * len(output) + 1000

        run(test())

    def test_content_of_every_kind_comes_back_as_it_was(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                for data in (
                    b"",
                    b"text\n",
                    "ä\u2028\0\x7f".encode(),
                    b"\xff\xfe",
                    bytes(range(256)) * 2000,
                    b"a" * 4_194_304,
                ):
                    bench.engine.files[vm]["/home/user/f"] = data
                    assert await read(client, vm, "/home/user/f") == data

        run(test())

    @pytest.mark.parametrize(
        ("opened", "content", "said"),
        [
            ("/proc/sys/kernel/ostype", "Linux\n", None),
            ("/proc", None, "is a directory"),
            ("/dev/zero", None, "grows while it is read"),
        ],
    )
    def test_files_that_are_no_ordinary_ones(
        self, bench: Bench, opened: str, content: str | None, said: str | None
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)

                async def open_file(vm_id: str, path: str) -> engine.Readable:
                    return LocalFile(os.open(opened, os.O_RDONLY))

                bench.engine.open_file = open_file  # type: ignore[method-assign]
                answer = await client.post(
                    f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/x"}
                )
                if said is None:
                    assert answer.json()["content"] == content
                else:
                    assert answer.status_code in (400, 409)
                    assert said in answer.json()["error"]["message"].lower()

        run(test())

    def test_a_file_over_the_limit_is_refused(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                bench.engine.files[vm]["/home/user/f"] = bytes(100_000_001)
                answer = await client.post(
                    f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"}
                )
                assert (answer.status_code, code(answer)) == (413, "payload_too_large")

        run(test())


class TestRoutes:
    @pytest.mark.parametrize(
        ("method", "path", "status", "expected"),
        [
            ("GET", "/", 404, "not_found"),
            ("GET", "/api/v1", 404, "not_found"),
            ("GET", "/api/v1/health/", 404, "not_found"),
            ("POST", f"/api/v1/vms/{BASE}/frok", 404, "command_not_found"),
            ("GET", f"/api/v1/vms/{BASE}/runs", 404, "command_not_found"),
            ("PUT", f"/api/v1/vms/{BASE}/run", 405, "unsupported_method"),
            ("DELETE", "/api/v1/vms/list", 405, "unsupported_method"),
            ("GET", "/api/v1/vms/fork", 405, "unsupported_method"),
            ("PATCH", f"/api/v1/vms/{BASE}", 405, "unsupported_method"),
            ("OPTIONS", "/api/v1/health", 405, "unsupported_method"),
            ("TRACE", "/api/v1/whoami", 405, "unsupported_method"),
            ("GET", "/api/v1/vms/short", 400, "bad_request"),
            ("GET", "/api/v1/vms/%2e%2e", 400, "bad_request"),
            ("GET", "/api/v1/vms/" + "0" * 5000, 400, "bad_request"),
        ],
    )  # fmt: skip
    def test_what_is_not_there(
        self, bench: Bench, method: str, path: str, status: int, expected: str
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:
                answer = await client.request(method, path)
                assert (answer.status_code, code(answer)) == (status, expected)
                if status == 405:
                    assert answer.headers["allow"]
                    assert method not in answer.headers["allow"].split(", ")

        run(test())

    def test_bodies_that_are_no_json_by_their_headers(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                for headers, expected in [
                    ({"Content-Type": "text/plain"}, "unsupported_media_type"),
                    ({"Content-Type": "application/x-www-form-urlencoded"}, "unsupported_media_type"),
                    ({"Content-Encoding": "gzip"}, "unsupported_encoding"),
                ]:
                    answer = await client.post(
                        f"/api/v1/vms/{BASE}/fork", content=b'{"is_public": false}', headers=headers
                    )
                    assert (answer.status_code, code(answer)) == (400, expected)
                for headers in ({}, {"Content-Type": "application/json; charset=utf-8"}):
                    answer = await client.post(
                        f"/api/v1/vms/{BASE}/fork", content=b'{"is_public": false}', headers=headers
                    )
                    assert answer.status_code == 200

        run(test())

    def test_a_request_id_is_taken_over_if_it_is_one(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                answer = await client.get("/api/v1/health", headers={"X-Request-Id": "abc-1.2"})
                assert answer.headers["x-request-id"] == "abc-1.2"
                for bad in ("a b", "x" * 65, "a=1 status=200"):
                    answer = await client.get("/api/v1/health", headers={"X-Request-Id": bad})
                    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])

        run(test())

    def test_the_log_has_a_line_a_request_and_no_secret(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def test() -> None:
            async with bench.client() as client:
                vm = await fork(client)
                (asked,) = await write(client, vm, {"path": "/home/user/f", "size": 3, "presigned": True})
                await client.put(asked["presigned_url"], content=b"abc")
                await client.get("/api/v1/vms/a%0Aforged")
                token = asked["presigned_url"].rpartition("/")[2]
                assert token not in caplog.text
                assert token.rpartition(".")[2] not in caplog.text
            assert KEY not in caplog.text
            lines = [record.getMessage() for record in caplog.records if record.name == "arker.request"]
            assert [line.split(" ms=")[0] for line in lines] == [
                "method=POST route=/api/v1/vms/{vm_id}/fork status=200",
                "method=POST route=/api/v1/vms/{vm_id}/sync status=200",
                "method=PUT route=/signed/{token} status=200",
                "method=GET route=/api/v1/vms/{vm_id} status=400",
            ]
            assert f"vm={vm}" in lines[1]
            assert not any("forged" in line for line in lines)

        caplog.set_level("INFO", "arker.request")
        run(test())

    def test_a_rate_limit_says_when_to_come_again(self, make_bench: Callable[..., Bench]) -> None:
        async def test() -> None:
            bench = make_bench(rate_limit=2)
            async with bench.client() as client, other_client(bench, client) as other:
                answers = [await client.get("/api/v1/whoami") for _ in range(4)]
                assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
                assert code(answers[-1]) == "rate_limited"
                assert int(answers[-1].headers["retry-after"]) >= 1
                assert (await other.get("/api/v1/whoami")).status_code == 200
                assert (await client.get("/api/v1/health")).status_code == 200

        run(test())

    def test_metrics_are_free_for_this_machine_only(self, make_bench: Callable[..., Bench]) -> None:
        async def test() -> None:
            behind_a_proxy = {"public_url": "https://arker.example"}
            for options, host, status in (
                ({}, "127.0.0.1", 200),
                ({}, "192.0.2.1", 401),
                (behind_a_proxy, "127.0.0.1", 401),
            ):
                async with make_bench(**options).client(host) as client:
                    assert (await client.get("/metrics")).status_code == 200
                    del client.headers["Authorization"]
                    assert (await client.get("/metrics")).status_code == status

        run(test())

    def test_metrics_count_what_was_answered(self, bench: Bench) -> None:
        async def test() -> None:
            async with bench.client() as client:
                await fork(client)
                await client.get("/api/v1/vms/short")
                text = (await client.get("/metrics")).text
                route = 'method="POST",route="/api/v1/vms/{vm_id}/fork"'
                assert f'arker_requests_total{{{route},status="200"}} 1\n' in text
                assert f'arker_request_seconds_bucket{{{route},le="+Inf"}} 1\n' in text
                assert 'route="/api/v1/vms/{vm_id}",status="400"} 1\n' in text
                assert "\narker_computers 1\n" in text
                for line in text.splitlines():
                    assert re.fullmatch(
                        r"# (HELP|TYPE) \w+ .+|\w+(\{[^{}]*(\{vm_id\})?[^{}]*\})? [-+.e0-9]+", line
                    ), line

        run(test())
