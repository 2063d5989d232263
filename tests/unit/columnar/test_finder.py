"""Finder: as a dictionary finds rows, for many records at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.kernels.text import hash_index
from models.kernels.text.byte_strings import concat
from models.kernels.text.hash_index import EMPTY
from processor.columnar.profile_index import LEAST, LONGEST, ProfileIndex
from processor.record_batch import RecordBatch
from tests.unit.builders import record

names = st.sampled_from([None, b"", b"p", b"q", b"p\0", b"x" * LONGEST, b"y" * LONGEST])
sources = st.tuples(st.sampled_from(["t", "u"]), st.integers(0, 2), names | st.binary(max_size=9))
deeds = st.lists(st.tuples(st.sampled_from(["enter", "leave"]), sources))


def batch(wanted):
    return RecordBatch.of([record(b"", topic=t, partition=p, key=key) for t, p, key in wanted])


@given(deeds, st.lists(sources))
def test_what_was_entered_is_found_until_it_leaves(done, asked):
    finder, expected, free = ProfileIndex(), {}, list(range(len(done)))
    for deed, source in done:
        if deed == "enter" and source not in expected:
            expected[source] = free.pop()
            finder.enter(expected[source], source)
        elif deed == "leave" and source in expected:
            finder.leave(expected[source], source)
            free.append(expected.pop(source))
    wanted = [*asked, *expected]
    found = finder.find(batch(wanted)).tolist()
    assert found == [EMPTY if s[2] is None else expected.get(s, EMPTY) for s in wanted]


def test_a_key_that_is_too_long_is_not_found():
    finder, source = ProfileIndex(), ("t", 0, b"x" * (LONGEST + 1))
    finder.enter(0, source)
    assert finder.find(batch([source, ("t", 0, b"x" * LONGEST)])).tolist() == [EMPTY, EMPTY]
    finder.leave(0, source)


def test_many_come_and_go():
    finder = ProfileIndex()
    every = [("t", number % 8, b"profile-%d" % number) for number in range(40 * LEAST)]
    for row, source in enumerate(every):
        finder.enter(row, source)
        if row >= LEAST:
            finder.leave(row - LEAST, every[row - LEAST])
    found = finder.find(batch(every))
    assert found[-LEAST:].tolist() == list(range(39 * LEAST, 40 * LEAST))
    assert (found[:-LEAST] == EMPTY).all()


def test_a_hash_alone_finds_nothing():
    """Two texts may have one hash: what was found is compared with what was asked for."""
    slots = np.full((4, 2), EMPTY)
    hash_index.fill(np.array([7]), np.array([0]), slots)
    stored = np.array([5, 1, ord("p")])
    asked = [(5, b"p"), (6, b"p"), (5, b"q"), (5, b""), (5, b"pp")]
    found = np.empty(len(asked), np.int64)
    wheres = np.array([where for where, _ in asked])
    text, ends = concat([key for _, key in asked])
    hash_index.find(
        np.full(len(asked), 7), wheres, text, ends, slots, stored.ctypes.data, 24, found
    )
    assert found.tolist() == [0, *[EMPTY] * 4]
