"""Reading files from a computer."""

from __future__ import annotations

import base64
import os

import pytest

from arker.local.engine import LocalFile
from arker.local.engine import protocol as engine

from .fake import outcome
from .kit import Bench, code, fork, read


class TestSignedReads:
    async def test_a_url_answers_the_version_that_it_was_made_for(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm, data = await fork(client), os.urandom(5_000_000)
            bench.engine.files[vm]["/home/user/f"] = data
            answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"})
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

    async def test_no_url_takes_another_method(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.files[vm]["/home/user/f"] = bytes(5_000_000)
            answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"})
            url = answer.json()["presigned_url"]
            assert code(await client.put(url, content=b"")) == "forbidden"
            assert (await client.head(url)).status_code == 403
            assert code(await client.post(url)) == "method_not_allowed"

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
    async def test_no_answer_is_much_larger_than_what_it_carries(
        self, bench: Bench, output: bytes, encoding: str
    ) -> None:
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

    async def test_content_of_every_kind_comes_back_as_it_was(self, bench: Bench) -> None:
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

    @pytest.mark.parametrize(
        ("opened", "content", "said"),
        [
            ("/proc/sys/kernel/ostype", "Linux\n", None),
            ("/proc", None, "is a directory"),
            ("/dev/zero", None, "grows while it is read"),
        ],
    )
    async def test_files_that_are_no_ordinary_ones(
        self, bench: Bench, opened: str, content: str | None, said: str | None
    ) -> None:
        async with bench.client() as client:
            vm = await fork(client)

            async def open_file(vm_id: str, path: str) -> engine.Readable:
                return LocalFile(os.open(opened, os.O_RDONLY))

            bench.engine.open_file = open_file  # type: ignore[method-assign]
            answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/x"})
            if said is None:
                assert answer.json()["content"] == content
            else:
                assert answer.status_code in (400, 409)
                assert said in answer.json()["error"]["message"].lower()

    async def test_a_file_over_the_limit_is_refused(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)
            bench.engine.files[vm]["/home/user/f"] = bytes(100_000_001)
            answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"})
            assert (answer.status_code, code(answer)) == (413, "payload_too_large")
