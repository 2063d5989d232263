"""Drift in the scorer: told once, a retraining asked for, attacks and windows left alone."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.calibration import drift
from processor.artifacts import proof
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer.role import ScorerRole
from processor.state.profiles import ActiveProfile
from tests.unit.builders import (
    GROSS,
    NOW,
    SECRET,
    TOPICS,
    Retrainer,
    Scorer,
    command,
    consumed,
    events,
    normal,
    of,
    parsed,
    proposed,
    record,
    stream,
    vector,
    verdicts,
)

KEY = (0, "features", "p")
LEARNT = 100


def around(mean: float, count: int, *, first: int, seed: int = 1) -> list[ConsumerRecord]:
    """Telemetry of profile p near a mean; 10 is its normal, with a standard deviation of 1."""
    drawn = np.random.default_rng(seed).normal(mean, 1.0, (count, 3))
    return stream([vector(*row.tolist()) for row in drawn], first=first)


def attack(count: int, *, first: int, found: int = 3) -> list[ConsumerRecord]:
    """Records of someone who is found out in one of ``found``, and just passes in the others."""
    values = [GROSS if i % found == 0 else vector(11.8, 11.8, 11.8) for i in range(count)]
    return stream(values, first=first)


def marks(outputs: list[ProducerRecord]) -> list[dict[str, Any]]:
    return [said for said in parsed(of(outputs, TOPICS.accepted)) if "mark" in said]


def wealth(scorer: Scorer) -> drift.Drift:
    profile = scorer.state.profiles.get(KEY)
    assert isinstance(profile, ActiveProfile)
    return profile.drift


@pytest.fixture
def scorer() -> Scorer:
    taught = Scorer(cold_start_samples=LEARNT)
    taught.taught()
    return taught


def test_a_profile_that_moves_is_told_and_asked_to_be_retrained_once(scorer):
    written = scorer.feed(around(11.0, 400, first=LEARNT))

    (event,) = events(written)
    (mark,) = marks(written)
    assert (event.event, event.version, event.generation) == ("drifting", 1, 0)
    assert event.figures["wealth"] >= event.figures["bound"] == drift.ALARM_CAPITAL
    assert (mark["mark"], mark["trigger"], mark["generation"]) == ("retrain", "drift", 0)
    assert mark["version"] == 1
    said = parsed(of(written, TOPICS.accepted))
    brought = said[said.index(mark) - 1]["verdict_id"]
    assert mark["command_id"] == f"drift-{brought.rpartition('-')[2]}"
    told = consumed(written, TOPICS.accepted)[said.index(mark)]
    assert proof.proven(SECRET, told)


def test_a_jump_is_told_within_150_records(scorer):
    written = scorer.feed(around(11.5, 150, first=LEARNT))

    assert [event.event for event in events(written)] == ["drifting"]


def test_the_mark_stands_behind_the_sample_that_brought_it(scorer):
    samples = parsed(of(scorer.feed(around(11.0, 400, first=LEARNT)), TOPICS.accepted))
    place = next(n for n, said in enumerate(samples) if "mark" in said)

    told = events(scorer.outputs)[-1].figures["records"]

    counted = [
        s for s in samples[:place] if s["since_anomaly"] is None or s["since_anomaly"] > drift.GUARD
    ]
    assert len(counted) == told


def test_a_profile_that_stays_is_not_told(scorer):
    written = scorer.feed(around(10.0, 2000, first=LEARNT))

    assert (events(written), marks(written)) == ([], [])
    assert wealth(scorer).records > 1800


def test_drift_that_lasts_is_told_again_after_so_many_records(scorer):
    written = scorer.feed(around(11.0, 1500, first=LEARNT))

    told = [event.figures["records"] for event in events(written)]
    assert len(told) > 1
    assert set(np.diff(told)) == {drift.QUIET}


def test_gross_anomalies_in_a_burst_are_no_drift():
    scorer = Scorer(cold_start_samples=LEARNT, on_shift="hold")
    scorer.taught()

    written = scorer.feed(stream([GROSS] * 500, first=LEARNT))

    assert {verdict.anomaly for verdict in verdicts(written)} == {True}
    assert ([event.event for event in events(written)], wealth(scorer)) == (["shifted"], drift.NONE)


def test_an_attacker_who_is_found_out_now_and_then_is_no_drift(scorer):
    written = scorer.feed(attack(600, first=LEARNT))

    assert 0.3 < np.mean([verdict.anomaly for verdict in verdicts(written)]) < 0.4
    assert (events(written), wealth(scorer)) == ([], drift.NONE)


def test_the_same_attacker_would_be_drift_if_nothing_ever_found_him_out(scorer):
    written = scorer.feed(stream([vector(11.8, 11.8, 11.8)] * 100, first=LEARNT))

    assert [event.event for event in events(written)] == ["drifting"]


def test_in_a_maintenance_window_verdicts_go_on_and_drift_is_not_followed(scorer):
    scorer.feed(around(10.0, 30, first=LEARNT))
    before = wealth(scorer)

    written = scorer.feed([command("suppress"), *around(11.0, 600, first=LEARNT + 30)])

    assert len(verdicts(written)) == 600
    assert [event.event for event in events(written)] == ["suppressed"]
    assert wealth(scorer) == before


def test_a_new_version_begins_anew_and_can_be_told_of_at_once(scorer):
    scorer.feed(around(11.0, 400, first=LEARNT))
    assert scorer.state.counts["features", "drifting"] == 1

    scorer.feed([proposed(scorer, around=11.0)])
    assert wealth(scorer) == drift.NONE
    assert scorer.state.counts["features", "drifting"] == 0
    written = scorer.feed(around(12.5, 400, first=600))

    (event,) = events(written)
    assert (event.event, event.version) == ("drifting", 2)


def test_a_forgotten_profile_drifts_no_longer(scorer):
    scorer.feed(around(11.0, 400, first=LEARNT))

    scorer.feed([command("forget")])

    assert scorer.state.counts["features", "drifting"] == 0


def test_the_same_state_and_batch_give_the_same_step_and_a_dropped_one_leaves_no_trace(scorer):
    scorer.feed(around(11.0, 100, first=LEARNT))
    before = copy.deepcopy(scorer.state)
    batch = around(11.0, 400, first=LEARNT + 100, seed=2)

    first = scorer.step(batch)

    assert marks(first.outputs)
    assert scorer.state == before
    again = scorer.step(batch)
    assert (again.outputs, again.delta.profiles) == (first.outputs, first.delta.profiles)


def test_how_records_are_cut_into_batches_does_not_matter():
    batch = around(11.0, 400, first=LEARNT)
    whole, pieces = Scorer(cold_start_samples=LEARNT), Scorer(cold_start_samples=LEARNT)
    for scorer in (whole, pieces):
        scorer.taught()

    whole.feed(batch)
    for start in range(0, len(batch), 7):
        pieces.feed(batch[start : start + 7])

    assert wealth(pieces) == wealth(whole)
    assert events(pieces.outputs) == events(whole.outputs)


def test_a_record_of_many_normal_samples_is_no_drift_for_its_least_p_value():
    scorer = Scorer(cold_start_samples=200)
    drawn = np.random.default_rng(3).normal(10.0, 1.0, (400, 20))
    values = [
        {"timestamps": list(range(i * 20, i * 20 + 20)), "values": row.tolist()}
        for i, row in enumerate(drawn)
    ]

    written = scorer.feed(stream(values, kind="series"))

    said = [verdict.p_value for verdict in verdicts(written) if verdict.status == "scored"]
    assert len(said) == 390
    assert np.mean(said) < 0.1
    assert {event.event for event in events(written)} == {"trained"}


def test_the_retrainer_trains_at_the_mark_and_says_why(scorer):
    """Whether the candidate may be proposed is for the gate to say."""
    retrainer = Retrainer(scorer.memory, cold_start_samples=LEARNT)
    retrainer.know(scorer.current(KEY))
    accepted = consumed(scorer.feed(around(11.0, 400, first=LEARNT)), TOPICS.accepted)

    step = retrainer.step(accepted)

    trained = {labels: by for (name, labels), by in step.counts.items() if name == "trainings"}
    assert len(trained) == 1
    (((kind, trigger, outcome), times),) = trained.items()
    assert (kind, trigger, times) == ("features", "drift", 1)
    assert outcome in ("proposed", "refused")
    assert retrainer.apply(step).delta[KEY].asked is None


def test_each_flag_is_counted_by_kind(scorer):
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    batch = around(11.0, 400, first=LEARNT)
    metrics.count("scorer", scorer.step(batch).counts)

    labels = {"role": "scorer", "kind": "features"}
    assert registry.get_sample_value("telltale_drifts_total", labels) == 1


class TestDataQuality:
    def counts(self, scorer: Scorer, batch: list[ConsumerRecord]) -> Counter[str]:
        step = scorer.step(batch)
        return Counter(
            {name: by for (name, labels), by in step.counts.items() if "features" in labels}
        )

    def test_values_and_those_that_are_absent_are_counted_learning_or_scored(self, scorer):
        batch = [
            *stream([vector(10.0, None, 9.0), vector(10.0, None, None)], first=LEARNT),
            *stream([vector(1.0, None, 2.0)], first=LEARNT, key="young"),
        ]

        counts = self.counts(scorer, batch)

        assert (counts["values"], counts["missing_values"]) == (9, 4)

    def test_a_record_without_any_evidence_lacks_all_values(self, scorer):
        counts = self.counts(scorer, stream([vector(None, None, None)], first=LEARNT))

        assert (counts["values"], counts["missing_values"]) == (3, 3)

    def test_a_dead_letter_has_no_values(self, scorer):
        counts = self.counts(scorer, [record(b"junk", offset=LEARNT)])

        assert counts["values"] == 0

    def test_a_training_names_the_features_that_never_vary(self):
        scorer = Scorer()
        values = [{"values": {"a": v["values"]["a"], "b": 4.0, "c": None}} for v in normal(5)]

        step = scorer.step(stream(values))

        (event,) = events(step)
        assert event.event == "trained"
        assert event.figures["constant_features"] == 2
        assert event.figures["constant"] == ["b", "c"]
        assert (event.figures["samples"], event.figures["features"]) == (5, 3)
        assert step.counts["constant_features", ("features",)] == 2

    def test_a_retraining_counts_them_too(self):
        scorer = Scorer(cold_start_samples=60)
        retrainer = Retrainer(scorer.memory, cold_start_samples=60, retrain_samples=100)
        values = [{"values": {**value["values"], "d": 4.0}} for value in normal(200)]
        accepted = consumed(scorer.feed(stream(values)), TOPICS.accepted)
        retrainer.know(scorer.current(KEY))

        step = retrainer.step(accepted)

        assert len(of(step, TOPICS.candidates)) == 1
        assert step.counts["constant_features", ("features",)] == 1


class TestGauges:
    def gauge(self, role: ScorerRole, name: str) -> float:
        return getattr(role._metrics, name).labels("scorer", "features")._value.get()

    def commit(self, role: ScorerRole, batch: list[ConsumerRecord], now: int = NOW) -> None:
        while batch:
            step = role.compute(batch, now)
            role.apply(step)
            batch = list(step.unprocessed)

    def test_drifting_profiles_are_shown_until_they_have_a_new_model(self, make_role):
        role = make_role(ScorerRole, cold_start_samples=LEARNT)
        self.commit(role, stream(normal(LEARNT)) + stream(normal(LEARNT), key="calm"))
        self.commit(role, around(11.0, 400, first=LEARNT))

        role.update_gauges()

        assert self.gauge(role, "drifting_profiles") == 1
        role.drop()
        role.update_gauges()
        assert self.gauge(role, "drifting_profiles") == 0

    def test_a_profile_that_stops_is_shown_as_silent_and_one_that_goes_on_is_not(self, make_role):
        role = make_role(ScorerRole)
        ordinary = vector(10.0, 10.0, 10.0)
        for key in ("stops", "goes on"):
            self.commit(role, stream(normal(5), key=key))
        for minute in range(200):
            who = ("stops", "goes on") if minute < 100 else ("goes on",)
            at = NOW + minute * 60_000
            batch = [record(ordinary, key=key, offset=9 + minute, timestamp=at) for key in who]
            self.commit(role, batch, at)
            role.update_gauges()

        role.update_gauges()

        assert self.gauge(role, "silent_profiles") == 1
        self.commit(role, [command("suppress", profile="stops")], NOW + 200 * 60_000)
        role.update_gauges()
        role.update_gauges()
        assert self.gauge(role, "silent_profiles") == 0
