from __future__ import annotations

import contextlib
import copy
import json
import pickle
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker import ArkerError, ArkerTimeoutError, ConflictError, NotFoundError, RunResult, VmBusyError
from arker.errors import entry_error, in_doubt, no_answer, read_answer, redact, retry_after


def failure(status: int, body: object, headers: dict[str, str] | None = None, *secrets: str) -> ArkerError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ArkerError) as caught:
        read_answer(status, headers or {}, content, *secrets)
    return caught.value


class TestArkerError:
    def test_reads_as_code_and_message(self) -> None:
        error = ArkerError("not_found", "no such computer", 404)
        assert str(error) == "not_found: no such computer"
        assert (error.code, error.message, error.status) == ("not_found", "no such computer", 404)

    @pytest.mark.parametrize(
        "again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
    )
    def test_survives_copying_and_pickling_with_all_it_knows(self, again) -> None:
        result = RunResult(b"", b"", 1, 1.0, "0", "/")
        error = ArkerError(
            "x",
            "y",
            500,
            request_id="r",
            attempts=3,
            method="GET",
            route="/a",
            processed="maybe",
            retry_after=1.5,
            result=result,
        )
        error.add_note("seen")
        assert vars(again(error)) == vars(error)
        assert again(error).args == error.args

    @pytest.mark.parametrize(
        ("code", "status", "message", "retryable"),
        [
            ("rate_limited", 429, "", True),
            ("internal", 502, "", True),
            ("internal", 503, "", True),
            ("internal", 504, "", True),
            ("a_new_one", 503, "", True),
            ("network", 0, "", True),
            ("timeout", 0, "", True),
            ("internal", 500, "backend: 503 Service Unavailable", True),
            ("internal", 500, "not an answer of Arker's (text/html, 1503 bytes)", False),
            ("internal", 200, "ThrottlingException", True),
            ("internal", 500, "would throttle", True),
            ("internal", 500, "S3 SlowDown", True),
            ("internal", 500, "disk on fire", False),
            ("not_found", 404, "503", False),
            ("quota_exceeded", 429, "", False),
            ("conflict", 503, "", False),
            ("vm_busy", 409, "", False),
            ("unsupported_op", 503, "", False),
            ("unsupported_anything", 429, "", False),
            ("command_failed", 0, "", False),
            ("local_file", 0, "", False),
        ],
    )
    def test_knows_what_passes(self, code: str, status: int, message: str, retryable: bool) -> None:
        assert ArkerError(code, message, status).retryable is retryable


class TestReadAnswer:
    @pytest.mark.parametrize(
        "body", [{"ok": True, "x": 1}, {"x": 1}, {"error": None}, {"ok": True, "error": {"code": "x"}}]
    )
    def test_takes_a_success_as_it_is(self, body: object) -> None:
        answer = read_answer(200, {}, json.dumps(body).encode())
        assert answer.json() == body

    @pytest.mark.parametrize("status", [200, 404, 500])
    @pytest.mark.parametrize("envelope", [{"ok": False}, {}])
    def test_takes_both_envelopes_under_any_status(self, status: int, envelope: dict[str, object]) -> None:
        error = failure(
            status, {**envelope, "error": {"code": "brand_new", "message": "m", "request_id": "r1"}}
        )
        assert (error.code, error.message, error.status, error.request_id) == ("brand_new", "m", status, "r1")

    def test_takes_the_request_id_of_the_headers(self) -> None:
        assert (
            failure(404, {"error": {"code": "x", "message": ""}}, {"x-request-id": "h1"}).request_id == "h1"
        )

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (502, b"<html>Bad gateway</html>"),
            (500, b""),
            (404, {"detail": "not here"}),
            (404, []),
            (404, {"error": "text"}),
            (200, b"<html>hello</html>"),
            (200, b'{"a": '),
            (200, {"ok": False}),
            (302, b""),
            (200, b"[" * 100_000),
        ],
    )
    def test_calls_everything_else_internal_with_its_status(self, status: int, body: object) -> None:
        error = failure(status, body, {"content-type": "text/html; charset=utf-8"})
        assert (error.code, error.status) == ("internal", status)
        assert str(status) in error.message

    @pytest.mark.parametrize(
        ("status", "body", "processed"),
        [
            (429, b"<html>", "no"),
            (429, {"error": {"code": "internal", "message": ""}}, "no"),
            (503, b"<html>", "maybe"),
            (503, {"error": {"code": "internal", "message": ""}}, "maybe"),
            (503, {"error": {"code": "maintenance", "message": ""}}, "no"),
            (502, {"error": {"code": "internal", "message": ""}}, "maybe"),
            (500, {"error": {"code": "internal", "message": "SlowDown"}}, "maybe"),
            (200, {"error": {"code": "capacity_unavailable", "message": ""}}, "no"),
            (504, b"<html>", "maybe"),
            (404, {"error": {"code": "not_found", "message": ""}}, "yes"),
            (200, b"<html>", "maybe"),
        ],
    )
    def test_tells_what_may_have_been_acted_on(self, status: int, body: object, processed: str) -> None:
        assert failure(status, body).processed == processed

    def test_never_repeats_the_key_or_a_signature(self) -> None:
        message = "key sk_secret at https://store/x?X-Amz-Signature=abc, https://other/y?sig=def"
        error = failure(400, {"error": {"code": "x", "message": message}}, {}, "sk_secret")
        for secret in ("sk_secret", "abc", "def"):
            assert secret not in error.message
        assert "https://store/x" in error.message

    def test_does_not_carry_a_message_without_end(self) -> None:
        assert len(failure(500, {"error": {"code": "x", "message": "a" * 100_000}}).message) <= 2000

    @given(st.integers(100, 599), st.binary(max_size=200))
    def test_never_fails_otherwise(self, status: int, content: bytes) -> None:
        with contextlib.suppress(ArkerError):
            assert 200 <= read_answer(status, {}, content).status_code < 300

    @given(
        st.integers(100, 599),
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["ok", "error", "code", "message", "request_id"]), inner)
            ),
        ),
    )
    def test_never_fails_otherwise_on_json(self, status: int, body: object) -> None:
        with contextlib.suppress(ArkerError):
            assert 200 <= read_answer(status, {}, json.dumps(body).encode()).status_code < 300


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "7"}, 7.0),
            ({"retry-after": "0.25"}, 0.25),
            ({"retry-after-ms": "250"}, 0.25),
            ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
            ({"retry-after": "-3"}, 0.0),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
            ({"retry-after": "nan"}, None),
            ({"retry-after": "inf"}, None),
        ],
    )
    def test_reads_every_form(self, headers: dict[str, str], seconds: float | None) -> None:
        assert retry_after(headers) == seconds

    def test_reads_a_date_to_come(self) -> None:
        seconds = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
        assert seconds is not None
        assert 55 < seconds <= 60


class TestNoAnswer:
    def test_tells_a_timeout_from_a_broken_connection(self) -> None:
        assert no_answer(TimeoutError("late"), "host", sent=True).code == "timeout"
        assert no_answer(ConnectionResetError("reset"), "host", sent=True).code == "network"

    def test_tells_what_may_have_arrived(self) -> None:
        assert no_answer(OSError("x"), "host", sent=False).processed == "no"
        assert no_answer(OSError("x"), "host", sent=True).processed == "maybe"

    def test_names_the_host(self) -> None:
        assert "host:1" in no_answer(OSError("x"), "host:1", sent=False).message


def test_redact_leaves_other_text_alone() -> None:
    assert redact("why? because https://a/b is down") == "why? because https://a/b is down"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("not_found", NotFoundError),
        ("vm_busy", VmBusyError),
        ("timeout", ArkerTimeoutError),
        ("already_exists", ConflictError),
        ("unsupported_op", ArkerError),
        ("one_of_tomorrow", ArkerError),
    ],
)
def test_a_code_has_its_class(code: str, kind: type[ArkerError]) -> None:
    for error in (ArkerError(code, "m", 400, attempts=2), entry_error(code, "m", 200)):
        assert type(error) is kind
        assert repr(error).startswith(f"{kind.__name__}(code={code!r}")
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(twin) is kind
            assert vars(twin) == vars(error)


def test_a_subclass_of_ones_own_stays_one() -> None:
    class Mine(ArkerError):
        pass

    assert type(Mine("not_found", "m")) is Mine


@pytest.mark.parametrize(
    ("last", "why", "processed", "message"),
    [
        ("no", None, "no", "refused"),
        ("no", "an earlier attempt", "maybe", "refused; an earlier attempt"),
        ("maybe", "an earlier attempt", "maybe", "refused"),
        ("yes", "an earlier attempt", "yes", "refused"),
    ],
)
def test_the_error_is_about_the_whole_call(last, why, processed, message) -> None:
    error = ArkerError("network", "refused", processed=last)
    in_doubt(error, why)
    assert (error.processed, error.message, str(error)) == (processed, message, f"network: {message}")
