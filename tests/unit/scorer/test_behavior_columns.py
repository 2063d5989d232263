"""Profiles of `behavior` that learnt before the kind had all of its columns: they go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import artifacts
from models.features.behavior import NAMES
from models.learning.training import train
from processor.records import ConsumerRecord, ProducerRecord
from processor.simulation import behavior
from processor.state.profiles import ActiveProfile, LearningProfile
from processor.stream.step import Step
from tests.unit.builders import (
    NOW,
    TOPICS,
    Scorer,
    accepted,
    announced,
    command,
    events,
    reasons,
    record,
    restarted,
    verdicts,
)
from tests.unit.scorer.test_new_normal_scored import named, shown

KEY = (0, "behavior", "p")
OLD = NAMES[:17]
LEARNT = 80


def windows(count: int, *, first: int, changed: bool = False) -> list[ConsumerRecord]:
    """Windows of one person; of another one with ``changed``."""
    rng = np.random.default_rng([3, first])
    hand = behavior.hand(np.random.default_rng(1))
    if changed:
        hand = replace(hand, dwell=3 * hand.dwell, speed=5 * hand.speed, click=4 * hand.click)
    return [
        record(
            behavior.simulated_window(hand, rng, NOW + 10_000 * number),
            kind="behavior",
            offset=first + number,
        )
        for number in range(count)
    ]


def taught_on_seventeen(**wanted: Any) -> Scorer:
    """A scorer whose profile has a model of the first 17 columns, as written before."""
    scorer = Scorer(**{"cold_start_samples": LEARNT, "detector": "blend"} | wanted)
    scorer.feed(windows(LEARNT, first=0))
    now = scorer.state.profiles[KEY]
    assert isinstance(now, ActiveProfile)
    model = scorer.memory.opened.get(now.record.sha256) or next(
        iter(scorer.memory.open([now.record]).values())
    )
    assert not isinstance(model, Exception)
    old = train(
        "blend",
        np.asarray(model.learnt())[:, : len(OLD)],
        OLD,
        alert_budget=0.01,
        seed=0,
        provenance={"cold_start": LEARNT, "pool": 0},
    )
    artifact = artifacts.pack(old, kind="behavior", profile_id="p", partition=0, generation=0)
    scorer.memory.keep(Step(None, artifacts=[(KEY, artifact)]))
    before = now.record.model_copy(
        update={
            "features": list(OLD),
            "artifact": artifact.path,
            "sha256": artifact.sha256,
            "decision_offset": float(old.detector.offset_),
        }
    )
    scorer.state.apply({KEY: ActiveProfile(before)}, {})
    scorer.outputs = []
    return scorer


def test_a_profile_of_seventeen_is_judged_by_them_until_it_has_learnt_the_others() -> None:
    scorer = taught_on_seventeen()

    written = shown(scorer, windows(50 + LEARNT + 20, first=1000), size=13)

    assert reasons(written) == []
    assert {v.status for v in verdicts(written)} == {"scored"}
    assert accepted(written)[0].features == list(OLD)
    assert named(written) == ["features_changed", "adopted"]
    told, adopted = events(written)
    assert (told.figures["new_features"], told.figures["gone_features"]) == (len(NAMES) - 17, 0)
    assert adopted.figures["known"] == 0
    assert announced(written)[-1].features == list(NAMES)
    later = shown(scorer, windows(150, first=3000))
    assert accepted(later)[-1].features == list(NAMES)
    assert np.mean([v.anomaly for v in verdicts(later)]) <= 0.06
    assert named(later) == []
    assert scorer.state.names == {}


def test_what_is_abnormal_in_the_old_columns_is_not_learnt_with_the_new_ones() -> None:
    scorer = taught_on_seventeen()
    shown(scorer, windows(60, first=1000))
    before = scorer.state.shifts[KEY].ring.held

    other = verdicts(shown(scorer, windows(40, first=2000, changed=True)))

    taken = scorer.state.shifts[KEY].ring.held - before
    assert sum(v.anomaly for v in other) >= 35
    assert taken == sum(not v.anomaly for v in other)


def test_a_hold_keeps_the_old_columns() -> None:
    scorer = taught_on_seventeen()
    scorer.feed([command("hold", kind="behavior", until=NOW + 10**9)])

    written = shown(scorer, windows(50 + LEARNT + 20, first=1000))

    assert named(written) == ["features_changed"]
    assert {v.status for v in verdicts(written)} == {"scored"}


def test_a_restart_while_they_are_learnt_loses_no_sample() -> None:
    first = taught_on_seventeen()
    # What the process before has written.
    announced_before = first.state.profiles[KEY].record.model_dump_json().encode()
    first.outputs = [ProducerRecord(TOPICS.models, announced_before, b"behavior:p", 0)]
    shown(first, windows(50 + 30, first=1000))

    second = restarted(first)
    assert second.state.shifts[KEY].renamed
    assert second.state.shifts[KEY].ring.held == first.state.shifts[KEY].ring.held
    assert "adopted" in named(shown(second, windows(LEARNT, first=2000)))


@pytest.mark.parametrize("size", [1, 40])
def test_a_profile_that_learns_meanwhile_takes_the_new_columns_in(size: int) -> None:
    scorer = Scorer(cold_start_samples=LEARNT, detector="blend")
    scorer.feed(windows(30, first=0))
    learning = scorer.state.profiles[KEY]
    assert isinstance(learning, LearningProfile)
    slots = {
        at: slot._replace(rows=slot.rows[:, : len(OLD)], names=OLD if slot.names else None)
        for at, slot in learning.ring.slots.items()
    }
    older = replace(learning, ring=replace(learning.ring, names=OLD, slots=slots))
    scorer.state.apply({KEY: older}, {})

    written = shown(scorer, windows(LEARNT, first=100), size=size)

    assert reasons(written) == []
    assert announced(written)[0].features == list(NAMES)
    assert announced(written)[0].trained_on == LEARNT
