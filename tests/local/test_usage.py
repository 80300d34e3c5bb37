"""The route that tells what computers take."""

from __future__ import annotations

from .kit import Bench, code, fork, other_client


class TestUsage:
    async def test_pages_of_own_computers_newest_first(self, bench: Bench) -> None:
        async with bench.client() as client, other_client(bench, client) as other:
            made = [await fork(client, name=f"c{number}") for number in range(3)]
            await fork(other, is_public=True)
            rows = (await client.get("/api/v1/local/usage")).json()["computers"]
            assert [row["vm_id"] for row in rows] == made[::-1]
            assert rows[0] == {
                "vm_id": made[2],
                "name": "c2",
                "state": "idle",
                "cpu_seconds": 0.0,
                "memory_bytes": 0,
                "processes": 0,
                "disk_bytes": None,
            }
            page = (await client.get("/api/v1/local/usage?limit=1&offset=1")).json()["computers"]
            assert [row["vm_id"] for row in page] == [made[1]]

    async def test_wrong_queries(self, bench: Bench) -> None:
        async with bench.client() as client:
            for query in ("limit=0", "limit=1001", "offset=-1", "what=1"):
                assert code(await client.get(f"/api/v1/local/usage?{query}")) == "bad_request"
            answer = await client.get("/api/v1/local/usage", headers={"Authorization": ""})
            assert code(answer) == "unauthorized"
