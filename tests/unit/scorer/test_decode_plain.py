"""Plainly valid `series` and `drowsiness` are read as their pydantic models read them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import PLAIN, parse_points
from processor.records import ConsumerRecord, DeadLetter
from processor.scorer.decode import Decoded, decode, decode_all
from processor.settings import Limits
from tests.unit.builders import TOPICS, mutated, record

LIMITS = Limits(1_000_000, 1_000, 8)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1), st.just(0.5)
)
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "profile_id": st.sampled_from(["p", "q", None, 5]),
        "kind": st.sampled_from(["series", "drowsiness", None]),
        "observed_at": st.sampled_from(
            [None, 0, 1_700_000_000_000, 1_700_000_000, -1, 2**60, 1.5, "2020-01-01T00:00:00Z"]
        ),
        "more": st.just({"x": [1]}),
    },
)
SERIES = st.builds(
    lambda times, values, uneven, more: (
        more | {"timestamps": sorted(times), "values": values[: len(times) + uneven]}
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10),
    st.lists(NUMBERS, min_size=10, max_size=10),
    st.sampled_from([0, 0, 0, 1, -1]),
    OTHERS,
)
EVENT = st.fixed_dictionaries(
    {
        "ear_value": st.one_of(st.floats(-0.1, 1.1), st.sampled_from([0, 1, 0.2, -0.0])),
        "is_drowsy": st.sampled_from([True, False, False, 0, None]),
        "duration_ms": st.one_of(st.floats(-1, 1e6), st.sampled_from([0, 500, 1e308])),
    }
)
DROWSINESS = st.one_of(
    st.builds(lambda event, more: more | event, EVENT, OTHERS),
    st.builds(lambda events, more: more | {"events": events}, st.lists(EVENT, max_size=10), OTHERS),
    st.builds(lambda event, more: more | event | {"events": None}, EVENT, OTHERS),
    st.builds(lambda event, more: more | event | {"events": [event]}, EVENT, OTHERS),
)
TOKENS = (
    b"null", b"true", b"1.0", b"1e400", b"9" * 40, b"-0", b'"x"', b"[]", b"{}", b'"events":[],',
    b'"profile_id":"p",', b'"observed_at":5,', b'"kind":"series",', b"\xff",
    b"18446744073709551616",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    kind: str
    value: dict[str, Any]


CASES = st.one_of(
    st.builds(Case, st.just("series"), SERIES), st.builds(Case, st.just("drowsiness"), DROWSINESS)
)


def same(quick: Decoded | DeadLetter, slow: Decoded | DeadLetter) -> None:
    if isinstance(quick, DeadLetter) or isinstance(slow, DeadLetter):
        assert quick == slow
        return
    assert (quick[:3], quick.rule_severity) == (slow[:3], slow.rule_severity)
    assert quick.extracted.names == slow.extracted.names
    np.testing.assert_array_equal(quick.extracted.rows, slow.extracted.rows)
    assert (quick.extracted.times is None) == (slow.extracted.times is None)
    if quick.extracted.times is not None:
        np.testing.assert_array_equal(quick.extracted.times, slow.extracted.times)


def compare(records: Sequence[ConsumerRecord]) -> None:
    together = decode_all(records, TOPICS.kinds(), LIMITS)
    for quick, one in zip(together, records, strict=True):
        same(quick, decode(one, TOPICS.kind_of[one.topic], LIMITS))


@given(st.lists(CASES, min_size=1, max_size=8))
def test_a_batch_is_read_as_each_record_by_its_model(cases: list[Case]) -> None:
    compare([record(case.value, kind=case.kind, timestamp=7) for case in cases])


@given(CASES, st.integers(0, 2**32))
def test_records_that_are_damaged_too(case: Case, seed: int) -> None:
    draw = random.Random(seed)
    raw = [mutated(case.value, TOKENS, draw) for _ in range(5)]
    compare([record(value, kind=case.kind, timestamp=7) for value in raw])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("drowsiness", {"ear_value": 0.3, "is_drowsy": False, "duration_ms": 10}),
        ("drowsiness", {"events": [{"ear_value": 0, "is_drowsy": True, "duration_ms": 9.5}] * 7}),
    ],
)
def test_usual_records_are_plain(kind: str, value: dict[str, Any]) -> None:
    assert PLAIN[kind].read(orjson.loads(orjson.dumps(value))) is not None
    compare([record(value, kind=kind)])


@pytest.mark.parametrize(
    "text",
    [
        b'{"timestamps":[1,2],"values":[1,-2.5e3]}',
        b'{ "values" : [ 0.1 ,\t2 ] ,\r\n"timestamps": [0, 9007199254740993] }',
        b'{"kind":"series","profile_id":"p","observed_at":5,"timestamps":[],"values":[]}',
    ],
)
def test_usual_texts_of_points_are_read_by_the_kernel(text: bytes) -> None:
    (samples,), _ = parse_points([text], [b"p"], 8)

    assert samples is not None
    compare([ConsumerRecord(TOPICS.telemetry("series"), 0, 0, b"p", text, (), 7)])


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{}", b"[]", b'{"timestamps":[1],"values":[1]', b'{"timestamps":[1],"values":[1]}x',
        b'{"timestamps":[2,1],"values":[1,2]}', b'{"timestamps":[1],"values":[1,2]}',
        b'{"timestamps":[1.0],"values":[1]}', b'{"timestamps":[1],"values":[null]}',
        b'{"timestamps":[1],"values":[01]}', b'{"timestamps":[1,],"values":[1]}',
        b'{"timestamps":[1],"values":[1],"values":[2]}', b'{"timestamps":[1],"values":[1],"a":0}',
        b'{"timestamps":[1],"values":[1],"profile_id":"q"}',
        b'{"timestamps":[1],"values":[1],"kind":"seriez"}',
        b'{"timestamps":[1],"values":[1],"kind":"series_"}',
        b'{"timestamps":[1],"values":[1],"observed_at":1700000000}',
        b'{"timestamps":[1,2,3,4,5,6,7,8,9],"values":[1,2,3,4,5,6,7,8,9]}',
    ],
)  # fmt: skip
def test_other_texts_of_points_are_left_to_the_model(text: bytes) -> None:
    (samples,), _ = parse_points([text], [b"p"], 8)

    assert samples is None
    compare([ConsumerRecord(TOPICS.telemetry("series"), 0, 0, b"p", text, (), 7)])
