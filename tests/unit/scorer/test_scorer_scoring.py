"""The scorer on active profiles: verdicts, accepted samples, dead letters, offsets."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration.conformal import sample_budget
from processor.scorer.pipeline import compute
from processor.scorer.step_builder import ScorerContext
from processor.state.profiles import ActiveProfile, State
from processor.topics import Topics
from tests.unit.builders import (
    GROSS,
    NOW,
    TOPICS,
    Memory,
    Scorer,
    accepted,
    announced,
    command,
    events,
    normal,
    of,
    proposed,
    reasons,
    record,
    settings,
    stream,
    vector,
    verdicts,
)

KEY = (0, "features", "p")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """A scorer whose profile p has learnt from 40 samples; its Steps are dropped."""
    taught = Scorer(cold_start_samples=40)
    taught.taught()
    return taught


class TestAnAnomaly:
    def test_is_below_0_and_grave(self, scorer):
        (verdict,) = verdicts(scorer.step([record(GROSS, offset=99)]))
        assert verdict.status == "scored"
        assert verdict.anomaly
        assert verdict.decision < 0
        assert verdict.severity in ("high", "critical")
        assert verdict.p_value < 0.01
        assert (verdict.model_version, verdict.generation) == (1, 0)
        assert verdict.verdict_id == "telemetry.features-0-99"

    def test_has_its_reasons_the_largest_first(self, scorer):
        (verdict,) = verdicts(scorer.step([record(vector(10.0, 10.0, 500.0), offset=99)]))
        first = verdict.reasons[0]
        shares = [reason.contribution for reason in verdict.reasons]
        assert (first.feature, first.value) == ("c", 500.0)
        assert shares == sorted(shares, reverse=True)
        low, high = first.typical
        assert 7.0 < low < high < 13.0

    def test_is_not_accepted(self, scorer):
        assert accepted(scorer.step([record(GROSS, offset=99)])) == []


class TestANormalRecord:
    def test_is_scored_without_severity_or_reasons(self, scorer):
        (verdict,) = verdicts(scorer.step([record(vector(10.0, 10.0, 10.0), offset=99)]))
        assert verdict.status == "scored"
        assert (verdict.anomaly, verdict.severity, verdict.reasons) == (False, "none", [])
        assert verdict.decision >= 0
        assert 0 <= verdict.score <= 1
        assert verdict.p_value > 0.01

    def test_is_accepted_as_its_vector(self, scorer):
        value = vector(10.0, None, 10.5) | {"observed_at": 77}
        (sample,) = accepted(scorer.step([record(value, offset=99)]))
        assert (sample.profile_id, sample.kind) == ("p", "features")
        assert (sample.generation, sample.model_version) == (0, 1)
        assert (sample.features, sample.vectors) == (["a", "b", "c"], [[10.0, None, 10.5]])
        assert len(sample.p_values) == 1
        assert (sample.observed_at, sample.source) == (77, "scorer")
        assert sample.verdict_id == "telemetry.features-0-99"

    def test_counts_the_records_since_the_last_anomaly(self, scorer):
        calm = vector(10.0, 10.0, 10.0)
        values = [calm, GROSS, calm, calm, vector(None, None, None), calm, GROSS, calm]
        found = accepted(scorer.step(stream(values, first=99)))
        assert [sample.since_anomaly for sample in found] == [None, 1, 2, 3, 1]


class TestOutputs:
    def test_are_on_the_partition_and_under_the_key_of_the_telemetry(self):
        scorer = Scorer()
        scorer.taught(profile="é:x", partition=6)
        calm = vector(10.0, 10.0, 10.0)
        step = scorer.step([record(calm, key="é:x", partition=6, offset=50)])
        assert [out.topic for out in step.outputs] == ["anomalies", "accepted-normal"]
        assert {(out.partition, out.key) for out in step.outputs} == {(6, "é:x".encode())}

    def test_a_verdict_has_headers_to_filter_by_and_the_time_of_its_production(self, scorer):
        values = [GROSS, vector(10.0, 10.0, 10.0), vector(None, None, None)]
        outs = of(scorer.step(stream(values, first=99), now=NOW + 5), TOPICS.anomalies)
        for out, said in zip(outs, verdicts(outs), strict=True):
            assert dict(out.headers or ()) == {
                "telltale.status": said.status.encode(),
                "telltale.anomaly": b"true" if said.anomaly else b"false",
                "telltale.severity": said.severity.encode(),
            }
            assert out.timestamp == NOW + 5 == said.scored_at

    def test_a_prefix_stands_before_each_topic(self):
        context = ScorerContext(settings(), Topics("eu."), Memory().open)
        batch = stream([*normal(5), {}], topic="eu.telemetry.features")
        step = compute(State(), batch, NOW, context)
        assert {out.topic for out in step.outputs} == {
            "eu.anomalies",
            "eu.cold-start",
            "eu.models",
            "eu.lifecycle",
            "eu.dead-letter",
        }

    def test_keep_the_order_of_the_records(self, scorer):
        batch = stream([GROSS, {}, vector(10.0, 10.0, 10.0)], first=99)
        said = [out.topic for out in scorer.step(batch).outputs]
        assert said == ["anomalies", "dead-letter", "anomalies", "accepted-normal"]


class TestSeries:
    def points(self, *values: float) -> dict[str, list[float]]:
        return {"timestamps": list(range(len(values))), "values": list(values)}

    def taught(self, **wanted: object) -> Scorer:
        scorer = Scorer(detector__series="gaussian", cold_start_samples=50, **wanted)
        drawn = np.random.default_rng(1).normal(20.0, 2.0, 50)
        scorer.feed(stream([self.points(*drawn.tolist())], kind="series"))
        return scorer

    def said(self, scorer: Scorer, *values: float):
        return verdicts(scorer.step([record(self.points(*values), kind="series", offset=9)]))[0]

    def test_the_verdict_is_that_of_the_most_abnormal_point(self):
        scorer = self.taught()
        verdict = self.said(scorer, 20.0, 900.0, 21.0, -40.0)
        assert verdict.anomaly
        assert [sample.index for sample in verdict.samples] == [1, 3]
        assert verdict.decision == min(sample.decision for sample in verdict.samples)
        assert verdict.score == max(sample.score for sample in verdict.samples)
        assert all(sample.decision < 0 for sample in verdict.samples)

    def test_each_point_is_judged_at_its_share_of_the_records_budget(self):
        scorer = self.taught(alert_budget=0.05)
        (model,) = scorer.memory.open([scorer.current((0, "series", "p"))]).values()
        values = [20.0, 21.0, 19.0, 24.0]
        scores = model.detector.score_samples(np.array(values)[:, np.newaxis])
        offset = model.detector.calibration_.offset(sample_budget(0.05, 4))
        assert self.said(scorer, *values).decision == pytest.approx(scores.min() - offset)

    def test_at_most_100_points_are_listed(self):
        verdict = self.said(self.taught(), *([900.0] * 130))
        assert len(verdict.samples) == 100
        assert verdict.samples_omitted == 30

    def test_a_single_point_has_no_list(self):
        out = of(
            self.taught().step([record(self.points(900.0), kind="series", offset=9)]), "anomalies"
        )
        assert "samples" not in orjson.loads(out[0].value)

    def test_a_normal_record_lists_none_and_is_accepted_with_a_row_a_point(self):
        scorer = self.taught()
        step = scorer.step([record(self.points(20.0, 21.0), kind="series", offset=9)])
        (verdict,), (sample,) = verdicts(step), accepted(step)
        assert (verdict.samples, verdict.samples_omitted) == ([], 0)
        assert sample.vectors == [[20.0], [21.0]]
        assert len(sample.p_values) == 2


class TestSuppression:
    def suppressed(self) -> Scorer:
        scorer = Scorer()
        scorer.taught()
        scorer.feed([command("suppress", until=NOW + 1000)])
        return scorer

    def test_verdicts_go_on_and_say_so(self):
        scorer = self.suppressed()
        calm, gross = verdicts(scorer.step(stream([vector(10.0, 10.0, 10.0), GROSS], first=99)))
        assert (calm.suppressed, gross.suppressed) == (True, True)
        assert gross.anomaly

    def test_nothing_is_accepted(self):
        step = self.suppressed().step(stream(normal(5, seed=3), first=99))
        assert accepted(step) == []

    def test_nothing_is_learnt(self):
        scorer = Scorer()
        scorer.feed(stream(normal(2)))
        scorer.feed([command("suppress", until=NOW + 1000)])
        step = scorer.step(stream(normal(9), first=2))
        assert [(v.status, v.samples_seen) for v in verdicts(step)] == [("learning", 2)] * 9
        assert step.delta.profiles == {}
        assert of(step, TOPICS.cold_start) == []

    def test_ends_by_itself(self):
        scorer = self.suppressed()
        step = scorer.step([record(vector(10.0, 10.0, 10.0), offset=99)], now=NOW + 1000)
        assert not verdicts(step)[0].suppressed
        assert len(accepted(step)) == 1


class TestOffsets:
    def test_are_those_after_the_last_record_of_each_partition_poison_included(self):
        batch = [
            record(vector(1.0), offset=4),
            record(b"\xff", offset=9),
            record(vector(1.0), partition=1, offset=2),
            record(None, key=None, kind="series", offset=0),
            command("resume", profile="nobody", offset=5),
            record(b"junk", topic=TOPICS.candidates, offset=6),
        ]
        assert Scorer().step(batch).offsets == {
            ("telemetry.features", 0): 10,
            ("telemetry.features", 1): 3,
            ("telemetry.series", 0): 1,
            ("commands", 0): 6,
            ("candidates", 0): 7,
        }

    def test_an_empty_batch_has_none_and_writes_nothing(self):
        step = Scorer().step([])
        assert (step.offsets, step.outputs) == ({}, [])


class TestUnanswerable:
    def test_a_record_whose_outputs_do_not_fit_their_topic_is_a_dead_letter(self):
        scorer = Scorer(cold_start_samples=3, max_features=32_000, max_record_bytes="20MiB")
        names = [f"{i}-{'x' * 200}" for i in range(20_000)]
        wide = [{"values": dict.fromkeys(names, float(i))} for i in range(2)]
        written = scorer.feed(stream(wide))
        assert reasons(written) == ["unanswerable"] * 2
        assert verdicts(written) == []
        assert scorer.state.profiles.get(KEY) is None


class TestCounts:
    def test_say_what_became_of_each_record(self, scorer):
        step = scorer.step(stream([GROSS, {}, vector(None, None, None)], first=99))
        severity = verdicts(step)[0].severity
        assert step.counts["records", ("features", "scored")] == 1
        assert step.counts["records", ("features", "dead_letter")] == 1
        assert step.counts["records", ("features", "abstained")] == 1
        assert step.counts["dead_letters", ("invalid_record",)] == 1
        assert step.counts["verdicts", ("features", "scored", severity)] == 1
        assert step.counts["verdicts", ("features", "abstained", "none")] == 1

    def test_latency_is_told_for_each_verdict(self, scorer):
        batch = [record(GROSS, offset=99, timestamp=5), record({}, offset=100, timestamp=6)]
        assert scorer.step(batch).timestamps == [5]


class TestALostArtefact:
    def lost(self, *, versions: int = 1) -> Scorer:
        scorer = Scorer()
        scorer.taught()
        for _ in range(versions - 1):
            assert announced(scorer.feed([proposed(scorer)]))
        scorer.memory.lose(scorer.current(KEY).sha256)
        return scorer

    def test_without_an_older_version_the_profile_learns_anew(self):
        scorer = self.lost()
        written = scorer.feed(stream(normal(6, seed=2), first=50))
        said = verdicts(written)
        assert [v.samples_seen for v in said] == [1, 2, 3, 4, 5, 5]
        assert {v.generation for v in said} == {50}
        assert (said[-1].status, said[-1].model_version) == ("scored", 1)
        assert [event.event for event in events(written)] == ["model_lost", "trained"]

    def test_an_older_version_goes_on_under_a_new_number(self):
        scorer = self.lost(versions=3)
        second = scorer.current(KEY).history[0]
        written = scorer.feed(stream(normal(2, seed=2), first=50))
        assert [(v.status, v.model_version) for v in verdicts(written)] == [("scored", 4)] * 2
        current = scorer.current(KEY)
        assert (current.version, current.sha256) == (4, second.sha256)
        assert [old.version for old in current.history] == [3, 2, 1]
        assert [event.event for event in events(written)] == ["model_lost"]

    def test_forgetting_a_profile_that_learns_anew_clears_its_announcement_too(self):
        scorer = self.lost()
        scorer.feed(stream(normal(2), first=50))
        step = scorer.step([command("forget")])
        assert [out.value for out in of(step, TOPICS.models)] == [None]


ANYTHING = st.one_of(
    st.sampled_from([GROSS, {}, {"values": []}, b"\x00", None, vector(None, None, None)]),
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=3, max_size=3
    ).map(lambda row: vector(*row)),
)


@given(values=st.lists(ANYTHING, max_size=40), detector=st.sampled_from(["deviation", "gaussian"]))
def test_every_record_gets_exactly_one_verdict_or_one_dead_letter(values, detector):
    scorer = Scorer(cold_start_samples=4, detector=detector)
    written = scorer.feed(stream(values))
    answered = {verdict.verdict_id for verdict in verdicts(written)}
    refused = {
        f"telemetry.features-0-{int(dict(out.headers or ())['telltale.offset'])}"
        for out in of(written, TOPICS.dead_letter)
    }
    assert answered | refused == {f"telemetry.features-0-{i}" for i in range(len(values))}
    assert len(verdicts(written)) + len(of(written, TOPICS.dead_letter)) == len(values)


@given(values=st.lists(ANYTHING, max_size=30), suppress=st.booleans())
def test_exactly_the_scored_normal_records_are_accepted(values, suppress):
    scorer = Scorer(cold_start_samples=4)
    scorer.taught()
    if suppress:
        scorer.feed([command("suppress", until=NOW + 1)])
    written = scorer.feed(stream(values, first=10))
    normal_ones = [v for v in verdicts(written) if v.status == "scored" and not v.anomaly]
    expected = [] if suppress else [verdict.verdict_id for verdict in normal_ones]
    assert [sample.verdict_id for sample in accepted(written)] == expected


@given(
    detector=st.sampled_from(["blend", "forest", "gaussian", "deviation", "neighbors"]),
    rows=st.lists(
        st.lists(
            st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2
        ),
        min_size=3,
        max_size=12,
    ),
)
def test_whatever_numbers_a_profile_sends_its_verdicts_hold_to_their_schema(detector, rows):
    scorer = Scorer(cold_start_samples=3, detector=detector)
    said = verdicts(scorer.feed(stream([vector(*row) for row in rows])))
    assert len(said) == len(rows)
    for verdict in said:
        if verdict.status == "scored":
            assert verdict.decision is not None
            assert verdict.score is not None
            assert verdict.p_value is not None
            assert isinstance(scorer.state.profiles.get(KEY), ActiveProfile)
