"""The kernel that reads windows takes only what their model takes, and means the same."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import parse_windows
from processor.records import ConsumerRecord, DeadLetter
from processor.scorer.decode import Decoded, decode, decode_all
from processor.settings import Limits
from processor.simulation.simulator import Plan, simulate
from tests.unit.builders import TOPICS, mutated, record

LIMITS = Limits(1_000_000, 10_000, 10_000)
WINDOW = {
    "startTimestamp": 1_790_000_000_000,
    "endTimestamp": 1_790_000_010_000,
    "windowSize": {"width": 1440, "height": 900.5},
    "keyEvents": [
        {"code": "KeyT", "downTime": 1_790_000_000_100, "upTime": 1_790_000_000_190},
        {"code": "KeyH", "downTime": 1_790_000_000_300, "upTime": None},
    ],
    "mousePaths": [[{"t": 1, "x": 2.5, "y": 3}, {"t": 20, "x": 30, "y": 4}], []],
    "clicks": [{"t": 5, "x": 1, "y": 2, "button": 0, "duration": 80.5}],
    "scrollEvents": [{"t": 7, "dy": -120}, {"t": 9, "dy": 3}],
    "focusChanges": [{"type": "blur", "t": 8}, {"type": "other", "t": 9}],
}
TOKENS = (
    b"null", b"true", b"1.0", b"1e400", b"9" * 40, b"-0", b'"x"', b"[]", b"{}", b'"t":1,',
    b'"kind":"behavior",', b'"kind":"series",', b'"observed_at":5,', b'"profile_id":"p",',
    b'"observed_at":"2020-01-01T00:00:00Z",', b'"down_time":3,', b'"zz":[[1]],', b"\xff",
    b"\\ud800", b"\\u0000", b" ", b"-9223372036854775809", b"18446744073709551616", b"1e-400",
    b"253402300800000",
)  # fmt: skip


def told(raw: bytes) -> ConsumerRecord:
    return record(raw, kind="behavior", timestamp=7)


def same(quick: Decoded | DeadLetter, slow: Decoded | DeadLetter) -> bool:
    if isinstance(quick, DeadLetter) or isinstance(slow, DeadLetter):
        return quick == slow
    return quick[:3] == slow[:3] and (
        np.array_equal(quick.extracted.rows, slow.extracted.rows, equal_nan=True)
        and quick.extracted.names == slow.extracted.names
    )


def decoded(every: Sequence[bytes]) -> list[Decoded | DeadLetter]:
    """What windows come to in one batch; each is what its model says of it alone."""
    records = [told(raw) for raw in every]
    found = decode_all(records, {TOPICS.telemetry("behavior"): "behavior"}, LIMITS)
    slow = [decode(one, "behavior", LIMITS) for one in records]
    assert len(found) == len(every)
    assert [raw for raw, *two in zip(every, found, slow, strict=True) if not same(*two)] == []
    return found


def taken(every: Sequence[bytes], key: bytes = b"p") -> list[bool]:
    """Which windows the kernel reads."""
    good: list[bool] = parse_windows(every, [key] * len(every)).good.tolist()
    return good


def changed(**fields: Any) -> bytes:
    return orjson.dumps(WINDOW | fields)


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_window_is_decoded_as_its_model_says(seed):
    draw = random.Random(seed)
    every = [mutated(WINDOW, TOKENS, draw) for _ in range(500)]
    decoded(every)

    assert sum(taken(every)) > 10


@given(
    st.binary()
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*WINDOW, "t", "x", "y", "dy", "code", "type"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_decoded_as_the_model_says(raw):
    decoded([raw])


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBERS
CODES = st.sampled_from(["KeyA", "KeyT", "KeyH", "KeyE", "Key", "Keyt", "KeyTT", "Space", ""])


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """All members, in any order."""
    return st.permutations(list(members)).flatmap(
        lambda names: st.fixed_dictionaries({name: members[name] for name in names})
    )


def some(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(inner, max_size=4)


@given(
    objects(
        startTimestamp=NUMBERS,
        endTimestamp=NUMBERS,
        windowSize=st.none() | objects(width=NUMBERS, height=NUMBERS),
        keyEvents=some(objects(code=CODES | st.text(max_size=3), downTime=NUMBERS, upTime=MAYBE)),
        mousePaths=some(some(objects(t=NUMBERS, x=NUMBERS, y=NUMBERS))),
        clicks=some(objects(t=NUMBERS, x=NUMBERS, y=NUMBERS, button=MAYBE, duration=MAYBE)),
        scrollEvents=some(objects(t=NUMBERS, dy=NUMBERS)),
        focusChanges=some(objects(type=st.sampled_from(["focus", "blur", "b", ""]), t=NUMBERS)),
        observed_at=st.none() | st.integers(-1, 2**63),
    ),
    st.sampled_from([None, 1]),
)
def test_what_a_window_holds_is_read_as_the_model_says(window, indent):
    decoded([json.dumps(window, indent=indent).encode()])


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(WINDOW, indent=2).encode(),
        b"\n\t " + changed(),
        json.dumps(WINDOW, separators=("\t,\r\n", " : ")).encode() + b"\n ",
        orjson.dumps(dict(reversed(WINDOW.items()))),
        orjson.dumps({"startTimestamp": 1, "endTimestamp": 2.5e3}),
        changed(keyEvents=None, clicks=[], mousePaths=[[], []], windowSize=None),
        changed(profile_id="p", kind="behavior", observed_at=5),
        changed(profile_id=None, kind=None, observed_at=None),
        changed(clicks=[{"duration": 1, "y": 2, "x": 3, "t": 4, "button": -1}]),
    ],
)
def test_the_kernel_takes_a_window_however_it_is_laid_out(raw):
    assert taken([raw]) == [True]
    assert isinstance(decoded([raw])[0], Decoded)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" " * 100,
        b"{}",
        changed().replace(b'"t":1,', b'"t":1,"t":2,'),
        changed().replace(b'"startTimestamp"', b'"startTimestamp":1,"startTimestamp"'),
        changed().replace(b'"startTimestamp"', b'"start_timestamp"'),
        changed().replace(b'"t":1,', b'"t\0":1,'),
        changed().replace(b'"t":1,', b""),
        changed().replace(b'"endTimestamp"', b'"endTimestomp"'),
        changed().replace(b"KeyT", b"Key\\u0054"),
        changed().replace(b"blur", "é".encode()),
        changed(startTimestamp=True),
        changed(endTimestamp=None),
        changed(profile_id="q"),
        changed(profile_id="pp"),
        changed(profile_id=""),
        changed(kind="behavioral"),
        changed(observed_at=-1),
        changed(observed_at=1.0),
        changed(observed_at=253_402_300_800_000),
        changed(clicks=[{"t": 1, "x": 2, "y": 3, "button": 0.5}]),
        changed(other=1),
        changed() + b"x",
        changed()[:-1],
        changed()[:-1] + b",}",
        b"[" + changed() + b"]",
    ],
)
def test_the_kernel_leaves_to_the_model_what_is_not_plain(raw):
    assert taken([raw, changed()]) == [False, True]
    decoded([raw])


def test_a_window_that_is_cut_is_not_completed_by_the_record_behind_it():
    whole = changed(profile_id="p", kind="behavior", observed_at=5)
    halves = [part for at in range(len(whole) + 1) for part in (whole[:at], whole[at:])]

    assert taken(halves) == [half == whole for half in halves]


@pytest.mark.parametrize(("key", "good"), [(b"p", True), (b"q", False), (b'p"', False)])
def test_a_window_of_another_profile_is_not_taken(key, good):
    assert taken([changed(profile_id="p")], key) == [good]


def test_many_windows_are_read_as_each_alone():
    sent = islice(simulate(Plan(3, ("behavior",), None, 0.0, {"behavior": 50})), 150)
    every = [orjson.dumps(one.value) for one in sent]
    found = decoded(every)

    assert all(taken(every))
    for raw, one in zip(every, found, strict=True):
        (alone,) = decoded([raw])
        assert same(one, alone)
