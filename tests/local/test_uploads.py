"""Writing files into a computer."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from arker.local.engine import digests

from .kit import Bench, chunk, code, fork, read, ulid, write


class TestUploads:
    async def test_chunks_in_any_order_and_overlapping(self, bench: Bench) -> None:
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

    async def test_an_upload_goes_on_after_a_restart(self, bench: Bench) -> None:
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

    async def test_uploads_from_before_a_reboot_are_not_trusted(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            await write(client, vm, chunk("/home/user/f", b"world", ulid("A"), 5, 10))
            await bench.database.execute("UPDATE uploads SET boot = 'another'")
            (result,) = await write(client, vm, chunk("/home/user/f", b"hello", ulid("A"), 0, 10))
            assert result["ranges"] == [{"start": 0, "end": 5}]
            assert not result["written"]

    async def test_a_repeat_of_a_finished_upload_never_overwrites_a_newer_file(self, bench: Bench) -> None:
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

    async def test_one_upload_is_one_file(self, bench: Bench) -> None:
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
            (result,) = await write(client, vm, {"path": "/home/user/f", "size": 4, "upload_id": ulid("Z")})
            assert result["error"]["code"] == "not_found"
            assert bench.engine.files[vm] == {}

    async def test_digests_are_checked(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm, good, bad = await fork(client), hashlib.sha256(b"abc").hexdigest(), "0" * 64
            for digest, expected in [(bad, False), (good, True)]:
                (result,) = await write(client, vm, chunk("/home/user/f", b"abc", ulid("A"), sha256=digest))
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

    @pytest.mark.parametrize("size", [0, 1, 3_000_000])
    async def test_a_put_takes_all_or_nothing(self, bench: Bench, size: int) -> None:
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

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_an_uploaded_file_is_not_read_again_for_its_digest(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, restarted: bool
    ) -> None:
        read: list[int] = []
        sha256_of = digests.sha256_of
        monkeypatch.setattr(digests, "sha256_of", lambda *args: read.append(args[0]) or sha256_of(*args))
        data = os.urandom(3_000_001)
        right, wrong = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"").hexdigest()
        path = "/home/user/f"
        async with bench.client() as client:
            vm = await fork(client)
            (asked,) = await write(client, vm, {"path": path, "size": len(data), "presigned": True})
            assert (await client.put(asked["presigned_url"], content=data)).status_code == 200
        async with bench.client() as client:
            if not restarted:
                assert (await client.put(asked["presigned_url"], content=data)).status_code == 200
            commit = {"path": path, "size": len(data), "upload_id": asked["upload_id"]}
            assert "error" in (await write(client, vm, {**commit, "sha256": wrong}))[0]
            assert (await write(client, vm, {**commit, "sha256": right}))[0]["written"]
        assert bench.engine.files[vm][path] == data
        assert len(read) == (2 if restarted else 0)

    async def test_a_file_that_was_placed_is_not_written_again(self, bench: Bench) -> None:
        """The request that placed it ended before it could save that."""
        async with bench.client() as client:
            vm = await fork(client)
            assert not (await write(client, vm, chunk("/home/user/f", b"ab", ulid("A"), 0, 4)))[0]["complete"]
            (asked,) = await write(client, vm, {"path": "/home/user/g", "size": 4, "presigned": True})
            assert (await client.put(asked["presigned_url"], content=b"abcd")).status_code == 200
            for index, staged in enumerate((bench.folder / "staging").iterdir()):
                os.link(staged, bench.folder / f"placed{index}")
            commit = {"path": "/home/user/g", "size": 4, "upload_id": asked["upload_id"]}
            for entry in (chunk("/home/user/f", b"cd", ulid("A"), 2, 4), commit):
                for _ in range(2):
                    assert (await write(client, vm, entry))[0]["written"]
            assert bench.engine.writes == []
            assert list((bench.folder / "staging").iterdir()) == []
            assert sorted((bench.folder / f"placed{n}").read_bytes() for n in (0, 1)) == [b"ab", b"abcd"]

    async def test_abandoned_uploads_expire(self, bench: Bench) -> None:
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

    async def test_unfinished_uploads_have_a_bound(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("arker.local.service.uploads.MAX_PENDING", 10)
        async with bench.client() as client:
            vm, other = await fork(client), await fork(client)
            half = chunk("/home/user/f", b"ab", ulid("A"), 0, 6)
            assert not (await write(client, vm, half))[0]["complete"]
            wanted = {"path": "/home/user/g", "size": 5, "presigned": True}
            for refused in (wanted, chunk("/home/user/g", b"ab", ulid("B"), 0, 5)):
                assert (await write(client, vm, refused))[0]["error"]["code"] == "unavailable"
            # What needs no room, was begun already, or is of another computer.
            assert (await write(client, vm, chunk("/home/user/h", bytes(50), ulid("C"), 0, 50)))[0]["written"]
            assert "presigned_url" in (await write(client, other, wanted))[0]
            rest = chunk("/home/user/f", b"cdef", ulid("A"), 2, 6)
            assert (await write(client, vm, rest))[0]["written"]
            assert "presigned_url" in (await write(client, vm, wanted))[0]

    async def test_unfinished_uploads_are_so_many(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("arker.local.service.uploads.MAX_UNFINISHED", 3)
        async with bench.client() as client:
            vm = await fork(client)
            wanted = {"path": "/home/user/g", "size": 0, "presigned": True}
            *made, refused = await write(client, vm, *[wanted] * 4)
            assert all("presigned_url" in result for result in made)
            assert refused["error"]["code"] == "unavailable"

    async def test_an_upload_in_too_many_pieces_is_refused(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("arker.local.service.uploads.MAX_PIECES", 3)
        async with bench.client() as client:
            vm = await fork(client)
            pieces = [chunk("/home/user/f", b"x", ulid("A"), at, 7) for at in range(7)]
            *taken, refused = await write(client, vm, *pieces[0::2])
            assert [len(result["ranges"]) for result in taken] == [1, 2, 3]
            assert refused["error"]["code"] == "bad_request"
            # What is between makes one of two.
            results = await write(client, vm, *pieces[1:6:2], pieces[6])
            assert results[-1]["written"]

    async def test_an_answer_lists_so_many_pieces_and_no_more(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("arker.local.service.files.MAX_LISTED", 4)
        async with bench.client() as client:
            vm = await fork(client)
            pieces = [chunk("/home/user/f", b"x", ulid("A"), at, 9) for at in range(0, 9, 2)]
            results = await write(client, vm, *pieces)
            assert [len(result.get("ranges", ())) for result in results] == [1, 2, 3, 0, 0]
            assert {result["error"]["code"] for result in results[3:]} == {"payload_too_large"}
            again = await write(client, vm, *pieces[3:4])
            assert len(again[0]["ranges"]) == 4

    async def test_a_deleted_computer_takes_its_uploads_along(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            await write(client, vm, chunk("/home/user/f", b"ab", ulid("A"), 0, 4))
            (asked,) = await write(client, vm, {"path": "/home/user/g", "size": 1, "presigned": True})
            await client.delete(f"/api/v1/vms/{vm}")
            assert list((bench.folder / "staging").iterdir()) == []
            assert bench.database.all("SELECT * FROM uploads") == []
            assert code(await client.put(asked["presigned_url"], content=b"x")) == "not_found"
