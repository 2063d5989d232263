"""Rings: the changelog of one gives the ring back, whatever was appended at whatever capacity."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processor.state import ring, ring_codec
from processor.state.ring import Ring

KEY = (3, "features", "a:b")
TOPIC = "cold-start"

COUNTS = st.lists(st.integers(1, 3), max_size=30)
"""Samples of each record appended."""

CAPACITY = st.integers(1, 8)


def rows_of(number: int, count: int) -> np.ndarray:
    """Samples that say which record they are of."""
    return np.column_stack([np.full(count, float(number)), np.arange(count, dtype=float)])


def grown(start: Ring, counts: list[int], capacity: int, log: dict[bytes, bytes | None]) -> Ring:
    """Append records and write the changelog; only the newest value of each key is left in it."""
    for count in counts:
        number = start.records
        rows = rows_of(number, count)
        start, place, slot = ring.append_sample(start, number + 100, rows, capacity=capacity)
        assert place < capacity
        out = ring.changelog(TOPIC, KEY, place, slot)
        assert (out.topic, out.partition) == (TOPIC, 3)
        log[out.key] = out.value
    return start


def cleared(start: Ring, log: dict[bytes, bytes | None]) -> None:
    for out in ring.tombstones(TOPIC, KEY, start):
        log[out.key] = out.value


def found(log: dict[bytes, bytes | None]) -> dict[int, ring_codec.Slot]:
    kept = {key: value for key, value in log.items() if value is not None}
    return {
        ring_codec.parse_key(key)[2]: ring_codec.decode_slot(value) for key, value in kept.items()
    }


def assert_same(live: Ring, read: Ring | None) -> None:
    assert read is not None
    assert np.array_equal(live.samples(), read.samples())
    assert (live.generation, live.names) == (read.generation, read.names)
    assert (live.records, live.seen, live.used) == (read.records, read.seen, read.used)


def empty(generation: int = 7) -> Ring:
    return Ring(generation, ("n", "i"))


@given(counts=COUNTS, capacity=CAPACITY)
def test_holds_the_newest_records_and_counts_all(counts, capacity):
    whole = grown(empty(), counts, capacity, {})
    kept = [rows_of(number, count) for number, count in enumerate(counts)][-capacity:]
    assert np.array_equal(whole.samples(), np.concatenate([np.empty((0, 2)), *kept]))
    assert (whole.records, whole.seen) == (len(counts), sum(counts))


@given(counts=COUNTS.filter(bool), capacity=CAPACITY)
def test_is_restored_from_its_compacted_changelog(counts, capacity):
    log: dict[bytes, bytes | None] = {}
    whole = grown(empty(), counts, capacity, log)
    assert len(log) <= capacity
    assert_same(whole, ring.restored(found(log), capacity))


@given(first=COUNTS.filter(bool), then=COUNTS, last=COUNTS, capacities=st.tuples(*[CAPACITY] * 3))
def test_is_restored_after_its_capacity_was_changed(first, then, last, capacities):
    log: dict[bytes, bytes | None] = {}
    live = grown(empty(), first, capacities[0], log)
    for counts, capacity in zip((then, last), capacities[1:], strict=True):
        read = ring.restored(found(log), capacity)
        assert read is not None
        assert (read.records, read.seen) == (live.records, live.seen)
        assert len(read.slots) <= capacity
        live = grown(read, counts, capacity, log)
        assert_same(live, ring.restored(found(log), capacity))


@given(first=COUNTS.filter(bool), then=COUNTS, last=COUNTS, capacities=st.tuples(*[CAPACITY] * 3))
def test_holds_the_newest_of_each_capacity_that_it_had(first, then, last, capacities):
    """What a smaller ring had no room for is gone; nothing else ever is."""
    log: dict[bytes, bytes | None] = {}
    live, kept = empty(), range(0)
    for counts, capacity in zip((first, then, last), capacities, strict=True):
        read = ring.restored(found(log), capacity) or live
        live = grown(read, counts, capacity, log)
        written = range(live.records)[-len(counts) :] if counts else range(0)
        kept = [number for number in (*kept, *written) if number >= live.records - capacity]
        numbers = {slot.number for slot in live.slots.values()}
        assert numbers >= set(kept)
        assert min(numbers, default=0) >= live.records - capacity
        assert live.newest is not None
        assert live.newest.number == live.records - 1


def test_a_capacity_changed_back_and_forth_loses_nothing_that_was_not_overwritten():
    log: dict[bytes, bytes | None] = {}
    grown(empty(), [1] * 15, 20, log)
    few = ring.restored(found(log), 5)
    assert few is not None
    assert few.held == 5
    assert ring.left_out(found(log), few) == 10
    again = ring.restored(found(log), 20)
    assert again is not None
    assert [row[0] for row in again.samples()] == list(range(15))
    assert ring.left_out(found(log), again) == 0


@given(counts=COUNTS.filter(bool), capacities=st.tuples(CAPACITY, CAPACITY), more=COUNTS)
def test_tombstones_clear_all_that_was_ever_written(counts, capacities, more):
    log: dict[bytes, bytes | None] = {}
    grown(empty(), counts, capacities[0], log)
    read = ring.restored(found(log), capacities[1])
    assert read is not None
    cleared(grown(read, more, capacities[1], log), log)
    assert set(log.values()) == {None}
    assert ring.restored(found(log), capacities[1]) is None


@given(old=COUNTS.filter(bool), new=COUNTS.filter(bool), capacity=CAPACITY)
def test_a_new_generation_hides_what_is_left_of_an_older_one(old, new, capacity):
    log: dict[bytes, bytes | None] = {}
    grown(empty(7), old, capacity, log)
    live = grown(empty(8), new, capacity, log)
    read = ring.restored(found(log), capacity)
    assert read is not None
    assert read.generation == 8
    assert np.array_equal(read.samples(), live.samples())
    cleared(read, log)
    assert set(log.values()) == {None}


def test_without_the_slot_of_the_names_nothing_is_left_to_go_on_with():
    log: dict[bytes, bytes | None] = {}
    grown(empty(), [1, 1, 1], 3, log)
    log[ring_codec.key(KEY[1], KEY[2], 0)] = None
    assert ring.restored(found(log), 3) is None


def test_an_empty_ring_has_samples_of_its_width():
    assert empty().samples().shape == (0, 2)
