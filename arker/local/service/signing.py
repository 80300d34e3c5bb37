"""Signed URLs: a token that says what may be done with which bytes until when, and a signature that authenticates it.

A token is `<payload>.<signature>`, both base64url; the signature is HMAC-SHA256 over the payload, and the
payload names method, object, size and expiry. The token alone authorizes the request that carries it, so it
is never logged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import NamedTuple

from .errors import ApiError

#: Lifetime of a signed URL in seconds.
LIFETIME = 900


class Grant(NamedTuple):
    """What a signed URL allows.

    `object` is the upload to `PUT` to, or the path to `GET`; `version` pins what a `GET` answers (see
    `Files.open_signed`); `expires` is in seconds since the epoch.
    """

    method: str
    vm_id: str
    object: str
    size: int
    expires: int
    version: str = ""


def sign(secret: bytes, grant: Grant) -> str:
    """Return the token of a grant."""
    payload = _encode(json.dumps(grant._asdict(), separators=(",", ":")).encode())
    return f"{payload}.{_signature(secret, payload)}"


def verify(secret: bytes, token: str, *, method: str, now: float) -> Grant:
    """Verify a token and return its grant.

    Raises:
        ApiError: `forbidden` when the signature is not ours, the method differs, or the token has expired.
    """
    payload, _, signature = token.partition(".")
    if not hmac.compare_digest(_signature(secret, payload).encode(), signature.encode("utf-8", "replace")):
        raise ApiError(
            "forbidden", "the signature of this URL is not valid; use the URL exactly as it was returned"
        )
    grant = Grant(**json.loads(_decode(payload)))
    if grant.method != method:
        raise ApiError("forbidden", f"this URL is signed for {grant.method}, not {method}")
    if now >= grant.expires:
        raise ApiError("forbidden", f"this URL has expired ({LIFETIME} s after it was made); ask for another")
    return grant


def _signature(secret: bytes, payload: str) -> str:
    return _encode(hmac.digest(secret, payload.encode("utf-8", "replace"), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return binascii.a2b_base64(text.translate(str.maketrans("-_", "+/")) + "==")
