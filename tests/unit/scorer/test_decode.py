"""Decode: bytes of a telemetry record → a checked value, or a dead letter with its reason."""

import hashlib

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import KINDS
from processor.dead_letter import TRUNCATED_BYTES, dead_letter, letter
from processor.records import UNREADABLE_HEADERS, ConsumerRecord, DeadLetter
from processor.scorer.decode import Decoded, decode, decode_all
from processor.settings import Limits
from processor.topics import DEAD_LETTER_LIMIT
from tests.unit.builders import NOW, record, vector

LIMITS = Limits(record_bytes=10_000, features=50, samples=100)


def decoded(value: object, *, kind: str = "features", **wanted: object) -> Decoded | DeadLetter:
    return decode(record(value, kind=kind, **wanted), kind, LIMITS)


def reason(value: object, **wanted: object) -> str | None:
    found = decoded(value, **wanted)
    return found.reason if isinstance(found, DeadLetter) else None


def nested(depth: int) -> bytes:
    """A valid record whose unknown field brings the whole to ``depth`` levels."""
    inner = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"values": {"a": 1}, "x": ' + inner + b"}"


class TestKey:
    @pytest.mark.parametrize(
        "key",
        [
            "p",
            "x" * 256,
            "é" * 128,
            "a:b/c d",
            "..",
            "漢字",
            "\u00a0",
            "\u200b",
            "😀",
        ],
    )
    def test_is_the_profile_id(self, key):
        found = decoded(vector(1.0), key=key)
        assert isinstance(found, Decoded)
        assert found.profile_id == key

    @pytest.mark.parametrize(
        "key", [None, b"", b"x" * 257, "é".encode() * 129, b"\xff", b"\xc3", b"\xed\xa0\x80"]
    )
    def test_is_1_to_256_bytes_of_utf8(self, key):
        assert reason(vector(1.0), key=key) == "invalid_key"

    @pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
    def test_holds_no_control_character(self, code):
        assert reason(vector(1.0), key=f"a{chr(code)}b") == "invalid_key"


class TestNames:
    """A feature's name obeys the rule of keys: it is shown, and copied into what is written."""

    @pytest.mark.parametrize(
        "name", ["a", "x" * 256, "é" * 128, "UD.l.Return", "漢字", "\u200b", "[red]", "😀", " "]
    )
    def test_of_features_are_1_to_256_bytes(self, name):
        values = {"values": {"first": 1.0, name: 2.0}}

        assert reason(values) is None
        assert isinstance(together(values), Decoded)

    @pytest.mark.parametrize(
        "name",
        ["", "x" * 257, "é" * 129, "\x1b[2J", "a\nb", "\x7f", "\x85", *map(chr, range(0x20))],
    )
    def test_of_other_features_are_an_invalid_record_with_the_field(self, name):
        values = {"values": {"first": 1.0, name: 2.0}}

        alone = decoded(values)

        assert isinstance(alone, DeadLetter)
        assert alone.reason == "invalid_record"
        assert alone.detail.startswith("$.values should have names of 1 to 256 bytes")
        assert "name 1: " in alone.detail
        assert alone.detail.isascii()
        assert alone.detail.isprintable()
        assert together(values) == alone

    def test_are_looked_at_again_if_they_differ_within_a_batch(self):
        good, bad = vector(1.0), {"values": {"a\x1b": 1.0}}
        records = [record(value, key="p") for value in (good, good, bad, good, bad, [1.0])]

        found = decode_all(records, {records[0].topic: "features"}, LIMITS)

        assert [isinstance(one, Decoded) for one in found] == [
            True,
            True,
            False,
            True,
            False,
            False,
        ]

    def test_elsewhere_than_in_values_are_nobodys_business(self):
        assert reason({"values": {"a": 1.0}, "\x1b": {"\x1b": 1}}) is None


def together(value: object) -> Decoded | DeadLetter:
    """A record decoded with another one in a batch."""
    records = [record(vector(1.0), key="p"), record(value, key="p")]
    return decode_all(records, {records[0].topic: "features"}, LIMITS)[1]


class TestJson:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"",
            b" ",
            b"null",
            b"[]",
            b"1",
            b'"text"',
            b"{",
            b'{"values": {"a": 1}} x',
            b'{"values": {"a": 1}}{}',
            b'\xef\xbb\xbf{"values": {"a": 1}}',
            b'{"values": {"a": NaN}}',
            b'{"values": {"a": Infinity}}',
            b'{"values": {"a": -Infinity}}',
            b'{"values": {"a": 1e400}}',
            b'{"x": -1e400, "values": {"a": 1}}',
            b'{"values": {"a": 01}}',
            b'{"values": {"a": 1,}}',
            b"{'values': {'a': 1}}",
            b'{"values": {"a": "\xff"}}',
            b'{"values": {"a": 1}} \x00',
        ],
    )
    def test_other_than_one_strict_object_is_a_dead_letter(self, value):
        assert reason(value) == "invalid_json"

    def test_may_nest_64_deep(self):
        assert isinstance(decoded(nested(64)), Decoded)

    def test_nested_65_deep_is_a_dead_letter(self):
        assert reason(nested(65)) == "invalid_json"

    def test_nested_beyond_any_stack_is_a_dead_letter(self):
        assert reason(b"[" * 9000) == "invalid_json"

    @pytest.mark.parametrize(
        "value",
        [
            {},
            {"values": None},
            {"values": 1},
            {"values": {"a": True}},
            {"values": {"a": "1"}},
            {"values": [1, "2"]},
            {"values": [[1]]},
            {"values": {"a": {"b": 1}}},
        ],
    )
    def test_of_the_wrong_types_is_a_dead_letter(self, value):
        assert reason(value) == "invalid_record"

    def test_unknown_fields_are_ignored(self):
        assert isinstance(decoded(vector(1.0) | {"more": [None]}), Decoded)


class TestLimits:
    def test_a_value_as_large_as_allowed_is_taken(self):
        raw = orjson.dumps(vector(1.0)).ljust(LIMITS.record_bytes)
        assert isinstance(decoded(raw), Decoded)
        assert reason(raw + b" ") == "too_large"

    def test_size_is_told_before_the_value_is_parsed(self):
        assert reason(b"{" * (LIMITS.record_bytes + 1)) == "too_large"

    @pytest.mark.parametrize("values", [[0.0] * 51, {f"f{i}": 0 for i in range(51)}])
    def test_too_many_features(self, values):
        assert reason({"values": values}) == "too_large"

    def test_as_many_features_as_allowed(self):
        assert isinstance(decoded({"values": [0.0] * 50}), Decoded)

    @pytest.mark.parametrize(("count", "expected"), [(100, None), (101, "too_large")])
    def test_samples(self, count, expected):
        series = {"timestamps": list(range(count)), "values": [0] * count}
        assert reason(series, kind="series") == expected

    @pytest.mark.parametrize(
        ("kind", "value", "field"),
        [
            ("features", {"values": [0] * 51}, "values: 51 features"),
            ("features", {"values": {f"f{i}": 0 for i in range(51)}}, "values: 51 features"),
            ("series", {"timestamps": list(range(101)), "values": [0] * 101}, "values: 101 sample"),
            (
                "drowsiness",
                {"events": [{"ear_value": 0.3, "is_drowsy": False, "duration_ms": 1}] * 101},
                "events: 101 samples",
            ),
        ],
    )
    def test_the_detail_names_the_field_that_is_too_long(self, kind, value, field):
        found = decoded(value, kind=kind)
        assert isinstance(found, DeadLetter)
        assert found.detail.startswith(field)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("features", {"values": {f"f{i}": "wrong" for i in range(51)}}),
            ("features", {"values": [{}] * 51}),
            ("series", {"values": [None] * 101}),
            ("drowsiness", {"events": [{}] * 101}),
        ],
    )
    def test_a_field_is_counted_before_its_elements_are_checked(self, kind, value):
        assert reason(value, kind=kind) == "too_large"

    def test_text_in_place_of_values_is_not_too_many_of_them(self):
        assert reason({"values": "x" * 51}) == "invalid_record"


class TestIdentity:
    def test_the_record_may_repeat_its_key_and_kind(self):
        assert reason(vector(1.0) | {"profile_id": "p", "kind": "features"}) is None

    def test_another_profile_than_the_key_is_a_dead_letter(self):
        assert reason(vector(1.0) | {"profile_id": "q"}) == "key_mismatch"

    def test_another_kind_than_the_topic_is_a_dead_letter(self):
        assert reason(vector(1.0) | {"kind": "series"}) == "kind_mismatch"

    @pytest.mark.parametrize("field", ["profile_id", "kind"])
    def test_neither_may_be_something_else_than_text(self, field):
        assert reason(vector(1.0) | {field: 1}) == "invalid_record"


class TestObservedAt:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (None, NOW),
            (0, 0),
            (1_600_000_000_123, 1_600_000_000_123),
            ("1970-01-01T00:00:01Z", 1000),
            ("2020-09-13T12:26:40.123Z", 1_600_000_000_123),
            ("2020-09-13T14:26:40.123+02:00", 1_600_000_000_123),
        ],
    )
    def test_forms(self, given, expected):
        found = decoded(vector(1.0) | {"observed_at": given})
        assert isinstance(found, Decoded)
        assert found.observed_at == expected

    @pytest.mark.parametrize("given", [-1, 1.5, True, "yesterday", "2020-09-13T12:26:40", 2**63])
    def test_anything_else_is_a_dead_letter(self, given):
        assert reason(vector(1.0) | {"observed_at": given}) == "invalid_record"

    @pytest.mark.parametrize("timestamp", [-1, 2**62])
    def test_a_record_timestamp_out_of_range_is_brought_into_it(self, timestamp):
        found = decoded(vector(1.0), timestamp=timestamp)
        assert isinstance(found, Decoded)
        assert 0 <= found.observed_at <= 253_402_300_799_999


SCRAPS = st.sampled_from(
    [
        b'{"values":',
        b'{"timestamps":',
        b"[",
        b"]",
        b"{",
        b"}",
        b"1",
        b"1e999",
        b",",
        b'"a":',
        b"\x00",
    ]
)


@given(
    key=st.none() | st.binary(max_size=300),
    value=st.none() | st.binary() | st.lists(SCRAPS).map(b"".join),
    kind=st.sampled_from(sorted(KINDS)),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)
def test_any_bytes_are_a_value_or_a_dead_letter(key, value, kind, timestamp):
    found = decoded(value, kind=kind, key=key, timestamp=timestamp)
    assert isinstance(found, Decoded | DeadLetter)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = {
    "features": ("values",),
    "series": ("timestamps", "values"),
    "drowsiness": ("ear_value", "is_drowsy", "duration_ms", "events"),
    "behavior": ("startTimestamp", "endTimestamp", "keyEvents", "mousePaths", "scrollEvents"),
}


@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)))
def test_any_json_object_is_finite_vectors_or_a_dead_letter(data, kind):
    value = data.draw(st.dictionaries(st.sampled_from(FIELDS[kind]), JSON))
    found = decoded(value, kind=kind)
    assert isinstance(found, DeadLetter) or not np.isinf(found.extracted.rows).any()


class TestDeadLetter:
    WHY = DeadLetter("invalid_json", "value: not JSON, é")

    def letter(self, incoming: ConsumerRecord):
        return dead_letter(incoming, self.WHY, "dead-letter")

    def test_says_why_and_where_from_in_headers(self):
        out = self.letter(record(b"x", key="p", partition=3, offset=17))
        assert (out.topic, out.partition) == ("dead-letter", 3)
        assert dict(out.headers or ()) == {
            "telltale.reason": b"invalid_json",
            "telltale.detail": "value: not JSON, é".encode(),
            "telltale.topic": b"telemetry.features",
            "telltale.partition": b"3",
            "telltale.offset": b"17",
        }

    @given(
        key=st.none() | st.binary(),
        value=st.none() | st.binary(),
        headers=st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple),
    )
    def test_key_value_and_headers_are_untouched(self, key, value, headers):
        out = self.letter(record(value, key=key, headers=headers))
        assert (out.key, out.value) == (key, value)
        assert tuple(out.headers[: len(headers)]) == headers

    def test_a_value_that_fits_its_topic_is_whole(self):
        value = bytes(DEAD_LETTER_LIMIT - 2000)
        assert self.letter(record(value)).value == value

    def test_a_larger_value_is_cut_and_its_length_and_digest_are_told(self):
        value = bytes(range(256)) * (DEAD_LETTER_LIMIT // 256)
        out = self.letter(record(value, headers=(("own", b"1"),)))
        digest = hashlib.sha256(value).hexdigest()
        assert out.value == value[:TRUNCATED_BYTES] == value[: 64 * 1024]
        assert dict(out.headers or ())["telltale.truncated"].decode() == f"{len(value)} {digest}"
        assert dict(out.headers or ())["own"] == b"1"
        assert out.size < DEAD_LETTER_LIMIT

    def test_headers_that_do_not_fit_are_left_out_and_it_says_so(self):
        held = (("own", bytes(DEAD_LETTER_LIMIT)), ("more", None))
        out = self.letter(record(b"value", key="p", headers=held))
        told = dict(out.headers or ())
        assert (out.key, out.value) == (b"p", b"value")
        assert "own" not in told
        assert "telltale.truncated" not in told
        text = b"own\0" + bytes(DEAD_LETTER_LIMIT) + b"\0more\0\0"
        digest = hashlib.sha256(text).hexdigest()
        assert told["telltale.headers_omitted"].decode() == f"2 {len(text)} {digest}"

    def test_a_key_that_does_not_fit_is_cut_and_it_says_so(self):
        key = bytes(range(256)) * (DEAD_LETTER_LIMIT // 256)
        out = self.letter(record(b"value", key=key))
        told = dict(out.headers or ())
        assert (out.key, out.value) == (key[:TRUNCATED_BYTES], b"value")
        digest = hashlib.sha256(key).hexdigest()
        assert told["telltale.key_truncated"].decode() == f"{len(key)} {digest}"

    @given(st.tuples(*[st.sampled_from([0, 100, 2**16, 2**20, 9 * 2**20])] * 3))
    def test_whatever_is_large_it_fits_and_is_not_sent_back_unless_whole(self, sizes):
        key, value, header = map(bytes, sizes)
        original = record(value, key=key, headers=(("own", header),))
        out = self.letter(original)
        back = letter(original._replace(key=out.key, value=out.value, headers=tuple(out.headers)))
        assert out.size <= DEAD_LETTER_LIMIT
        assert back.truncated == (
            (out.key, out.value) != (key, value) or "own" not in dict(out.headers or ())
        )

    def test_headers_that_the_client_cannot_read_are_a_dead_letter_of_their_own(self):
        poison = record({"values": [1.0]}, headers=UNREADABLE_HEADERS)
        said = decode(poison, "features", LIMITS)
        assert isinstance(said, DeadLetter)
        assert said.reason == "invalid_headers"
        out = dead_letter(poison, said, "dead-letter")
        assert (out.key, out.value) == (poison.key, poison.value)
        assert dict(out.headers or ())["telltale.headers"] == b"unreadable"

    def test_a_header_that_looks_like_unreadable_ones_is_none(self):
        said = decode(
            record({"values": [1.0]}, headers=(("telltale.headers", b"unreadable"),)),
            "features",
            LIMITS,
        )
        assert isinstance(said, Decoded)


NUMBERS = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 3),
)
ODD = st.one_of(NUMBERS, st.booleans(), st.text(max_size=3), st.lists(NUMBERS, max_size=2))
NAMES = st.one_of(st.sampled_from("abcd"), st.text(max_size=3))
VALUES = st.one_of(
    st.dictionaries(NAMES, NUMBERS, max_size=4),
    st.lists(NUMBERS, max_size=4),
    st.dictionaries(NAMES, ODD, max_size=4),
    st.lists(ODD, max_size=4),
    ODD,
)
OPTIONAL = {
    "profile_id": st.one_of(st.sampled_from(["p", "q"]), ODD),
    "kind": st.one_of(st.sampled_from(["features", "series"]), ODD),
    "observed_at": st.one_of(
        st.integers(-1, 253_402_300_800_000), st.just("2026-01-02T03:04:05Z"), ODD
    ),
    "unknown": ODD,
}
RECORDS = st.fixed_dictionaries({"values": VALUES}, optional=OPTIONAL)


@given(values=st.lists(RECORDS, max_size=5), timestamp=st.integers(-1, 2**62))
def test_a_batch_is_decoded_as_its_records_alone(values, timestamp):
    limits = Limits(record_bytes=200, features=3, samples=100)
    records = [record(value, key="p", timestamp=timestamp) for value in values]

    together = decode_all(records, {record({}).topic: "features"}, limits)

    for found, alone in zip(
        together, [decode(one, "features", limits) for one in records], strict=True
    ):
        if isinstance(alone, DeadLetter):
            assert found == alone
            continue
        assert isinstance(found, Decoded)
        assert found._replace(extracted=alone.extracted) == alone
        assert found.extracted.names == alone.extracted.names
        assert found.extracted.positional == alone.extracted.positional
        assert found.extracted.rows.tobytes() == alone.extracted.rows.tobytes()
        assert found.extracted.rows.shape == alone.extracted.rows.shape
