"""The codec of the topic ``profiles``."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.state.profile_codec import (
    EXECUTED,
    Executed,
    Note,
    ShiftNote,
    decode_note,
    encode_note,
)
from processor.state.profiles import PendingDeletion, Suppression

INTEGERS = st.integers(-(2**63), 2**63 - 1)
OFFSETS = st.integers(0, 2**62)
WINDOWS = st.builds(Suppression, INTEGERS, st.none() | st.text())
DELETIONS = st.builds(
    PendingDeletion,
    st.text(),
    st.none() | OFFSETS,
    OFFSETS,
    st.none() | st.integers(1, 100),
    st.dictionaries(st.text(), INTEGERS | st.text()),
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SHIFTS = st.builds(
    ShiftNote,
    OFFSETS,
    OFFSETS,
    st.none() | OFFSETS,
    st.none() | st.text(),
    st.none() | OFFSETS,
    st.booleans(),
    st.none() | st.tuples(NUMBERS, NUMBERS),
)


@given(WINDOWS | DELETIONS)
def test_what_is_written_of_a_profile_is_read_back(note: Note):
    assert decode_note(b"features:p", encode_note(note)) == note


@given(OFFSETS)
def test_so_is_how_far_commands_are_executed(offset: int):
    assert decode_note(EXECUTED, encode_note(Executed(offset))) == Executed(offset)


@given(SHIFTS)
def test_so_is_what_is_kept_of_a_shift(note: ShiftNote):
    assert decode_note(b"shift:series:p", encode_note(note)) == note


@pytest.mark.parametrize("level", [7, [1.0], ["x", 2.0], {}])
def test_a_level_that_is_none_is_a_value_error(level: object):
    held = {"generation": 1, "begins": 0, "ends": None, "since": "v", "held_until": None}
    value = orjson.dumps({"shift": held | {"level": level}})

    with pytest.raises(ValueError):  # noqa: PT011
        decode_note(b"shift:series:p", value)


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b'{"until": "tomorrow"}',
        b'{"until": true}',
        b'{"until": 5, "reason": 7}',
        b'{"forgetting": {}}',
        b'{"forgetting": null}',
        b'{"forgetting": {"command_id": "c", "command_offset": "x"}}',
    ],
)
def test_what_is_damaged_is_a_value_error(held: bytes):
    with pytest.raises(ValueError):  # noqa: PT011
        decode_note(b"features:p", held)
    with pytest.raises(ValueError):  # noqa: PT011
        decode_note(EXECUTED, held)


@given(st.binary(max_size=50) | st.builds(orjson.dumps, st.dictionaries(st.text(), INTEGERS)))
def test_any_bytes_are_read_or_a_value_error(held: bytes):
    try:
        decode_note(b"features:p", held)
    except ValueError:
        return
