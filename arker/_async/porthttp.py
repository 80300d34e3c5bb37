"""httpx clients for servers in computers. A separate module, because importing httpx takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from arker.config import Config

#: Options of an httpx client that are those of its connections.
_OF_CONNECTIONS: Final = ("verify", "cert", "http1", "http2", "limits")


def async_port_client(config: Config, url: str, options: dict[str, Any]) -> httpx.AsyncClient:
    """Return a client for the server at the URL of a port, and, without the key, for any other URL."""
    own: dict[str, Any] = {name: options[name] for name in _OF_CONNECTIONS if name in options}
    return httpx.AsyncClient(base_url=url, mounts={url: AsyncPortTransport(config, own)}, **options)


class AsyncPortTransport(httpx.AsyncHTTPTransport):
    """Sends the requests for one port to its deployment, whatever their host name resolves to, with the key."""

    def __init__(self, config: Config, options: dict[str, Any]) -> None:
        super().__init__(**options)
        self._config = config

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        base = self._config.regional
        # The `Host` header stays that of the port.
        url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
        # Not in the caller's request: a redirect would pass on its URL, and `response.request` would show the key.
        sent = httpx.Request(
            request.method,
            url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        # `Authorization` is the server's.
        sent.headers["Arker-Authorization"] = f"Bearer {self._config.api_key}"
        return await super().handle_async_request(sent)
