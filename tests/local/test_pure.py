"""The decisions that are functions of values: ranges, byte ranges, signatures, requests, the rate limit."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker.local.engine.protocol import Unsupported
from arker.local.http.errors import status_of
from arker.local.http.ratelimit import RateLimit
from arker.local.http.routes.files import byte_range
from arker.local.http.schemas import (
    ForkByNameRequest,
    ForkRequest,
    ListQuery,
    RunRequest,
    SyncRequest,
    check_sync,
    parse,
    parse_large,
    parse_query,
)
from arker.local.service import keys, ranges, signing
from arker.local.service.errors import ApiError
from arker.local.service.files import check_path
from arker.local.service.translation import api_errors
from arker.local.service.uploads import Chunk, check_chunk

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)
SECRET = b"s" * 32


def refused(code: str) -> pytest.RaisesExc[ApiError]:
    return pytest.RaisesExc(ApiError, check=lambda error: error.code == code)


class TestRanges:
    @given(RANGES)
    def test_merging_keeps_exactly_the_bytes(self, given_ranges: list[ranges.Range]) -> None:
        merged = ranges.merge(given_ranges)
        assert {b for r in merged for b in range(*r)} == {b for r in given_ranges for b in range(*r)}

    @given(RANGES)
    def test_merged_ranges_are_in_order_and_never_touch(self, given_ranges: list[ranges.Range]) -> None:
        merged = ranges.merge(given_ranges)
        assert all(start < end for start, end in merged)
        assert all(one[1] < two[0] for one, two in itertools.pairwise(merged))

    @given(RANGES, st.integers(0, 60))
    def test_a_file_is_covered_when_every_byte_is(self, given_ranges: list[ranges.Range], size: int) -> None:
        inside = ranges.merge((min(start, size), min(end, size)) for start, end in given_ranges)
        assert ranges.covers(inside, size) == (len({b for r in inside for b in range(*r)}) == size)


class TestByteRange:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (None, None),
            ("bytes=0-", (0, 100)),
            ("bytes=10-19", (10, 20)),
            ("bytes=90-500", (90, 100)),
            ("bytes=-1", (99, 100)),
            ("bytes=-500", (0, 100)),
            # What need not be understood is answered with all of it.
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("lines=0-1", None),
            ("bytes=a-b", None),
        ],
    )
    def test_valid_ranges(self, header: str | None, expected: tuple[int, int] | None) -> None:
        assert byte_range(header, 100) == expected

    @pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=999999999999999999999999-"])
    def test_ranges_beyond_the_end_are_refused(self, header: str) -> None:
        with refused("unsupported_range") as caught:
            byte_range(header, 100)
        assert status_of(caught.value) == 416
        assert caught.value.headers == {"Content-Range": "bytes */100"}

    @given(st.text("0123456789-=bytes, ", max_size=20), st.integers(0, 50))
    def test_every_range_lies_inside_the_file(self, header: str, size: int) -> None:
        found = None
        with contextlib.suppress(ApiError):
            found = byte_range("bytes=" + header, size)
        assert found is None or 0 <= found[0] < found[1] <= size


class TestSigning:
    GRANT = signing.Grant("PUT", "vm", "object", 10, 1000)

    def test_a_token_carries_its_grant(self) -> None:
        token = signing.sign(SECRET, self.GRANT)
        assert signing.verify(SECRET, token, method="PUT", now=999) == self.GRANT

    def test_another_method_is_refused(self) -> None:
        with refused("forbidden"):
            signing.verify(SECRET, signing.sign(SECRET, self.GRANT), method="GET", now=0)

    @pytest.mark.parametrize("now", [1000, 1000.1, 10**10])
    def test_a_late_call_is_refused(self, now: float) -> None:
        with refused("forbidden"):
            signing.verify(SECRET, signing.sign(SECRET, self.GRANT), method="PUT", now=now)

    @pytest.mark.parametrize("field", ["method", "vm_id", "object", "size", "expires", "version"])
    def test_no_part_of_a_grant_can_be_changed(self, field: str) -> None:
        payload, _, signature = signing.sign(SECRET, self.GRANT).partition(".")
        content = json.loads(base64.urlsafe_b64decode(payload + "=="))
        content[field] = content[field] * 2 if isinstance(content[field], int) else content[field] + "x"
        forged = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
        with refused("forbidden"):
            signing.verify(SECRET, f"{forged}.{signature}", method="PUT", now=0)

    @given(st.integers(0, 400), st.characters())
    def test_no_changed_token_is_accepted(self, position: int, character: str) -> None:
        token = signing.sign(SECRET, self.GRANT)
        position %= len(token)
        changed = token[:position] + character + token[position + 1 :]
        if changed != token:
            with refused("forbidden"):
                signing.verify(SECRET, changed, method="PUT", now=0)

    @given(st.text(max_size=50))
    def test_rubbish_is_refused(self, token: str) -> None:
        with refused("forbidden"):
            signing.verify(SECRET, token, method="PUT", now=0)

    def test_the_token_of_another_deployment_is_refused(self) -> None:
        with refused("forbidden"):
            signing.verify(b"t" * 32, signing.sign(SECRET, self.GRANT), method="PUT", now=0)


class TestRateLimit:
    def test_the_bucket_allows_one_second_s_requests_then_one_at_a_time(self) -> None:
        limit = RateLimit(10)
        assert [limit.wait("org", 0.0) for _ in range(10)] == [0.0] * 10
        assert limit.wait("org", 0.0) == pytest.approx(0.1)
        assert limit.wait("org", 0.1) == 0.0
        assert limit.wait("org", 0.1) > 0

    def test_an_organization_does_not_feel_another(self) -> None:
        limit = RateLimit(1)
        assert limit.wait("one", 0) == 0
        assert limit.wait("two", 0) == 0
        assert limit.wait("one", 0) > 0

    def test_no_limit(self) -> None:
        limit = RateLimit(0)
        assert not any(limit.wait("org", 0) for _ in range(1000))

    def test_a_rate_below_one_a_second(self) -> None:
        limit = RateLimit(0.5)
        assert limit.wait("org", 0) == 0
        assert limit.wait("org", 0) == pytest.approx(2)

    @pytest.mark.parametrize("rate", [-1, float("nan"), float("inf")])
    def test_invalid_rates_are_refused(self, rate: float) -> None:
        with pytest.raises(ValueError, match="rate limit"):
            RateLimit(rate)


CHUNK = {"path": "/home/user/f", "size": 2, "upload_id": "0" * 26, "start": 0, "end": 2, "content": "aGk="}


class TestRequests:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("{}", "is_public: missing"),
            ('{"is_public": 1}', "is_public: "),
            ('{"is_public": "true"}', "is_public: "),
            ('{"is_public": true, "nmae": "x"}', "nmae: unknown field"),
            ('{"is_public": true, "name": ""}', "name: "),
            ('{"is_public": true, "name": null}', "`name` must not be null"),
            ('{"is_public": true, "name": "%s"}' % ("n" * 129), "name: "),
            ('{"is_public": true, "name": "\\ud800"}', "not JSON"),
            ("[]", "body: expected a JSON object"),
            ("null", "body: expected a JSON object"),
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[" * 10_000, "not JSON"),
            (b'{"is_public": true, "name": "\xff"}', "not JSON"),
        ],
    )
    def test_a_fork_that_is_wrong_says_where(self, body: str | bytes, said: str) -> None:
        with refused("bad_request") as caught:
            parse(ForkRequest, body if isinstance(body, bytes) else body.encode())
        assert said in caught.value.message

    def test_messages_never_repeat_the_value(self) -> None:
        with refused("bad_request") as caught:
            parse(RunRequest, b'{"command": ["hunter2"], "session_id": 0}')
        assert "hunter2" not in caught.value.message

    @pytest.mark.parametrize(
        ("given_id", "name"), [("0", "0"), ('"0"', "0"), ("7", "7"), ("7.0", "7"), ('"a-b_c.d"', "a-b_c.d")]
    )
    def test_sessions_have_names(self, given_id: str, name: str) -> None:
        assert parse(RunRequest, f'{{"command": "", "session_id": {given_id}}}'.encode()).session_id == name

    @pytest.mark.parametrize(
        "given_id",
        [
            "-1",
            "true",
            "null",
            "1.5",
            '""',
            '"a b"',
            '"../x"',
            '"."',
            '".."',
            '"-x"',
            '"a\\n"',
            '"' + "a" * 65 + '"',
        ],
    )
    def test_invalid_session_ids_are_refused(self, given_id: str) -> None:
        with refused("bad_request") as caught:
            parse(RunRequest, f'{{"command": "", "session_id": {given_id}}}'.encode())
        assert "session_id" in caught.value.message

    @pytest.mark.parametrize("timeout", ["-1", "1.5", "true", '"5"', "null", "1e999", "NaN", "9" * 5000])
    def test_invalid_timeouts_are_refused(self, timeout: str) -> None:
        with refused("bad_request"):
            parse(RunRequest, f'{{"command": "", "session_id": 0, "timeout": {timeout}}}'.encode())

    def test_a_huge_timeout_is_a_timeout(self) -> None:
        assert parse(RunRequest, b'{"command": "", "session_id": 0, "timeout": %s}' % (b"9" * 30)).timeout > 0

    def test_whole_numbers_may_be_written_as_json_likes(self) -> None:
        assert parse(RunRequest, b'{"command": "", "session_id": 0, "timeout": 1e3}').timeout == 1000

    def test_the_source_of_a_fork_by_name_is_called_from(self) -> None:
        assert parse(ForkByNameRequest, b'{"from": "x", "is_public": false}').source == "x"
        with refused("bad_request"):
            parse(ForkByNameRequest, b'{"source": "x", "is_public": false}')

    @pytest.mark.parametrize(
        ("body", "code", "said"),
        [
            ({"op": "move"}, "unsupported_op", "op"),
            ({"op": "read"}, "bad_request", "path: missing"),
            (
                {"op": "read", "path": "/home/user/f", "writes": [CHUNK]},
                "bad_request",
                "writes: not a field of a read",
            ),
            ({"op": "write"}, "bad_request", "writes: missing"),
            ({"op": "write", "writes": []}, "bad_request", "writes: "),
            ({"op": "write", "writes": [CHUNK, {**CHUNK, "end": None}]}, "bad_request", "writes[1]"),
            ({"op": "write", "writes": [{**CHUNK, "presigned": True}]}, "bad_request", "writes[0].presigned"),
            ({"op": "write", "writes": [{**CHUNK, "content": "a*"}]}, "bad_request", "writes[0].content"),
            ({"op": "write", "writes": [{**CHUNK, "upload_id": "x"}]}, "bad_request", "writes[0].upload_id"),
            ({"op": "write", "writes": [{**CHUNK, "sha256": "AB"}]}, "bad_request", "writes[0].sha256"),
            ({"op": "write", "writes": [{**CHUNK, "path": "etc/passwd"}]}, "bad_request", "writes[0].path"),
            (
                {"op": "write", "writes": [{"path": "/home/user/f", "size": 1}]},
                "bad_request",
                "writes[0].upload_id: missing",
            ),
            (
                {"op": "write", "writes": [{"path": "/home/user/f", "size": 1, "presigned": False}]},
                "bad_request",
                "writes[0].presigned: expected true",
            ),
            (
                {"op": "write", "writes": [{"path": "/home/user/f", "size": 100_000_001, "presigned": True}]},
                "payload_too_large",
                "writes[0].size",
            ),
            (
                {
                    "op": "write",
                    "writes": [{**CHUNK, "content": base64.b64encode(bytes(4 * 1024 * 1024 + 1)).decode()}],
                },
                "payload_too_large",
                "writes[0].content",
            ),
        ],
        ids=lambda value: str(value)[:120],
    )
    def test_a_sync_that_is_wrong_says_where(self, body: object, code: str, said: str) -> None:
        with refused(code) as caught:
            check_sync(parse(SyncRequest, json.dumps(body).encode()))
        assert said in caught.value.message

    @pytest.mark.parametrize(
        "entry",
        [
            CHUNK,
            {**CHUNK, "sha256": "a" * 64},
            {"path": "/home/user/f", "size": 100_000_000, "presigned": True},
            {"path": "/home/user/f", "size": 0, "upload_id": "0" * 26},
        ],
    )
    def test_the_three_kinds_of_entries(self, entry: object) -> None:
        check_sync(parse(SyncRequest, json.dumps({"op": "write", "writes": [entry]}).encode()))

    @pytest.mark.parametrize(
        "path",
        [
            "/home/user/a",
            "/home/user/a/b",
            "/home/user/..a",
            "/home/user/a..",
            "/home/user/.hidden",
            "/home/user/ä b",
        ],
    )
    def test_paths_of_files(self, path: str) -> None:
        check_path(path)

    @pytest.mark.parametrize(
        "path",
        [
            "/home/user/",
            "/home/user/..",
            "/home/user/../x",
            "/home/user/a/../b",
            "/home/user/a/",
            "relative",
            "/home/user/a\0b",
            "/home/user/.",
            "/home/user/" + "a" * 256,
            "/home/user" + "/a" * 2100,
        ],
    )
    def test_impossible_paths_are_refused(self, path: str) -> None:
        with refused("bad_request"):
            check_path(path)

    @pytest.mark.parametrize(
        ("size", "start", "end", "content"),
        [(10, 0, 10, b"123"), (10, 5, 4, b""), (10, 8, 11, b"123"), (10, 3, 3, b""), (0, 0, 0, b"x")],
    )
    def test_invalid_chunks_are_refused(self, size: int, start: int, end: int, content: bytes) -> None:
        entry = Chunk("/home/user/f", size, "0" * 26, start, end, content)
        with refused("bad_request"):
            check_chunk(entry)

    @pytest.mark.parametrize(
        "query",
        [
            [("limit", "0")],
            [("limit", "101")],
            [("limit", "x")],
            [("limit", "1.0")],
            [("limit", "+1")],
            [("limit", " 1")],
            [("limit", "\N{ARABIC-INDIC DIGIT ONE}")],
            [("offset", "-1")],
            [("sort", "name")],
            [("q", "a" * 129)],
            [("limt", "1")],
            [("limit", "1"), ("limit", "1")],
            [("limit", "9" * 400)],
        ],
    )
    def test_invalid_queries_are_refused(self, query: list[tuple[str, str]]) -> None:
        with refused("bad_request") as caught:
            parse_query(ListQuery, query)
        assert query[0][0] in caught.value.message

    def test_a_list_s_defaults(self) -> None:
        assert parse_query(ListQuery, []) == ListQuery(limit=25, offset=0, q="", sort="-created_at")


class TestKeys:
    def test_keys_are_long_and_never_the_same(self) -> None:
        made = {keys.generate() for _ in range(100)}
        assert len(made) == 100
        for key in made:
            keys.check(key)
            assert len(key) >= 40

    @pytest.mark.parametrize(
        "key", ["", "short", "with a blank in it", "line\nbreak_____________", "ü" * 20, "a" * 513]
    )
    def test_weak_keys_are_refused(self, key: str) -> None:
        with pytest.raises(ValueError, match="API key"):
            keys.check(key)


class TestLargeBodies:
    """A body that is parsed in slices is what it is when parsed as a whole."""

    ENTRY = {"path": '/home/user/\\"[{,:}]', "size": 1, "presigned": True}  # noqa: RUF012

    @pytest.mark.parametrize("entries", [1, 2, 3000])
    @pytest.mark.parametrize("first", ["op", "writes"])
    @pytest.mark.parametrize("indent", [None, 2])
    def test_nothing_is_lost(self, entries: int, first: str, indent: int | None) -> None:
        body = {"op": "write", "writes": [{**self.ENTRY, "size": n} for n in range(entries)]}
        text = json.dumps({first: body.pop(first), **body}, indent=indent).encode()
        whole = parse(SyncRequest, text)
        assert parse_large(SyncRequest, text, "writes", 1000) == whole
        assert whole.writes is not None
        assert len(whole.writes) == entries

    @pytest.mark.parametrize("at", [0, 1, 1500, 2999])
    def test_errors_name_the_place(self, at: int) -> None:
        body = {"op": "write", "writes": [dict(self.ENTRY) for _ in range(3000)]}
        body["writes"][at]["size"] = -1  # type: ignore[index]
        text = json.dumps(body).encode()
        with refused("bad_request") as whole:
            parse(SyncRequest, text)
        with refused("bad_request") as sliced:
            parse_large(SyncRequest, text, "writes", 1000)
        assert sliced.value.message == whole.value.message
        assert f"writes[{at}].size" in sliced.value.message

    @given(st.binary(max_size=40) | st.text('[]{},:"\\\\ 0aopwrites', max_size=40).map(str.encode))
    def test_invalid_json_is_refused_as_by_the_parser(self, text: bytes) -> None:
        for body in (text, b'{"op":"write","writes":[' + text + b"]}", b'{"op":"' + text + b'"}'):
            try:
                whole: object = parse(SyncRequest, body)
            except ApiError:
                with refused("bad_request"):
                    parse_large(SyncRequest, body, "writes", 1000)
            else:
                assert parse_large(SyncRequest, body, "writes", 1000) == whole


def test_unsupported_by_the_engine_is_no_failure_of_the_deployment() -> None:
    with pytest.raises(ApiError) as caught, api_errors():
        raise Unsupported("the computer shares the network of the host")
    assert (caught.value.code, status_of(caught.value)) == ("unsupported_operation", 422)
