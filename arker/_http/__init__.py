"""HTTP/1.1 for the client: connections, TLS, proxies, the pool, requests with retries, and answers that stay open.
Private; `_sync` is derived from `_async`."""
