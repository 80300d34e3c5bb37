"""Behaviour of every request: routes, bodies, ids, logs, limits, counters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from arker.local.http.app import create_app
from arker.local.http.endpoint import authenticate, who
from arker.local.http.metrics import Metrics

from .kit import BASE, KEY, Bench, code, fork, other_client, write


class TestRoutes:
    @pytest.mark.parametrize(
        ("method", "path", "status", "expected"),
        [
            ("GET", "/", 404, "not_found"),
            ("GET", "/api/v1", 404, "not_found"),
            ("GET", "/api/v1/health/", 404, "not_found"),
            ("POST", f"/api/v1/vms/{BASE}/frok", 404, "not_found"),
            ("GET", f"/api/v1/vms/{BASE}/runs", 403, "forbidden"),
            ("PUT", f"/api/v1/vms/{BASE}/run", 405, "unsupported_method"),
            ("DELETE", "/api/v1/vms/list", 405, "unsupported_method"),
            ("GET", "/api/v1/vms/fork", 405, "unsupported_method"),
            ("PUT", f"/api/v1/vms/{BASE}", 405, "method_not_allowed"),
            ("OPTIONS", "/api/v1/health", 405, "method_not_allowed"),
            ("TRACE", "/api/v1/whoami", 405, "method_not_allowed"),
            ("GET", "/api/v1/vms/short", 404, "not_found"),
            ("GET", "/api/v1/vms/%2e%2e", 404, "not_found"),
            ("GET", "/api/v1/vms/" + "0" * 5000, 404, "not_found"),
        ],
    )  # fmt: skip
    async def test_unknown_paths(
        self, bench: Bench, method: str, path: str, status: int, expected: str
    ) -> None:
        async with bench.client() as client:
            answer = await client.request(method, path)
            assert (answer.status_code, code(answer)) == (status, expected)
            if status == 405:
                assert answer.headers["allow"]
                assert method not in answer.headers["allow"].split(", ")

    async def test_bodies_that_are_no_json_by_their_headers(self, bench: Bench) -> None:
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

    async def test_a_request_id_is_taken_over_if_it_is_one(self, bench: Bench) -> None:
        async with bench.client() as client:
            answer = await client.get("/api/v1/health", headers={"X-Request-Id": "abc-1.2"})
            assert answer.headers["x-request-id"] == "abc-1.2"
            for bad in ("a b", "x" * 65, "a=1 status=200"):
                answer = await client.get("/api/v1/health", headers={"X-Request-Id": bad})
                assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])

    async def test_the_log_has_a_line_a_request_and_no_secret(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "arker.request")
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
            "method=GET route=/api/v1/vms/{vm_id} status=404",
        ]
        assert f"vm={vm}" in lines[1]
        assert lines[0].endswith(f" child={vm}")
        assert not any("forged" in line for line in lines)

    async def test_a_rate_limit_says_when_to_come_again(self, make_bench: Callable[..., Bench]) -> None:
        # One request, and no second one as long as the test lasts.
        bench = make_bench(rate_limit=0.001)
        async with bench.client() as client, other_client(bench, client) as other:
            answers = [await client.get("/api/v1/whoami") for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 429, 429]
            assert code(answers[-1]) == "rate_limited"
            assert int(answers[-1].headers["retry-after"]) >= 1
            assert (await other.get("/api/v1/whoami")).status_code == 200
            assert (await client.get("/api/v1/health")).status_code == 200

    async def test_metrics_are_free_for_this_machine_only(self, make_bench: Callable[..., Bench]) -> None:
        behind_a_proxy = {"public_url": "https://arker.example"}
        for options, host, status in (
            ({}, "127.0.0.1", 200),
            ({}, "192.0.2.1", 401),
            (behind_a_proxy, "127.0.0.1", 401),
        ):
            async with make_bench(**options).client(host) as client:
                client.base_url = httpx.URL("http://127.0.0.1")
                assert (await client.get("/metrics")).status_code == 200
                del client.headers["Authorization"]
                assert (await client.get("/metrics")).status_code == status

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 200),
            ("LOCALHOST.:8720", 200),
            ("127.0.0.2:80", 200),
            ("[::1]:8720", 200),
            ("attacker.example", 401),
            ("127.0.0.1.attacker.example:8720", 401),
            ("10.0.0.1", 401),
            ("", 401),
        ],
    )
    async def test_metrics_without_a_key_are_not_for_pages_of_other_sites(
        self, bench: Bench, host: str, status: int
    ) -> None:
        async with bench.client() as client:
            key = client.headers.pop("authorization")
            assert (await client.get("/metrics", headers={"Host": host})).status_code == status
            answer = await client.get("/metrics", headers={"Host": host, "Authorization": key})
            assert answer.status_code == 200

    async def test_metrics_count_what_was_answered(self, bench: Bench) -> None:
        async with bench.client() as client:
            await fork(client)
            await client.get("/api/v1/vms/short")
            text = (await client.get("/metrics")).text
            route = 'method="POST",route="/api/v1/vms/{vm_id}/fork"'
            assert f'arker_requests_total{{{route},status="200"}} 1\n' in text
            assert f'arker_request_seconds_bucket{{{route},le="+Inf"}} 1\n' in text
            assert 'route="/api/v1/vms/{vm_id}",status="404"} 1\n' in text
            assert "\narker_computers 1\n" in text
            for line in text.splitlines():
                assert re.fullmatch(
                    r"# (HELP|TYPE) \w+ .+|\w+(\{[^{}]*(\{vm_id\})?[^{}]*\})? [-+.e0-9]+", line
                ), line


class TestWebSockets:
    """The edge serves WebSockets as it does requests; there is no route of one here, so the app is a small one."""

    async def serve(
        self,
        bench: Bench,
        endpoint: Any,
        path: str = "/ws",
        *,
        extensions: tuple[str, ...] = (),
        key: str = KEY,
    ) -> tuple[list[dict[str, Any]], str]:
        """What the app sends to a client that connects and then goes away, and the text of its metrics."""
        async with bench.platform() as platform:
            metrics = Metrics()
            app = create_app(platform, metrics, own_url="http://127.0.0.1:1")
            app.router.routes.append(WebSocketRoute("/ws", endpoint))
            sent: list[dict[str, Any]] = []
            coming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

            async def receive() -> dict[str, Any]:
                return coming.pop(0)

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {
                "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
                "headers": [(b"authorization", f"Bearer {key}".encode()), (b"x-request-id", b"mine")],
                "subprotocols": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "ws",
                "extensions": {name: {} for name in extensions},
            }  # fmt: skip
            await app(scope, receive, send)
            return sent, metrics.text({})

    @staticmethod
    async def echo(socket: WebSocket) -> None:
        authenticate(socket)
        await socket.accept()
        await socket.send_text(who(socket).org_id)
        await socket.close()

    async def test_one_is_authenticated_named_and_counted(self, bench: Bench) -> None:
        sent, metrics = await self.serve(bench, self.echo)
        assert [message["type"] for message in sent] == [
            "websocket.accept",
            "websocket.send",
            "websocket.close",
        ]
        assert (b"x-request-id", b"mine") in sent[0]["headers"]
        assert sent[1]["text"] == "org_local"
        assert 'arker_requests_total{method="WEBSOCKET",route="/ws",status="101"} 1' in metrics

    async def test_a_refusal_is_an_http_answer_where_the_server_can_send_one(self, bench: Bench) -> None:
        sent, metrics = await self.serve(
            bench, self.echo, extensions=("websocket.http.response",), key="k" * 20
        )
        assert sent[0]["type"] == "websocket.http.response.start"
        assert sent[0]["status"] == 401
        assert b'"code":"unauthorized"' in sent[1]["body"]
        assert 'route="/ws",status="401"' in metrics

    async def test_elsewhere_it_is_a_close_frame(self, bench: Bench) -> None:
        sent, metrics = await self.serve(bench, self.echo, key="k" * 20)
        assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]
        assert sent[0]["reason"].startswith("unauthorized: ")
        assert 'route="/ws",status="403"' in metrics

    async def test_a_failure_after_the_handshake_closes_it_without_details(self, bench: Bench) -> None:
        async def fault(socket: WebSocket) -> None:
            await socket.accept()
            raise RuntimeError("secret detail")

        sent, _ = await self.serve(bench, fault)
        assert [(message["type"], message.get("code")) for message in sent] == [
            ("websocket.accept", None),
            ("websocket.close", 1011),
        ]
        assert "secret" not in sent[1]["reason"]
        assert len(sent[1]["reason"].encode()) <= 123

    async def test_a_path_without_one_is_refused(self, bench: Bench) -> None:
        sent, metrics = await self.serve(bench, self.echo, "/api/v1/whoami")
        assert sent[-1]["type"] == "websocket.close"
        assert 'method="WEBSOCKET",route="-",status="403"' in metrics
