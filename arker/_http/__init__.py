"""HTTP/1.1 for the client: connecting, TLS, proxies, the pool, requests with their retries, and answers that are held
open. Private; `_sync` is derived from `_async`."""
