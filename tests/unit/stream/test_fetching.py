"""Idle topics are fetched only now and then while another is busy, and nothing is left unread."""

from hypothesis import given
from hypothesis import strategies as st

from processor.records import Partition
from processor.stream.idle_partitions import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    PROBE_INTERVAL,
    IdlePartitions,
    PauseResume,
)

BUSY = [("busy", 0), ("busy", 1)]
IDLE = [("idle", 0), ("idle", 1)]
NOTHING = PauseResume([], [])


def at_their_ends(now: float = 0.0) -> IdlePartitions:
    """One topic has just had a record, and all partitions are at their ends."""
    fetching = IdlePartitions(BUSY + IDLE)
    fetching.read(BUSY, now)
    for place in BUSY + IDLE:
        fetching.ended(place)
    return fetching


def pausing() -> IdlePartitions:
    """The same, with the look that comes first done: what is idle is paused, since 0.0."""
    fetching = at_their_ends()
    assert paused(fetching, 0.0) == IDLE
    assert resumed(fetching, 0.0) == IDLE
    for place in IDLE:
        fetching.ended(place)
    assert paused(fetching, 0.0) == IDLE
    return fetching


def paused(fetching: IdlePartitions, now: float) -> list[Partition]:
    """What is paused now; nothing else changes."""
    change = fetching.change(now)
    assert not change.resume
    return sorted(change.pause)


def resumed(fetching: IdlePartitions, now: float) -> list[Partition]:
    """What is resumed now; nothing else changes."""
    change = fetching.change(now)
    assert not change.pause
    return sorted(change.resume)


def test_at_first_everything_is_fetched():
    fetching = IdlePartitions(BUSY + IDLE)

    assert fetching.paused == []
    assert fetching.change(0.0) == NOTHING


def test_what_never_had_a_record_is_paused_as_soon_as_another_topic_is_busy():
    fetching = at_their_ends()

    assert paused(fetching, 0.0) == IDLE
    assert sorted(fetching.paused) == IDLE


def test_a_topic_is_paused_only_when_each_of_its_partitions_was_read_to_its_end():
    fetching = IdlePartitions(BUSY + IDLE)
    fetching.read(BUSY, 0.0)

    fetching.ended(IDLE[0])
    assert fetching.change(0.0) == NOTHING
    fetching.ended(IDLE[1])
    assert paused(fetching, 0.0) == IDLE


def test_where_nothing_is_busy_everything_is_fetched():
    fetching = pausing()

    now = BUSY_SECONDS
    assert resumed(fetching, now) == IDLE
    for place in IDLE:
        fetching.ended(place)
    assert fetching.change(now + PROBE_INTERVAL) == NOTHING


def test_a_topic_is_idle_some_time_after_its_last_record():
    fetching = at_their_ends()
    fetching.read(IDLE, 0.0)
    for place in IDLE:
        fetching.ended(place)

    fetching.read(BUSY, IDLE_SECONDS)
    assert fetching.change(IDLE_SECONDS - 0.1) == NOTHING
    assert paused(fetching, IDLE_SECONDS) == IDLE


def test_a_look_comes_after_its_time_and_ends_with_the_ends_of_all_partitions():
    fetching = pausing()

    assert fetching.change(PROBE_INTERVAL * 0.9) == NOTHING
    assert resumed(fetching, PROBE_INTERVAL) == IDLE
    fetching.ended(IDLE[1])
    assert fetching.change(PROBE_INTERVAL * 1.5) == NOTHING
    fetching.ended(IDLE[0])
    assert paused(fetching, PROBE_INTERVAL * 1.6) == IDLE
    assert resumed(fetching, PROBE_INTERVAL * 2) == IDLE


def test_a_record_that_a_look_finds_has_its_topic_fetched_as_before():
    fetching = pausing()
    assert resumed(fetching, PROBE_INTERVAL) == IDLE

    fetching.read(IDLE[:1], PROBE_INTERVAL)
    for place in IDLE:
        fetching.ended(place)
    fetching.read(BUSY, PROBE_INTERVAL + IDLE_SECONDS - 0.1)
    assert fetching.change(PROBE_INTERVAL + IDLE_SECONDS - 0.1) == NOTHING
    assert paused(fetching, PROBE_INTERVAL + IDLE_SECONDS) == IDLE


def test_an_end_that_was_told_before_a_record_is_one_no_more():
    fetching = at_their_ends()
    fetching.read(IDLE[:1], 0.0)

    fetching.read(BUSY, IDLE_SECONDS)
    assert fetching.change(IDLE_SECONDS) == NOTHING
    fetching.ended(IDLE[0])
    assert paused(fetching, IDLE_SECONDS) == IDLE


def test_a_single_topic_is_always_fetched():
    fetching = IdlePartitions(BUSY)
    fetching.read(BUSY, 0.0)
    for place in BUSY:
        fetching.ended(place)

    assert all(fetching.change(now) == NOTHING for now in (0.0, BUSY_SECONDS, IDLE_SECONDS))


def test_what_is_no_partition_of_the_assignment_says_nothing():
    fetching = at_their_ends()
    fetching.read([("gone", 0)], 10.0)
    fetching.ended(("gone", 0))

    assert fetching.change(10.0) == NOTHING


EVERY = [*BUSY, *IDLE, ("third", 0)]
places = st.sampled_from(EVERY)
turns = st.lists(
    st.tuples(st.floats(0.001, 15.0), st.lists(places, max_size=3), st.lists(places, max_size=5))
)


@given(turns)
def test_nothing_stays_paused_for_longer_than_the_time_between_two_looks(turns):
    fetching, now = IdlePartitions(EVERY), 0.0
    client: set[Partition] = set()
    for seconds, read, ended in turns:
        now += seconds
        heard = [place for place in read if place not in client]
        fetching.read(heard, now)
        for place in ended:
            if place not in client:
                fetching.ended(place)
        before = set(client)
        pause, resume = fetching.change(now)
        # What is paused was fetched, what is resumed was paused, and never both in one turn.
        assert client.isdisjoint(pause)
        assert client.issuperset(resume)
        assert not (pause and resume)
        client = (client | set(pause)) - set(resume)
        assert client == set(fetching.paused)
        if seconds >= PROBE_INTERVAL:
            assert client.isdisjoint(before)
        # Whole topics only, and never one that has just had a record.
        assert client == {place for place in EVERY if place[0] in dict(client)}
        assert dict(heard).keys().isdisjoint(dict(client))
