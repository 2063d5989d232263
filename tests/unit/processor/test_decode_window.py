"""The quick decoder of windows takes only what the model of a window takes, and means the same."""

from __future__ import annotations

import json
import random
from itertools import islice

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.decode import Decoded, Limits, decode, decode_all
from processor.records import Incoming
from processor.simulate import Plan, simulate
from schemas.window import plain_window
from tests.unit.processor.build import TOPICS, mutated, record

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


def told(raw: bytes) -> Incoming:
    return record(raw, kind="behavior", timestamp=7)


def same(quick: Decoded, slow: Decoded) -> bool:
    return quick[:3] == slow[:3] and (
        np.array_equal(quick.extracted.rows, slow.extracted.rows, equal_nan=True)
        and quick.extracted.names == slow.extracted.names
    )


def decoded(raw: bytes) -> object:
    (found,) = decode_all([told(raw)], {TOPICS.telemetry("behavior"): "behavior"}, LIMITS)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_window_is_decoded_as_its_model_says(seed):
    draw = random.Random(seed)
    taken = 0
    for _ in range(500):
        raw = mutated(WINDOW, TOKENS, draw)
        slow = decode(told(raw), "behavior", LIMITS)
        quick = decoded(raw)
        taken += plain_window(raw) is not None
        assert same(quick, slow) if isinstance(slow, Decoded) else quick == slow

    assert taken > 10


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
    slow, quick = decode(told(raw), "behavior", LIMITS), decoded(raw)

    assert same(quick, slow) if isinstance(slow, Decoded) else quick == slow


def test_what_is_sent_as_documented_is_taken_at_once():
    sent = islice(simulate(Plan(1, ("behavior",), None, 0.0, {"behavior": 20})), 20)

    assert all(plain_window(orjson.dumps(one.value)) is not None for one in sent)
