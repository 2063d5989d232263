"""Metrics in columns: outputs and state are those of the plain path, whatever the points are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.columnar.fast_path import FastPath, NoFastPath
from processor.records import ConsumerRecord, ProfileKey
from processor.state.profiles import ActiveProfile, Profile
from tests.unit.builders import NOW, Scorer, command, record, verdicts
from tests.unit.columnar.test_fast_path import by_profile

MINUTE, LEARNT = 60_000, 40
PROFILES = ("a", "b", "c")
DETECTORS = ("forecast", "gaussian")


def point(profile: str, at: int, values: Sequence[float], offset: int) -> ConsumerRecord:
    """A record of points that are a minute apart."""
    times = [NOW + MINUTE * (at + n) for n in range(len(values))]
    return record(
        {"timestamps": times, "values": list(values)}, kind="series", key=profile, offset=offset
    )


def taught(detector: str, fast: bool) -> Scorer:
    """A scorer whose profiles have learnt a wave."""
    scorer = Scorer(cold_start_samples=LEARNT, detector__series=detector)
    if not fast:
        scorer.context = replace(scorer.context, fast_path=NoFastPath())
    wave = np.sin(np.arange(LEARNT) / 3.0) + np.random.default_rng(3).normal(0.0, 0.1, LEARNT)
    for number, profile in enumerate(PROFILES):
        scorer.feed(
            [
                point(profile, at, [value + 10 * number], at)
                for at, value in enumerate(wave.tolist())
            ]
        )
    return scorer


@pytest.fixture(scope="module", params=DETECTORS)
def pair(request) -> tuple[Scorer, Scorer]:
    """With the fast path and without; both are copied before they are fed."""
    return taught(request.param, True), taught(request.param, False)


def another(scorer: Scorer) -> Scorer:
    """A scorer in the same state, to feed."""
    fresh = Scorer(
        cold_start_samples=LEARNT, detector__series=scorer.context.settings.detector__series
    )
    fresh.memory.payloads |= scorer.memory.payloads
    fresh.memory.paths |= scorer.memory.paths
    fresh.state.apply(dict(scorer.state.profiles), {})
    if isinstance(scorer.context.fast_path, NoFastPath):
        fresh.context = replace(fresh.context, fast_path=NoFastPath())
    return fresh


def known(scorer: Scorer) -> dict[ProfileKey, Profile]:
    """The profiles; the constants of their version follow from it, and need not be there yet."""
    return {
        key: each._replace(standing=None) if isinstance(each, ActiveProfile) else each
        for key, each in scorer.state.profiles.items()
    }


def watched(scorer: Scorer) -> dict[ProfileKey, tuple[object, ...]]:
    """What is known of new normals; arrays do not compare as a whole."""
    return {
        key: (
            shift.recent,
            shift.since,
            shift.ring.records,
            [(offset, rows.tolist()) for offset, rows in shift.pending],
            [(slot.offset, slot.rows.tolist()) for slot in shift.ring.slots.values()],
        )
        for key, shift in scorer.state.shifts.items()
    }


RUNS = st.lists(
    st.tuples(
        st.sampled_from(PROFILES),
        st.sampled_from(["usual", "usual", "spike", "level", "late", "several", "damaged"]),
        st.integers(1, 30),
    ),
    min_size=1,
    max_size=8,
)
"""Profile, what its next points are, and how many."""


def points_of(runs: Sequence[tuple[str, str, int]], first: int) -> list[ConsumerRecord]:
    random = np.random.default_rng(len(runs))
    found: list[ConsumerRecord] = []
    at = dict.fromkeys(PROFILES, first)
    for profile, what, count in runs:
        begin = at[profile]
        at[profile] += count
        values = np.sin(np.arange(begin, begin + count) / 3.0) + random.normal(0.0, 0.1, count)
        values += 10 * PROFILES.index(profile)
        if what == "spike":
            values[-1] += 20.0
        elif what == "level":
            values += 5.0
        offset = first + len(found)
        if what == "several":
            found.append(point(profile, begin, values.tolist(), offset))
            continue
        for n, value in enumerate(values.tolist()):
            back = 5 if what == "late" else 0
            made = point(profile, max(begin + n - back, 0), [value], offset + n)
            found.append(made._replace(value=b"{") if what == "damaged" and n == 1 else made)
    order = random.permutation(len(found))
    # Records of different profiles in any order, those of one profile in theirs.
    keys = [found[place].key for place in order]
    queues = {key: [one for one in found if one.key == key] for key in set(keys)}
    mixed = [queues[key].pop(0) for key in keys]
    return [one._replace(offset=first + n) for n, one in enumerate(mixed)]


@settings(max_examples=40)
@given(st.lists(RUNS, min_size=1, max_size=4), st.booleans())
def test_they_give_what_the_plain_path_gives(pair, batches, window):
    fast, plain = map(another, pair)
    first = LEARNT
    for number, runs in enumerate(batches):
        batch = points_of(runs, first)
        if window and number == 1:
            batch.insert(0, command("suppress", profile="a", until=NOW + 1, offset=first))
        assert by_profile(fast.feed(batch)) == by_profile(plain.feed(batch))
        assert known(fast) == known(plain)
        assert watched(fast) == watched(plain)
        assert +fast.state.counts == +plain.state.counts
        first += 500


def test_valid_records_of_one_point_are_read_in_columns_and_others_are_not(pair):
    scorer, taken = another(pair[0]), []

    class Counting(FastPath):
        def read(self, reader, telemetry):
            found = super().read(reader, telemetry)
            taken.append([int(at) for read in found[0] for at in read.positions])
            return found

    scorer.context = replace(scorer.context, fast_path=Counting())
    runs = [("a", "usual", 5), ("b", "damaged", 5), ("c", "several", 5)]
    batch = points_of(runs, LEARNT)
    scorer.feed(batch)

    assert [[batch[at].key for at in sorted(of_batch)] for of_batch in taken] == [[b"a"] * 5]


def test_a_dropped_step_leaves_no_trace_in_the_online_states(pair):
    scorer = another(pair[0])
    scorer.feed(points_of([("a", "usual", 30), ("b", "usual", 5)], LEARNT))
    before = dict(scorer.state.profiles)
    batch = points_of([("a", "spike", 9), ("b", "level", 20)], LEARNT + 500)

    first, second = scorer.step(batch), scorer.step(batch)

    assert first.outputs == second.outputs
    assert dict(scorer.state.profiles) == before


def test_the_next_batch_goes_on_with_the_states_of_the_one_before():
    whole, parts = (another(taught("forecast", True)) for _ in range(2))
    batch = points_of([("a", "usual", 60), ("b", "usual", 60)], LEARNT)

    at_once = verdicts(whole.feed(batch))
    divided = [each for begin in range(0, 120, 7)
               for each in verdicts(parts.feed(batch[begin : begin + 7]))]  # fmt: skip

    assert [(v.verdict_id, v.score, v.p_value) for v in at_once] == [
        (v.verdict_id, v.score, v.p_value) for v in divided
    ]
    profile = whole.state.profiles[0, "series", "a"]
    assert isinstance(profile, ActiveProfile)
    assert profile.online is not None
    assert profile == parts.state.profiles[0, "series", "a"]
