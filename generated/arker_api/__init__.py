"""The low-level client, generated from `openapi/`: `regional` and `control` (the global API)."""
