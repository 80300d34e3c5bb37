from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker import ArkerError, RetryPolicy
from arker.retry import decide

PASSING = ArkerError("unavailable", "", 503, processed="no")


def delay(policy: RetryPolicy = RetryPolicy(), error: ArkerError = PASSING, **given: object) -> float | None:  # noqa: B008
    return decide(
        policy,
        error,
        **{"attempt": 1, "repeatable": True, "keyed": True, "remaining": 100.0, "draw": 0.5, **given},
    )  # type: ignore[arg-type]


def test_the_pause_doubles_up_to_its_cap_and_is_drawn_from_all_of_it() -> None:
    policy = RetryPolicy(attempts=100, backoff=1, max_delay=5)
    assert [delay(policy, attempt=n, draw=1.0) for n in range(1, 6)] == [1, 2, 4, 5, 5]
    assert delay(policy, attempt=3, draw=0.0) == 0
    assert delay(policy, attempt=3, draw=0.5) == 2
    assert delay(policy, attempt=99, draw=0.5) == 2.5


def test_tries_end() -> None:
    policy = RetryPolicy(attempts=3)
    assert [delay(policy, attempt=n) is None for n in (1, 2, 3)] == [False, False, True]
    assert delay(RetryPolicy(attempts=1)) is None


def test_retry_after_comes_first_and_is_capped() -> None:
    policy = RetryPolicy(max_delay=5)
    assert delay(policy, ArkerError("unavailable", "", 503, retry_after=2.0)) == 2.0
    assert delay(policy, ArkerError("unavailable", "", 503, retry_after=600.0)) == 5


def test_no_pause_beyond_the_deadline() -> None:
    assert delay(error=ArkerError("unavailable", "", 503, retry_after=10.0), remaining=9.0) is None
    assert delay(error=ArkerError("unavailable", "", 503, retry_after=10.0), remaining=11.0) == 10.0


@pytest.mark.parametrize("processed", ["no", "maybe", "yes"])
def test_repeatable_requests_are_retried_whatever_was_processed(processed) -> None:
    assert delay(error=ArkerError("timeout", "", processed=processed)) is not None


@pytest.mark.parametrize(("processed", "again"), [("no", True), ("maybe", False), ("yes", False)])
def test_unrepeatable_requests_are_retried_only_if_they_were_not_processed(processed, again: bool) -> None:
    error = ArkerError("timeout", "", processed=processed)
    assert (delay(error=error, repeatable=False) is not None) is again
    assert delay(RetryPolicy(resend=True), error, repeatable=False) is not None
    # Without a key nobody could tell the second from the first.
    assert (delay(RetryPolicy(resend=True), error, repeatable=False, keyed=False) is not None) is again


def test_final_errors_are_not_retried() -> None:
    for policy in (RetryPolicy(), RetryPolicy(resend=True)):
        assert delay(policy, ArkerError("not_found", "", 404)) is None
        assert delay(policy, ArkerError("quota_exceeded", "", 429)) is None


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"backoff": -1}, {"max_delay": -0.1}, {"backoff": float("nan")}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="must be"):
        RetryPolicy(**wrong)


@pytest.mark.parametrize("attempts", [True, 2.5, "3", None])
def test_attempts_are_counted(attempts) -> None:
    with pytest.raises(TypeError, match="attempts is an int"):
        RetryPolicy(attempts=attempts)


@given(
    st.integers(1, 10_000),
    st.booleans(),
    st.booleans(),
    st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True),
    st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_a_pause_is_never_negative_nor_beyond_cap_or_deadline(
    attempt, repeatable, keyed, remaining, draw, asked
) -> None:
    policy = RetryPolicy(attempts=100_000)
    pause = decide(
        policy,
        ArkerError("unavailable", "", 503, retry_after=asked),
        attempt=attempt,
        repeatable=repeatable,
        keyed=keyed,
        remaining=remaining,
        draw=draw,
    )
    assert pause is None or 0 <= pause <= policy.max_delay
    assert pause is None or pause < remaining
