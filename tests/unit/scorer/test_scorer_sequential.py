"""`series` by the detector `forecast`: points in their order, with an online state in the Step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artifacts import unpack
from models.detectors.forecast.detector import Forecast
from models.detectors.forecast.state import STATE_BYTES
from processor.columnar.fast_path import NoFastPath
from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer.role import ScorerRole
from processor.settings import SettingsError, load
from processor.state import ring_codec
from processor.state.profiles import ActiveProfile
from processor.state.ring_codec import HEAD
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
    of,
    record,
    verdicts,
)

KEY = (0, "series", "p")
MINUTE = 60_000
LEARNT = 60
WANTED: dict[str, Any] = {"cold_start_samples": LEARNT, "detector__series": "forecast"}
WAVE = 50.0 + 10.0 * np.sin(np.arange(2000) / 6.0)
WAVE += np.random.default_rng(1).normal(0.0, 0.5, WAVE.size)
HEAD_KEY = ring_codec.key("series", "p", HEAD)


def points(
    first: int, count: int, *, each: int = 1, changed: dict[int, float] | None = None
) -> list[ConsumerRecord]:
    """Records of ``each`` points of the wave from a point on; ``changed`` have another value."""
    values = WAVE.tolist()
    for at, value in (changed or {}).items():
        values[at] = value
    return [
        record(
            {
                "timestamps": [NOW + MINUTE * at for at in range(begin, begin + each)],
                "values": values[begin : begin + each],
            },
            kind="series",
            offset=begin,
        )
        for begin in range(first, first + count, each)
    ]


@pytest.fixture(scope="module")
def learnt() -> Scorer:
    """A scorer whose profile has learnt; its Steps are to be dropped."""
    scorer = Scorer(**WANTED)
    scorer.feed(points(0, LEARNT))
    return scorer


def another(scorer: Scorer) -> Scorer:
    """A scorer with the same state and artefacts, to commit to."""
    fresh = Scorer(**WANTED)
    fresh.memory.payloads |= scorer.memory.payloads
    fresh.memory.paths |= scorer.memory.paths
    fresh.state.apply(dict(scorer.state.profiles), {})
    return fresh


def online(scorer: Scorer) -> bytes | None:
    profile = scorer.state.profiles[KEY]
    assert isinstance(profile, ActiveProfile)
    return profile.online


def heads(outputs: Sequence[ProducerRecord]) -> list[bytes | None]:
    """What was written of the online state."""
    return [out.value for out in of(outputs, TOPICS.cold_start) if out.key == HEAD_KEY]


class TestLearning:
    def test_version_1_is_a_forecast_with_the_times_of_its_points(self, learnt):
        version = learnt.current(KEY)
        model = unpack(learnt.memory.payloads[version.sha256], version.sha256)

        assert version.detector == "forecast"
        assert isinstance(model.detector, Forecast)
        assert model.times is not None
        assert model.times.tolist() == [NOW + MINUTE * at for at in range(LEARNT)]
        assert model.provenance["time_unit"] == "milliseconds"

    def test_below_30_points_it_is_gaussian(self):
        scorer = Scorer(**WANTED | {"cold_start_samples": 29})
        scorer.feed(points(0, 29))

        assert scorer.current(KEY).detector == "gaussian"

    def test_slots_and_accepted_samples_have_times_whatever_the_detector(self):
        scorer = Scorer(cold_start_samples=10, detector__series="gaussian")
        learning = scorer.feed(points(0, 5, each=5))
        (sample,) = accepted(scorer.feed(points(5, 20, each=20))) or [None]
        (slot,) = (ring_codec.decode_slot(out.value) for out in of(learning, TOPICS.cold_start))

        assert sample is None, "the second record completes the learning"
        assert slot.times.tolist() == [NOW + MINUTE * at for at in range(5)]
        (sample,) = accepted(scorer.feed(points(25, 1)))
        assert sample.times == [NOW + MINUTE * 25]

    @pytest.mark.parametrize("field", ["detector", "detector__features"])
    def test_it_is_a_detector_of_series_only(self, field):
        with pytest.raises(SettingsError, match=f"TELLTALE_{field.upper()}: expected a detector"):
            load(**{field: "forecast"})


class TestVerdicts:
    def test_nearly_all_usual_points_are_normal_and_accepted_with_their_times(self, learnt):
        step = learnt.step(points(LEARNT, 500))

        said = verdicts(step)
        assert {verdict.status for verdict in said} == {"scored"}
        assert sum(verdict.anomaly for verdict in said) <= 15
        assert [sample.times for sample in accepted(step)] == [
            [verdict_time(sample.verdict_id)] for sample in accepted(step)
        ]

    def test_a_point_off_the_forecast_says_what_was_expected_and_what_is_wrong(self, learnt):
        at = LEARNT + 100
        step = learnt.step(points(LEARNT, 101, changed={at: 90.0}))

        last = verdicts(step)[-1]
        assert last.anomaly
        assert last.severity != "none"
        first = last.reasons[0]
        assert (first.feature, first.value) == ("value", 90.0)
        assert first.text == "outside the band of the forecast"
        low, high = first.typical
        assert low < WAVE[at] < high < 90.0
        assert sum(reason.contribution for reason in last.reasons) <= 1.0 + 1e-9
        assert len(accepted(step)) == len(verdicts(step)) - sum(v.anomaly for v in verdicts(step))

    def test_of_a_record_of_several_points_the_most_abnormal_counts(self, learnt):
        step = learnt.step(points(LEARNT, 40, each=20, changed={LEARNT + 33: 90.0}))

        normal, abnormal = verdicts(step)
        assert not normal.anomaly
        assert abnormal.anomaly
        assert abnormal.samples[0].index == 13
        assert abnormal.reasons[0].value == 90.0

    def test_a_lasting_new_level_is_normal_within_100_points_and_told_as_drift(self, learnt):
        moved = {at: float(WAVE[at]) + 30.0 for at in range(LEARNT, LEARNT + 600)}
        scorer = another(learnt)
        outputs = scorer.feed(points(LEARNT, 600, changed=moved))

        said = verdicts(outputs)
        assert said[0].anomaly
        assert sum(verdict.anomaly for verdict in said[100:]) <= 25
        assert "drifting" in [event.event for event in events(outputs)]

    @pytest.mark.parametrize("detector", ["forecast", "gaussian"])
    @pytest.mark.parametrize("each", [1, 4])
    def test_the_writer_of_normal_records_gives_the_bytes_of_the_plain_path(self, detector, each):
        fast, plain = (Scorer(**WANTED | {"detector__series": detector}) for _ in range(2))
        plain.context = replace(plain.context, fast_path=NoFastPath())
        for batch in (points(0, LEARNT), points(LEARNT, 80, each=each, changed={LEARNT + 9: 90.0})):
            assert fast.feed(batch) == plain.feed(batch)

        assert fast.state.profiles[KEY] == plain.state.profiles[KEY]

    def test_decisions_scores_and_p_values_agree(self, learnt):
        for verdict in verdicts(learnt.step(points(LEARNT, 200, changed={LEARNT + 50: 200.0}))):
            assert verdict.anomaly == (verdict.decision < 0) == (verdict.p_value < 0.01)
            assert 0.0 <= verdict.score <= 1.0


def verdict_time(verdict_id: str) -> int:
    return NOW + MINUTE * int(verdict_id.rpartition("-")[2])


class TestOnlineState:
    def test_it_is_written_once_a_step_and_part_of_the_delta(self, learnt):
        scorer = another(learnt)
        assert online(scorer) is None

        outputs = scorer.feed(points(LEARNT, 50))

        (written,) = heads(outputs)
        assert ring_codec.decode_online(written) == (0, online(scorer))
        assert len(online(scorer)) == STATE_BYTES

    def test_a_dropped_step_leaves_no_trace_and_is_computed_again_to_the_byte(self, learnt):
        scorer = another(learnt)
        scorer.feed(points(LEARNT, 20))
        before = online(scorer)
        batch = points(LEARNT + 20, 50, changed={LEARNT + 40: 90.0})

        first, second = scorer.step(batch), scorer.step(batch)

        assert first.outputs == second.outputs
        assert online(scorer) == before

    @settings(max_examples=15)
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.sampled_from([1, 5]))
    def test_however_points_are_divided_into_steps_verdicts_and_state_are_the_same(
        self, learnt, sizes, each
    ):
        whole, parts = another(learnt), another(learnt)
        batch = points(LEARNT, 5 * sum(sizes), each=each, changed={LEARNT + 7: 90.0})

        at_once = whole.feed(batch)
        divided: list[ProducerRecord] = []
        size = len(batch) // len(sizes) + 1
        for begin in range(0, len(batch), size):
            divided += parts.feed(batch[begin : begin + size])

        for topic in (TOPICS.anomalies, TOPICS.accepted):
            assert of(at_once, topic) == of(divided, topic)
        assert online(whole) == online(parts)

    def test_profiles_of_one_batch_do_not_touch_one_another(self, learnt):
        scorer = another(learnt)
        others = [each._replace(key=b"q", offset=each.offset + 5000) for each in points(0, LEARNT)]
        scorer.feed(others)
        alone = scorer.step(points(LEARNT, 30))
        of_q = [each._replace(key=b"q") for each in points(LEARNT, 30, changed={LEARNT + 3: 1.0})]
        mixed = [each for pair in zip(points(LEARNT, 30), of_q, strict=True) for each in pair]

        both = scorer.step(mixed)

        assert [v for v in of(both, TOPICS.anomalies) if v.key == b"p"] == of(
            alone, TOPICS.anomalies
        )

    def test_forgetting_the_profile_clears_it(self, learnt):
        scorer = another(learnt)
        scorer.feed(points(LEARNT, 5))

        outputs = scorer.feed([command("forget")])

        assert heads(outputs) == [None]

    def test_all_that_was_accepted_is_pooled_for_the_points_are_a_sequence(self, learnt):
        scorer = another(learnt)
        outputs = scorer.feed(points(LEARNT, 300))
        retrainer = Retrainer(scorer.memory, retrain_samples=100_000, **WANTED)
        retrainer.know(scorer.current(KEY))

        batch = consumed(outputs, TOPICS.accepted)
        counts = retrainer.step(batch).counts["records", ("series", "spared")]
        retrainer.feed(batch)

        assert any(min(sample.p_values) < 0.1 for sample in accepted(outputs))
        assert counts == 0
        assert len(retrainer.pools[KEY].ring.samples()) == len(batch)

    def test_the_next_version_takes_it_over(self, learnt):
        scorer = another(learnt)
        outputs = scorer.feed(points(LEARNT, 600))
        retrainer = Retrainer(scorer.memory, retrain_samples=500, **WANTED)
        retrainer.know(scorer.current(KEY))
        written = retrainer.feed(consumed(outputs, TOPICS.accepted))
        (candidate,) = consumed(written, TOPICS.candidates)
        before = online(scorer)

        adopted = scorer.feed([candidate])
        step = scorer.step(points(LEARNT + 600, 500))

        assert scorer.current(KEY).version == 2
        assert scorer.current(KEY).detector == "forecast"
        assert announced(adopted)[0].provenance["time_unit"] == "milliseconds"
        assert online(scorer) == before
        assert sum(verdict.anomaly for verdict in verdicts(step)) <= 10


class TestRestore:
    def committed(self, role: ScorerRole, batch: list[ConsumerRecord]) -> list[ProducerRecord]:
        step = role.compute(batch, NOW)
        role.apply(step)
        return step.outputs

    def restored(self, role: ScorerRole, outputs: Sequence[ProducerRecord]) -> list[Any]:
        for offset, out in enumerate(outputs):
            if out.topic in role.changelogs:
                role.load(
                    ConsumerRecord(out.topic, 0, offset, out.key, out.value, (), NOW + offset)
                )
        with structlog.testing.capture_logs() as lines:
            role.restored([0])
        return lines

    def test_a_restored_scorer_goes_on_with_the_same_bytes(self, make_role):
        first, second = (make_role(ScorerRole, **WANTED) for _ in range(2))
        outputs = self.committed(first, points(0, LEARNT))
        outputs += self.committed(first, points(LEARNT, 70))
        self.restored(second, outputs)
        batch = points(LEARNT + 70, 50, changed={LEARNT + 90: 90.0})

        assert second.compute(batch, NOW).outputs == first.compute(batch, NOW).outputs

    def test_a_speculative_step_that_is_undone_leaves_the_state_of_before(self, make_role):
        role = make_role(ScorerRole, **WANTED)
        self.committed(role, points(0, LEARNT))
        self.committed(role, points(LEARNT, 10))
        before = role._state.profiles[KEY].online
        undo = role.apply_speculatively(role.compute(points(LEARNT + 10, 10), NOW))

        assert role._state.profiles[KEY].online != before
        undo()
        assert role._state.profiles[KEY].online == before

    @pytest.mark.parametrize("damaged", [b"", b"\x07", b"\x01", b"\x01" + b"\xff" * 2000])
    def test_what_cannot_be_read_is_told_and_begins_at_the_end_of_the_training(
        self, make_role, damaged
    ):
        first, second = (make_role(ScorerRole, **WANTED) for _ in range(2))
        outputs = self.committed(first, points(0, LEARNT))
        outputs.append(ProducerRecord(TOPICS.cold_start, damaged, HEAD_KEY, 0))

        lines = self.restored(second, outputs)

        assert "online_state_unreadable" in [line["event"] for line in lines]
        batch = points(LEARNT, 5)
        assert second.compute(batch, NOW).outputs == first.compute(batch, NOW).outputs

    def test_that_of_an_earlier_generation_is_not_taken(self, make_role):
        role = make_role(ScorerRole, **WANTED)
        outputs = self.committed(role, points(0, LEARNT))
        scored = self.committed(role, points(LEARNT, 5))
        generation, state = ring_codec.decode_online(heads(scored)[-1])
        other = ring_codec.encode_online(generation + 1, state)
        again = make_role(ScorerRole, **WANTED)

        self.restored(again, [*outputs, ProducerRecord(TOPICS.cold_start, other, HEAD_KEY, 0)])

        assert again._state.profiles[KEY].online is None
