"""Which keys are valid, and which computers they may use."""

from __future__ import annotations

import time

import pytest

from arker.local.service.keys import generate, open_keys

from .kit import BASE, KEY, PRIVATE, Bench, chunk, code, command, fork, other_client, read, ulid, write


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Bearer ", "Basic abc", "Bearer wrong", f"Bearer {KEY}x", KEY, f"Bearer {KEY[:-1]}"],
    )
    async def test_without_a_valid_key_nothing_is_answered(self, bench: Bench, header: str) -> None:
        async with bench.client() as client:
            for method, path in [
                ("GET", "/api/v1/whoami"),
                ("GET", "/api/v1/vms/list?limit=999"),
                ("POST", f"/api/v1/vms/{BASE}/fork"),
                ("POST", "/api/v1/vms/nonsense/run"),
                ("DELETE", f"/api/v1/vms/{BASE}"),
            ]:
                answer = await client.request(method, path, headers={"Authorization": header}, content=b"{")
                assert (answer.status_code, code(answer)) == (401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"

    async def test_a_key_works_from_when_it_is_made_until_it_is_revoked(self, bench: Bench) -> None:
        async with bench.client() as client, other_client(bench, client) as other:
            answer = await other.get("/api/v1/whoami")
            assert answer.json()["org_name"] == "acme"
            with open_keys(bench.folder) as keys:
                (key,) = keys.listed()
                assert keys.revoke(key.key_id)
                assert not keys.revoke(key.key_id)
            assert code(await other.get("/api/v1/whoami")) == "unauthorized"

    async def test_a_key_is_revoked_with_all_that_it_made(self, bench: Bench) -> None:
        key = generate()
        with open_keys(bench.folder) as keys:
            first = keys.register(key, name="")
        async with bench.client() as client:

            async def make(key: str) -> dict[str, str]:
                answer = await client.post(
                    "/v1/api-keys", json={}, headers={"Authorization": f"Bearer {key}"}
                )
                made: dict[str, str] = answer.json()
                return made

            second, other = await make(key), await make(KEY)
            third = await make(second["key"])
            with open_keys(bench.folder) as keys:
                makers = {one.key_id: one.maker for one in keys.listed()}
                assert makers[third["api_key_id"]] == second["api_key_id"]
                assert keys.revoke(second["api_key_id"]) == [second["api_key_id"]]
                # Also those that a revoked key made.
                assert keys.revoke(first, recursive=True) == [first, third["api_key_id"]]
                assert keys.revoke(first, recursive=True) == []
                assert [one.key_id for one in keys.listed() if one.valid] == [other["api_key_id"]]

    async def test_a_key_is_limited_when_it_is_made_beside_the_deployment(self, bench: Bench) -> None:
        key = generate()
        async with bench.client() as client:
            vm, twin = await fork(client, name="web"), await fork(client, name="other")
            with open_keys(bench.folder) as keys:
                keys.register(key, name="", vms=["web", vm])
                assert keys.listed()[-1].vm_ids == [vm]
                with pytest.raises(ValueError, match="no computer 'arkuntu'"):
                    keys.register(generate(), name="", vms=["arkuntu"])
                with pytest.raises(ValueError, match="no computer"):
                    keys.register(generate(), name="", org="acme", vms=[vm])
                double = await fork(client, name="other")
                with pytest.raises(ValueError, match=f"{twin}, {double}"):
                    keys.register(generate(), name="", vms=["other"])
                assert len(keys.listed()) == 1
            headers = {"Authorization": f"Bearer {key}"}
            assert (await client.get("/v1/vms/web", headers=headers)).json()["vm_id"] == vm
            assert (await client.get(f"/v1/vms/{twin}", headers=headers)).status_code == 404

    def test_a_revoked_key_cannot_come_back(self, bench: Bench) -> None:
        key = generate()
        with open_keys(bench.folder) as keys:
            assert keys.register(key, name="") == keys.register(key, name="again")
            keys.revoke(keys.listed()[0].key_id)
            with pytest.raises(ValueError, match="revoked"):
                keys.register(key, name="")

    async def test_a_key_that_expires_is_valid_until_then(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = generate()
        with open_keys(bench.folder) as keys:
            keys.register(key, name="", expires_in=3600)
        headers = {"Authorization": f"Bearer {key}"}
        async with bench.client() as client:
            assert (await client.get("/api/v1/whoami", headers=headers)).status_code == 200
            later = time.time_ns() + 3601 * 10**9
            monkeypatch.setattr("time.time_ns", lambda: later)
            refused = await client.get("/api/v1/whoami", headers=headers)
            assert code(refused) == "unauthorized"
            assert "has expired" in refused.json()["error"]["message"]
        with open_keys(bench.folder) as keys:
            assert [known.valid for known in keys.listed()] == [False]
            with pytest.raises(ValueError, match="has expired and cannot be made valid again"):
                keys.register(key, name="")

    @pytest.mark.parametrize("seconds", [0, -1, 1e12, float("nan")])
    def test_invalid_expiry_times_are_refused(self, bench: Bench, seconds: float) -> None:
        with open_keys(bench.folder) as keys:
            with pytest.raises(ValueError, match="expires after"):
                keys.register(generate(), name="", expires_in=seconds)
            assert keys.listed() == []

    def test_no_file_holds_a_key(self, bench: Bench) -> None:
        key = generate()
        with open_keys(bench.folder) as keys:
            keys.register(key, name="")
        for file in bench.folder.iterdir():
            if file.is_file():
                assert key.encode() not in file.read_bytes()
                assert key[4:].encode() not in file.read_bytes()

    async def test_when_a_key_was_last_used_is_kept(self, bench: Bench) -> None:
        async with bench.client() as client, other_client(bench, client) as other:
            await other.get("/api/v1/whoami")
        with open_keys(bench.folder) as keys:
            assert keys.listed()[0].last_used_ms is not None


class TestOwnership:
    async def test_a_private_computer_is_not_there_for_others(self, bench: Bench) -> None:
        async with bench.client() as client, other_client(bench, client) as other:
            mine = await fork(client, name="secret")
            absent = "0" * 26
            for vm in (mine, absent):
                for answer in (
                    await other.post(f"/api/v1/vms/{vm}/fork", json=PRIVATE),
                    await command(other, vm, "id"),
                    await other.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"}),
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

    async def test_a_public_computer_can_be_forked_by_others_and_nothing_else(self, bench: Bench) -> None:
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
            answer = await other.get(f"/api/v1/vms/{mine}", headers={"Arker-Local": "1"})
            seen = answer.json()
            assert seen["public"]
            assert seen["sessions"] == []
            assert seen["last_active_at"] is None
            assert seen["parent_vm_id"] is None
            answer = await other.post("/api/v1/vms/fork", json={**PRIVATE, "from": "shared"})
            assert answer.json()["parent_vm_id"] == mine

    async def test_the_base_image_can_be_seen_and_forked_but_not_used(self, bench: Bench) -> None:
        async with bench.client() as client:
            seen = (await client.get(f"/api/v1/vms/{BASE}")).json()
            assert (seen["name"], seen["public"], seen["owner_org_id"]) == ("arkuntu", True, "org_arker")
            for answer in (
                await command(client, BASE, "id"),
                await client.post(f"/api/v1/vms/{BASE}/sync", json={"op": "read", "path": "/home/user/f"}),
                await client.delete(f"/api/v1/vms/{BASE}"),
            ):
                assert code(answer) == "forbidden"
                assert "base image `arkuntu`" in answer.json()["error"]["message"]
