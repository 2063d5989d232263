"""Slots read at an assignment: whatever goes to the local file, the rings are the same."""

import numpy as np
import structlog
from hypothesis import given
from hypothesis import strategies as st

from processor.records import ConsumerRecord
from processor.state import ring_codec
from processor.state.changelog import LoadedSlots
from processor.state.ring_codec import HEAD, Slot
from tests.unit.builders import NOW, TOPICS

LOG = structlog.get_logger()
WRITES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["a", "b", "a:1", "ü/ b"]),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=60,
)


def slot(number: int, width: int = 2) -> Slot:
    rows = np.full((1, width), float(number))
    return Slot(number, number, number, number, rows, tuple("abcdefgh"[:width]))


def written(partition: int, profile: str, place: int, number: int, *, kept: bool) -> ConsumerRecord:
    value = ring_codec.encode_slot(slot(number)) if kept else None
    key = ring_codec.key("features", profile, place)
    return ConsumerRecord(TOPICS.cold_start, partition, number, key, value, (), NOW + number)


def read(loaded: LoadedSlots, partition: int) -> dict[str, tuple[dict[int, int], int]]:
    """Profile → number of the slot in each place, and when the newest was stored."""
    return {
        profile: ({place: found.number for place, found in held.items()}, stored - NOW)
        for (_, profile), held, stored, _ in loaded.rings(partition)
    }


@given(WRITES, st.sampled_from([1, 3, 7, 10**6]), st.sampled_from([2**13, 2**30]))
def test_the_newest_of_each_place_is_found_wherever_it_lies(writes, in_memory, limit) -> None:
    loaded = LoadedSlots(limit, LOG, in_memory)
    expected: dict[int, dict[str, dict[int, int]]] = {0: {}, 1: {}}
    for number, (partition, profile, place, kept) in enumerate(writes):
        loaded.load(written(partition, profile, place, number, kept=kept))
        held = expected[partition].setdefault(profile, {})
        if kept:
            held[place] = number
        else:
            held.pop(place, None)

    for partition in (0, 1):
        assert read(loaded, partition) == {
            profile: (held, max(held.values()))
            for profile, held in expected[partition].items()
            if held
        }
    loaded.clear()


def test_a_file_that_is_full_leaves_all_in_memory() -> None:
    loaded = LoadedSlots(2**15, LOG, in_memory=50)
    with structlog.testing.capture_logs() as logged:
        for number in range(1000):
            loaded.load(written(0, f"p{number % 500}", number // 500, number, kept=True))
        found = read(loaded, 0)

    assert len(found) == 500
    assert all(set(held) == {0, 1} for held, _ in found.values())
    assert {line["event"] for line in logged} == {"spill_failed"}


def test_what_is_no_slot_is_told_and_left_out() -> None:
    loaded = LoadedSlots(2**20, LOG)
    with structlog.testing.capture_logs() as logged:
        loaded.load(ConsumerRecord(TOPICS.cold_start, 0, 0, b"junk", b"junk", (), NOW))
        loaded.load(ConsumerRecord(TOPICS.cold_start, 0, 1, b"features:p:0", b"\x07junk", (), NOW))
        loaded.load(written(0, "p", 1, 2, kept=True))
        found = read(loaded, 0)

    assert found == {"p": ({1: 2}, 2)}
    assert [line["event"] for line in logged] == ["slot_unreadable", "slot_unreadable"]


HEADS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([HEAD, 0, 1]), st.booleans()),
    max_size=40,
)


@given(HEADS, st.sampled_from([1, 3, 10**6]), st.sampled_from([2**13, 2**30]))
def test_the_newest_head_comes_with_its_ring_undecoded(writes, in_memory, limit) -> None:
    loaded = LoadedSlots(limit, LOG, in_memory)
    heads: dict[str, bytes] = {}
    slots: dict[str, dict[int, int]] = {}
    for number, (profile, place, kept) in enumerate(writes):
        stored = written(0, profile, place, number, kept=kept)
        if place == HEAD:
            value = b"head %d" % number if kept else None
            stored = stored._replace(value=value)
            heads.pop(profile, None)
            heads.update({profile: value} if value is not None else {})
        else:
            slots.setdefault(profile, {}).pop(place, None)
            slots[profile].update({place: number} if kept else {})
        loaded.load(stored)

    found = {stored.identity[1]: stored for stored in loaded.rings(0)}

    assert {name: stored.head for name, stored in found.items() if stored.head} == heads
    held = {name: {at: slot.number for at, slot in of.slots.items()} for name, of in found.items()}
    assert {name: ring for name, ring in held.items() if ring} == {
        name: ring for name, ring in slots.items() if ring
    }
    loaded.clear()
