"""Levels that a detector follows: other versions, restarts, and metrics that stood still."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest

from models import artifacts
from models.artifacts import unpack
from models.detectors.forecast import Forecast
from models.errors import ArtifactError
from models.learning.training import train
from processor.columnar.fast_path import NoFastPath
from processor.records import ConsumerRecord
from processor.stream.step import Step
from tests.unit.builders import (
    NOW,
    TOPICS,
    Retrainer,
    Scorer,
    accepted,
    announced,
    command,
    consumed,
    events,
    record,
    restarted,
    verdicts,
)
from tests.unit.columnar.test_fast_path import by_profile
from tests.unit.columnar.test_series_columns import watched
from tests.unit.scorer.test_followed_levels import (
    HALF_HOUR,
    KEY,
    LEARNT,
    MOVED,
    WANTED,
    metric,
    noise,
    shown,
    told,
    with_a_step,
)


def candidate(scorer: Scorer, detector: str, values: np.ndarray) -> ConsumerRecord:
    """A candidate of the profile, trained on values by a detector of a name."""
    base = scorer.current(KEY)
    model = train(
        detector,
        values[:, None],
        ("value",),
        alert_budget=0.01,
        seed=0,
        provenance={"detector": detector},
        times=NOW + HALF_HOUR * np.arange(float(len(values))),
    )
    made = artifacts.pack(
        model, kind="series", profile_id="p", partition=0, generation=base.generation
    )
    scorer.memory.keep(Step(None, artifacts=[(KEY, made)]))
    changed = {
        "version": None,
        "base_version": base.version,
        "artifact": made.path,
        "sha256": made.sha256,
        "trained_on": len(values),
        "trigger": "samples",
        "history": [],
        "detector": detector,
    }
    value = base.model_copy(update=changed).model_dump_json().encode()
    return record(value, topic=TOPICS.candidates)


@pytest.mark.parametrize("policy", ["adopt", "hold"])
def test_a_version_that_judges_rows_ends_a_followed_level(policy):
    values = with_a_step(MOVED + 600, 15.0)
    scorer = Scorer(**WANTED, on_shift__series=policy)
    assert told(shown(scorer, metric(values[: MOVED + 300]))) == ["shifted"]
    scorer.feed([candidate(scorer, "gaussian", values[: MOVED + 300])])
    written = shown(scorer, metric(values[MOVED + 300 :], first=MOVED + 300))
    assert {v.regime for v in verdicts(written)[-50:]} == {"usual"}
    assert accepted(written)


def test_a_watch_left_by_gaussian_is_the_same_on_both_paths():
    both = [Scorer(**{**WANTED, "detector__series": "gaussian"}) for _ in range(2)]
    both[1].context = replace(both[1].context, fast_path=NoFastPath())
    values = noise(LEARNT + 60)
    values[LEARNT + 10 : LEARNT + 16] += 60.0
    written = []
    for scorer in both:
        shown(scorer, metric(values[: LEARNT + 16]))
        scorer.feed([candidate(scorer, "forecast", values[:LEARNT])])
        written.append(by_profile(shown(scorer, metric(values[LEARNT + 16 :], first=LEARNT + 16))))
    assert watched(both[0]) == watched(both[1])
    assert written[0] == written[1]


def test_a_restart_does_not_undo_an_adoption():
    values = with_a_step(MOVED + 1000, 15.0)
    scorer = Scorer(**WANTED, on_shift__series="hold")
    shown(scorer, metric(values[: MOVED + 300]))
    scorer.feed([command("adopt", kind="series")])
    again = restarted(scorer)
    written = shown(again, metric(values[MOVED + 300 :], first=MOVED + 300))
    assert told(written) == []
    assert accepted(written[-200:])


def test_the_new_level_of_a_metric_that_stood_still_is_told_as_it_is():
    values = np.append(np.full(MOVED, 50.0), np.random.default_rng(0).normal(80.0, 3.0, 350))
    values = np.append(values, np.random.default_rng(1).normal(200.0, 3.0, 350))
    written = shown(Scorer(**WANTED), metric(values))
    shifts = [e for e in events(written) if e.event == "shifted"]
    assert [round(np.mean(e.figures["moved"][0]["after"]), -1) for e in shifts] == [80.0, 200.0]


@pytest.mark.parametrize("policy", ["adopt", "hold"])
def test_all_accepted_points_of_a_sequence_are_pooled(policy):
    wanted = {**WANTED, "on_shift__series": policy}
    scorer, values = Scorer(**wanted), noise(600)
    values[150::30] += 60.0
    retrainer = Retrainer(scorer.memory, **wanted)
    written = shown(scorer, metric(values))
    for version in announced(written):
        retrainer.know(version)
    samples = consumed(written, TOPICS.accepted)[:200]
    step = retrainer.step(samples)
    assert len(step.delta[KEY].ring.slots) == len(samples)


@pytest.mark.parametrize("fault", ["block_", "last_state_", "short"])
def test_an_artefact_that_the_kernels_cannot_read_is_not_opened(fault):
    model = Forecast().fit(noise(200)[:, None], times=np.arange(200.0))
    if fault == "short":
        model.last_state_ = model.last_state_[:100].copy()
    else:
        delattr(model, fault)
    content = {
        "format": 2,
        "detector": model,
        "features": ["value"],
        "provenance": {},
        "samples": noise(200)[:, None].astype("f4"),
        "times": np.arange(200.0),
    }
    payload = pickle.dumps(content, protocol=5)
    with pytest.raises(ArtifactError):
        unpack(payload, hashlib.sha256(payload).hexdigest())
