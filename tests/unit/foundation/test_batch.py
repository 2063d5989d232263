"""A batch in columns is the sequence of its records, whatever is asked of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord

texts = st.none() | st.binary(max_size=3)
records = st.builds(
    ConsumerRecord,
    st.sampled_from(("a", "b")),
    st.integers(0, 3),
    st.integers(0, 2**62),
    texts,
    texts,
    st.lists(st.tuples(st.just("h"), texts), max_size=2).map(tuple),
    st.integers(-1, 2**50),
)
batches = st.lists(records, max_size=12)


@given(batches)
def test_it_gives_its_records(wanted):
    batch = RecordBatch.of(wanted)

    assert RecordBatch.of(batch) is batch
    assert list(batch) == wanted
    assert [batch[at] for at in range(len(batch))] == wanted
    assert all(type(field) is int for record in batch for field in (record.offset, record[1]))
    assert list(batch.sources()) == [(record.topic, record[1], record.key) for record in wanted]
    assert [batch.source(at) for at in range(len(batch))] == list(batch.sources())


@given(batches, st.slices(12), st.data())
def test_some_of_it_is_a_batch_too(wanted, part, data):
    size = len(wanted)
    held = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))

    batch = RecordBatch.of(wanted)

    assert list(batch[part]) == wanted[part]
    some = batch.filter(np.array(held, dtype=np.bool_))
    assert list(some) == [record for record, here in zip(wanted, held, strict=True) if here]


@given(batches)
def test_first_and_last_offset_of_each_partition(wanted):
    batch = RecordBatch.of(wanted)

    firsts: dict[tuple[str, int], int] = {}
    for record in wanted:
        firsts.setdefault((record.topic, record.partition), record.offset)
    assert batch.first_offsets() == firsts
    assert batch.last_offsets() == {
        (record.topic, record.partition): record.offset for record in wanted
    }


@given(batches, batches)
def test_two_are_joined_in_their_order(first, second):
    joined = RecordBatch.joined(RecordBatch.of(first), second)

    assert list(joined) == [*first, *second]
    assert joined.places() == {(record.topic, record.partition) for record in joined}
    assert [joined.place(at) for at in range(len(joined))] == [r[:2] for r in joined]
