"""What holds for every stream: batches, order, replay, restore and budget change nothing else."""

import copy
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import structlog
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from processor.artifacts.directory import Directory
from processor.artifacts.model_store import ModelStore
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer.role import ScorerRole
from processor.state.profiles import ActiveProfile, LearningProfile, State
from schemas import Verdict
from tests.unit.builders import GROSS, NOW, Scorer, command, record, vector, verdicts

VALUES = st.sampled_from(
    [
        *[vector(a, b, 10.0) for a in (9.0, 10.0, 11.0, 12.5) for b in (9.5, 10.5)],
        GROSS,
        vector(10.0, None, 10.0),
        vector(None, None, None),
        {"values": {"a": 1.0}},
        {"values": [1.0, 2.0, 3.0]},
        b"poison",
    ]
)
SERIES = st.lists(st.sampled_from([1.0, 1.5, 2.0, 50.0]), max_size=4).map(
    lambda values: {"timestamps": list(range(len(values))), "values": values}
)
PROFILES = ["p", "q", "r:s"]
FEW = examples(max_examples=25)
"""Each example is a whole stream, with trainings in it."""


@st.composite
def streams(draw, *, commands: bool = True) -> list[ConsumerRecord]:
    """Records of several profiles, kinds and partitions, in the order of each partition."""
    offsets: dict[tuple[str, int], int] = {}
    batch = []
    for _ in range(draw(st.integers(0, 35))):
        partition, profile = draw(st.integers(0, 1)), draw(st.sampled_from(PROFILES))
        what = draw(st.integers(0, 19))
        if what == 0 and commands:
            name = draw(st.sampled_from(["forget", "suppress", "resume", "retrain", "rollback"]))
            made = command(name, profile=profile, partition=partition)
        elif what < 6:
            made = record(draw(SERIES), kind="series", key=profile, partition=partition)
        else:
            made = record(draw(VALUES), key=profile, partition=partition)
        place = (made.topic, made.partition)
        offset = offsets[place] = offsets.get(place, -1) + draw(st.integers(1, 3))
        batch.append(
            ConsumerRecord(
                made.topic, partition, offset, made.key, made.value, made.headers, made.timestamp
            )
        )
    return batch


def cuts(draw, batch: Sequence[ConsumerRecord]) -> list[Sequence[ConsumerRecord]]:
    places = sorted(draw(st.lists(st.integers(0, len(batch)), max_size=8)))
    return [batch[a:b] for a, b in zip([0, *places], [*places, len(batch)], strict=True)]


def known(state: State) -> dict[object, object]:
    """State as plain values that compare: what was restored does not know of last anomalies."""
    found: dict[object, object] = {}
    for key, profile in state.profiles.items():
        if isinstance(profile, ActiveProfile):
            found[key] = profile.record
        else:
            ring = profile.ring
            rows = tuple(map(tuple, np.nan_to_num(ring.samples(), nan=-1e9)))
            found[key] = (ring.generation, ring.names, ring.records, ring.seen, rows)
    return found | {(*key, "suppressed"): window for key, window in state.suppressions.items()}


def said(outputs: Sequence[ProducerRecord]) -> list[Verdict]:
    return sorted(verdicts(outputs), key=lambda verdict: verdict.verdict_id)


def in_each_partition(outputs: Sequence[ProducerRecord]) -> dict[str, list[Verdict]]:
    """The verdicts of each telemetry partition in the order of writing: one waits for no other."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts(outputs):
        found.setdefault(verdict.verdict_id.rpartition("-")[0], []).append(verdict)
    return found


DETECTORS = st.sampled_from(["blend", "forest", "gaussian", "deviation", "neighbors"])


@FEW
@given(
    data=st.data(),
    batch=streams(commands=False),
    cap=st.integers(1, 3),
    detector=st.sampled_from(["blend", "gaussian"]),
)
def test_however_a_stream_is_cut_the_verdicts_and_the_state_are_the_same(
    data, batch, cap, detector
):
    whole = Scorer(cold_start_samples=4, detector=detector)
    cut = Scorer(cold_start_samples=4, detector=detector, trainings_per_step=cap)
    whole.feed(batch)
    for part in cuts(data.draw, batch):
        cut.feed(part)
    assert in_each_partition(whole.outputs) == in_each_partition(cut.outputs)
    assert known(whole.state) == known(cut.state)


@FEW
@given(data=st.data(), batch=streams())
def test_a_replay_gives_the_same_outputs_byte_for_byte(data, batch):
    parts = cuts(data.draw, batch)
    first, second = Scorer(cold_start_samples=4), Scorer(cold_start_samples=4)
    for part in parts:
        first.feed(part)
        second.feed(part)
    assert first.outputs == second.outputs


@FEW
@given(batch=streams(commands=False), seed=st.randoms(use_true_random=False))
def test_how_partitions_are_interleaved_does_not_matter(batch, seed):
    queues: dict[tuple[str, int], list[ConsumerRecord]] = {}
    for incoming in batch:
        queues.setdefault((incoming.topic, incoming.partition), []).append(incoming)
    turns = [place for place, queue in queues.items() for _ in queue]
    seed.shuffle(turns)
    shuffled = [queues[place].pop(0) for place in turns]
    first, second = Scorer(cold_start_samples=4), Scorer(cold_start_samples=4)
    first.feed(batch)
    second.feed(shuffled)
    assert said(first.outputs) == said(second.outputs)
    assert known(first.state) == known(second.state)


@FEW
@given(before=streams(), batch=streams())
def test_a_step_that_is_dropped_leaves_the_state_as_it_was(before, batch):
    scorer = Scorer(cold_start_samples=4)
    scorer.feed(before)
    kept = copy.deepcopy(scorer.state)
    scorer.step(batch)
    assert known(scorer.state) == known(kept)
    assert scorer.state.counts == kept.counts


@FEW
@given(data=st.data(), batch=streams())
def test_the_changelogs_give_the_state_back(data, batch):
    scorer = Scorer(cold_start_samples=4)
    for part in cuts(data.draw, batch):
        scorer.feed(part)
    role = restored(scorer)
    assert known(role._state) == known(scorer.state)
    assert +role._state.counts == +scorer.state.counts
    for place, offset in role.restored_offsets().items():
        assert offset <= max(r.offset for r in batch if (r.topic, r.partition) == place)


@FEW
@given(first=streams(), then=streams(commands=False))
def test_after_a_restore_the_stream_goes_on_as_if_nothing_had_happened(first, then):
    scorer = Scorer(cold_start_samples=4)
    scorer.feed(first)
    later = [
        ConsumerRecord(
            r.topic, r.partition, r.offset + 1000, r.key, r.value, r.headers, r.timestamp
        )
        for r in then
    ]
    role = restored(scorer)
    state, scorer.state = scorer.state, role._state
    again = verdicts(scorer.feed(later))
    scorer.state = state
    assert again == verdicts(scorer.feed(later))


def restored(scorer: Scorer) -> ScorerRole:
    """A scorer that starts on what is left of the changelogs after compaction."""
    with TemporaryDirectory() as directory:
        role = ScorerRole(
            scorer.context.settings,
            ModelStore(Directory(Path(directory)), 2**30),
            Metrics(CollectorRegistry()),
            structlog.get_logger(),
            retention=lambda *_: {},
        )
        newest: dict[tuple[str, int, bytes | None], tuple[int, ProducerRecord]] = {}
        for offset, out in enumerate(scorer.outputs):
            if out.topic in role.changelogs:
                newest[out.topic, out.partition, out.key] = (offset, out)
        for offset, out in sorted(newest.values(), key=lambda item: item[0]):
            role.load(
                ConsumerRecord(
                    out.topic,
                    out.partition,
                    offset,
                    out.key,
                    out.value,
                    tuple(out.headers or ()),
                    NOW,
                )
            )
        role.restored([0, 1])
    return role


@FEW
@given(
    batch=streams(commands=False),
    budgets=st.tuples(st.floats(1e-6, 0.49), st.floats(1e-6, 0.49)).map(sorted),
    detector=DETECTORS,
)
def test_a_lower_alert_budget_never_raises_more_anomalies(batch, budgets, detector):
    def raised(budget: float) -> set[str]:
        scorer = Scorer(cold_start_samples=4, detector=detector, alert_budget=budget)
        return {v.verdict_id for v in verdicts(scorer.feed(batch)) if v.anomaly}

    low, high = budgets
    assert raised(low) <= raised(high)


@FEW
@given(batch=streams())
def test_outputs_stand_on_the_partition_that_they_came_from(batch):
    for partition in (0, 1):
        own = [r for r in batch if r.partition == partition]
        assert {out.partition for out in Scorer(cold_start_samples=4).feed(own)} <= {partition}


@FEW
@given(batch=streams())
def test_counts_of_profiles_are_those_of_the_state(batch):
    scorer = Scorer(cold_start_samples=4)
    scorer.feed(batch)
    held = [
        (kind, "active" if isinstance(profile, ActiveProfile) else "learning")
        for (_, kind, _), profile in scorer.state.profiles.items()
        if isinstance(profile, ActiveProfile | LearningProfile)
    ]
    assert {key: count for key, count in scorer.state.counts.items() if count} == {
        key: held.count(key) for key in set(held)
    }
