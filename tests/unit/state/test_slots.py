"""The format of a slot: what is written is read back; what cannot be read is a SlotError."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from processor.state import ring_codec
from processor.state.ring_codec import Slot, SlotError

OFFSETS = st.integers(0, 2**63 - 1)


@st.composite
def any_slot(draw):
    rows = draw(
        arrays.arrays(
            np.float64,
            st.tuples(st.integers(0, 6), st.integers(1, 6)),
            elements=st.floats(width=64),
        )
    )
    names = draw(
        st.none() | st.lists(st.text(), min_size=rows.shape[1], max_size=rows.shape[1]).map(tuple)
    )
    times = draw(st.none() | arrays.arrays(np.float64, rows.shape[0], elements=st.floats(width=64)))
    return Slot(draw(OFFSETS), draw(OFFSETS), draw(OFFSETS), draw(OFFSETS), rows, names, times)


@given(any_slot())
def test_what_was_encoded_is_decoded_bit_for_bit(slot):
    read = ring_codec.decode_slot(ring_codec.encode_slot(slot))
    assert read.rows.shape == slot.rows.shape
    assert np.array_equal(read.rows, slot.rows, equal_nan=True)
    assert read.names == slot.names
    assert (read.times is None) == (slot.times is None)
    if slot.times is not None:
        assert np.array_equal(read.times, slot.times, equal_nan=True)
    told = (read.generation, read.number, read.before, read.offset)
    assert told == (slot.generation, slot.number, slot.before, slot.offset)


@given(st.binary())
def test_any_bytes_are_a_slot_or_a_slot_error(value):
    try:
        read = ring_codec.decode_slot(value)
    except SlotError:
        return
    assert read.rows.ndim == 2


@given(slot=any_slot(), data=st.data())
def test_damaged_bytes_are_a_slot_or_a_slot_error(slot, data):
    value = bytearray(ring_codec.encode_slot(slot))
    value[data.draw(st.integers(1, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.integers(1, len(value)))
    try:
        read = ring_codec.decode_slot(bytes(value[:end]) + data.draw(st.binary(max_size=8)))
    except SlotError:
        return
    assert read.rows.ndim == 2


@pytest.mark.parametrize("names", [b"5", b'"ab"', b'{"a": 1}', b'["a"]', b'["a", "b"', b"x"])
def test_names_other_than_one_for_each_column_are_damage(names):
    plain = ring_codec.encode_slot(Slot(1, 0, 0, 1, np.zeros((1, 2))))
    with pytest.raises(SlotError):
        ring_codec.decode_slot(plain + names)


@pytest.mark.parametrize("version", [0, 3, 255])
def test_another_format_is_told_by_its_number(version):
    value = ring_codec.encode_slot(Slot(1, 0, 0, 1, np.zeros((1, 1))))
    with pytest.raises(SlotError, match=f"format {version:02x}, expected 1 or 2"):
        ring_codec.decode_slot(bytes([version]) + value[1:])


@given(kind=st.sampled_from(["series", "features"]), profile=st.text(), place=st.integers(0, 10**9))
def test_a_key_is_read_back_whatever_the_profile_is_called(kind, profile, place):
    assert ring_codec.parse_key(ring_codec.key(kind, profile, place)) == (kind, profile, place)


def test_colons_in_a_profile_belong_to_it():
    assert ring_codec.parse_key(b"series:a:1:b::7") == ("series", "a:1:b:", 7)


@given(st.binary())
def test_any_bytes_are_a_key_or_a_slot_error(value):
    try:
        kind, profile, place = ring_codec.parse_key(value)
    except SlotError:
        return
    assert isinstance(kind, str)
    assert isinstance(profile, str)
    assert isinstance(place, int)
