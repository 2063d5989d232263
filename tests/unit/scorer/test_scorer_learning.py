"""The scorer while a profile learns: what is counted, when version 1 comes, what is written."""

import hashlib

import numpy as np
import pytest

from models.naming import profile_directory
from processor.scorer.decode import decode_all
from processor.state import ring_codec
from processor.state.profiles import ActiveProfile, LearningProfile
from tests.unit.builders import (
    NOW,
    TOPICS,
    Scorer,
    accepted,
    announced,
    events,
    normal,
    of,
    reasons,
    record,
    stream,
    vector,
    verdicts,
)

KEY = (0, "features", "p")

TURNS = [record(value, key=f"p{i % 5}", offset=i) for i, value in enumerate(normal(40))]
"""Five profiles take turns."""


def series(*values: float, at: int = 0) -> dict[str, list[float]]:
    return {"timestamps": list(range(at, at + len(values))), "values": list(values)}


class TestCounting:
    def test_usable_samples_count_from_1_until_the_next_record_is_scored(self):
        said = verdicts(Scorer().feed(stream(normal(8))))
        assert [v.samples_seen for v in said] == [1, 2, 3, 4, 5, 5, 5, 5]
        assert [v.status for v in said] == ["learning"] * 5 + ["scored"] * 3
        assert {v.samples_needed for v in said} == {5}

    def test_the_record_that_completes_learning_is_learning_without_a_version(self):
        last, after = verdicts(Scorer().feed(stream(normal(6), first=40)))[4:]
        assert (last.status, last.model_version, last.generation) == ("learning", None, 40)
        assert (after.status, after.model_version, after.generation) == ("scored", 1, 40)

    def test_while_learning_nothing_is_judged_or_accepted(self):
        written = Scorer().feed(stream(normal(5)))
        for verdict in verdicts(written):
            assert (verdict.score, verdict.decision, verdict.p_value) == (None, None, None)
            assert (verdict.anomaly, verdict.severity, verdict.reasons) == (False, "none", [])
        assert accepted(written) == []

    def test_profiles_kinds_and_partitions_learn_apart(self):
        scorer = Scorer()
        scorer.feed(stream(normal(4), key="p"))
        scorer.feed(stream(normal(3), key="q"))
        scorer.feed(stream(normal(2), key="p", partition=1))
        scorer.feed(stream([series(1.0, 2.0)], key="p", kind="series"))
        seen = {key: held.ring.seen for key, held in scorer.state.profiles.items()}
        assert seen == {
            (0, "features", "p"): 4,
            (0, "features", "q"): 3,
            (1, "features", "p"): 2,
            (0, "series", "p"): 2,
        }

    def test_a_kind_may_need_another_number_of_samples(self):
        scorer = Scorer(cold_start_samples=9, cold_start_samples__features=3)
        assert [v.samples_needed for v in verdicts(scorer.feed(stream(normal(4))))] == [3] * 4


class TestRecordsOfSeveralSamples:
    def test_count_each_sample_and_are_never_split(self):
        scorer = Scorer(cold_start_samples=5)
        batch = [series(1, 2, 3, at=10 * i) for i in range(3)]
        said = verdicts(scorer.feed(stream(batch, kind="series")))
        assert [(v.status, v.samples_seen) for v in said] == [
            ("learning", 3),
            ("learning", 6),
            ("scored", 6),
        ]

    def test_version_1_is_trained_on_all_of_them_and_says_so(self):
        written = Scorer().feed(stream([series(*range(8)), series(1, 2, at=99)], kind="series"))
        (version,) = announced(written)
        assert (version.trained_on, version.learned) == (8, 8)
        assert verdicts(written)[1].samples_needed == 8

    def test_events_of_a_drowsiness_record_count_each(self):
        event = {"ear_value": 0.3, "is_drowsy": False, "duration_ms": 100}
        said = verdicts(Scorer().feed(stream([{"events": [event] * 3}, event], kind="drowsiness")))
        assert [v.samples_seen for v in said] == [3, 4]


class TestAbstaining:
    @pytest.mark.parametrize("values", [{}, [], {"a": None, "b": None}, [None, None]])
    def test_a_record_without_evidence_counts_for_nothing(self, values):
        scorer = Scorer()
        step = scorer.step(stream([{"values": values}]))
        (verdict,) = verdicts(step)
        assert (verdict.status, verdict.samples_seen, verdict.generation) == ("abstained", 0, None)
        assert step.delta.profiles == {}
        assert of(step, TOPICS.cold_start) == []

    def test_it_does_not_fix_the_names(self):
        scorer = Scorer()
        scorer.feed(stream([{"values": {"x": None, "y": None}}, {"values": {"a": 1, "b": 2}}]))
        assert scorer.state.profiles.get(KEY).ring.names == ("a", "b")

    def test_in_the_midst_of_learning_the_count_stands_still(self):
        values = normal(3)
        values.insert(2, vector(None, None, None))
        said = verdicts(Scorer().feed(stream(values)))
        assert [(v.status, v.samples_seen) for v in said] == [
            ("learning", 1),
            ("learning", 2),
            ("abstained", 2),
            ("learning", 3),
        ]

    def test_a_behavior_window_without_events_abstains(self):
        empty = {
            "startTimestamp": 0,
            "endTimestamp": 1000,
            "windowSize": {"width": 10, "height": 10},
        }
        assert verdicts(Scorer().feed(stream([empty], kind="behavior")))[0].status == "abstained"

    def test_an_empty_series_abstains(self):
        assert verdicts(Scorer().feed(stream([series()], kind="series")))[0].status == "abstained"

    def test_an_active_profile_abstains_under_its_version(self):
        scorer = Scorer()
        version = scorer.taught()
        (verdict,) = verdicts(scorer.feed([record(vector(None, None, None), offset=9)]))
        assert (verdict.status, verdict.model_version) == ("abstained", 1)
        assert verdict.samples_seen == version.learned


class TestNames:
    def first(self) -> Scorer:
        scorer = Scorer()
        scorer.feed(stream([{"values": {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}}]))
        return scorer

    def learnt(self, scorer: Scorer, values: object) -> list[float]:
        scorer.feed([record({"values": values}, offset=1)])
        return scorer.state.profiles.get(KEY).ring.samples()[1].tolist()

    def test_later_records_are_put_in_the_first_ones_order(self):
        values = {"d": 40.0, "c": 30.0, "b": 20.0, "a": 10.0}
        assert self.learnt(self.first(), values) == [10.0, 20.0, 30.0, 40.0]

    def test_a_missing_name_is_null(self):
        found = self.learnt(self.first(), {"a": 1.0, "d": 4.0})
        assert np.array_equal(found, [1.0, np.nan, np.nan, 4.0], equal_nan=True)

    def test_a_new_name_joins_while_the_profile_learns(self):
        scorer = self.first()
        step = scorer.step([record(vector(1, 2, 3, 4, 5, 6), offset=1)])
        ring = step.delta.profiles[KEY].ring
        assert ring.names == ("a", "b", "c", "d", "e", "f")
        assert np.isnan(ring.samples()[0, 4:]).all()
        assert ring.samples()[1].tolist() == [1, 2, 3, 4, 5, 6]

    def test_an_unknown_name_is_ignored_and_counted_afterwards(self):
        scorer = Scorer()
        scorer.taught()
        step = scorer.step([record(vector(1, 2, 3, 4, 5), offset=9)])
        assert step.counts["unknown_features", ("features",)] == 2
        assert scorer.current(KEY).features == ["a", "b", "c"]

    @pytest.mark.parametrize("values", [[1.0] * 3, [1.0] * 5])
    def test_an_array_of_another_length_is_a_dead_letter(self, values):
        scorer = self.first()
        step = scorer.step([record({"values": values}, offset=1)])
        assert reasons(step) == ["feature_mismatch"]
        assert verdicts(step) == []
        assert step.delta.profiles == {}

    def test_an_array_of_the_same_length_is_taken_in_order(self):
        assert self.learnt(self.first(), [9, 8, 7, 6]) == [9, 8, 7, 6]

    def test_names_hold_for_an_active_profile_too(self):
        scorer = Scorer()
        scorer.taught()
        written = scorer.feed([record({"values": {"zz": 1.0}}, offset=9)])
        assert reasons(written) == ["feature_mismatch"]


class TestVersion1:
    def test_is_announced_in_the_step_that_completes_learning(self):
        scorer = Scorer()
        step = scorer.step(stream(normal(5), key="p q", partition=2, first=30))
        (version,) = announced(step)
        assert (version.profile_id, version.kind, version.partition) == ("p q", "features", 2)
        assert (version.version, version.generation, version.base_version) == (1, 30, None)
        assert (version.trained_on, version.learned, version.pool_count) == (5, 5, 0)
        assert (version.trigger, version.trained_at, version.source_offset) == (
            "cold-start",
            NOW,
            34,
        )
        assert version.features == ["a", "b", "c"]
        assert version.detector == "gaussian"
        assert version.alert_budget == 0.01
        assert version.history == []
        (out,) = of(step, TOPICS.models)
        assert (out.key, out.partition) == (b"features:p q", 2)

    def test_comes_with_its_artefact_under_the_name_of_its_digest(self):
        step = Scorer().step(stream(normal(5), key="p/../q.é", partition=2, first=30))
        ((key, artifact),) = step.artifacts
        (version,) = announced(step)
        digest = hashlib.sha256(artifact.payload).hexdigest()
        folder = profile_directory("features", "p/../q.é", 2)
        unique = hashlib.sha256("2:features:p/../q.é".encode()).hexdigest()[:16]
        assert key == (2, "features", "p/../q.é")
        assert artifact.path == f"{folder}/30-{digest[:16]}.joblib" == version.artifact
        assert folder == f"features/p%2F%2E%2E%2Fq%2E%C3%A9-{unique}"
        assert version.sha256 == artifact.sha256 == digest

    def test_the_artefact_holds_the_samples_that_were_learnt(self):
        scorer = Scorer()
        values = normal(5)
        scorer.feed(stream(values))
        (model,) = scorer.memory.open([scorer.current(KEY)]).values()
        expected = np.array([list(v["values"].values()) for v in values], dtype=np.float32)
        assert np.array_equal(model.samples, expected)

    def test_the_ring_is_cleared_in_the_same_step(self):
        scorer = Scorer()
        scorer.feed(stream(normal(4)))
        step = scorer.step(stream(normal(1), first=4))
        cleared = [out.key for out in of(step, TOPICS.cold_start) if out.value is None]
        assert cleared == [ring_codec.key("features", "p", place) for place in range(4)]
        assert announced(step)

    def test_slots_of_the_same_step_are_cleared_after_they_were_written(self):
        step = Scorer().step(stream(normal(5)))
        newest = {out.key: out.value for out in of(step, TOPICS.cold_start)}
        assert set(newest.values()) == {None}

    def test_is_told_on_lifecycle(self):
        (event,) = events(Scorer().feed(stream(normal(5), first=7)))
        assert (event.event, event.profile_id, event.kind) == ("trained", "p", "features")
        assert (event.generation, event.version, event.at) == (7, 1, NOW)

    def test_the_detector_is_the_settings_or_the_kinds_own(self):
        points = stream([series(*range(5))], kind="series")
        assert announced(Scorer(detector=None).feed(points))[0].detector == "gaussian"
        own = Scorer(detector__series="neighbors").feed(points)
        assert announced(own)[0].detector == "neighbors"
        assert announced(Scorer(detector=None).feed(stream(normal(5))))[0].detector == "blend"


class TestTheCapOfTrainings:
    def test_the_step_ends_before_the_record_that_needs_one_more(self):
        scorer = Scorer(cold_start_samples=3, trainings_per_step=2)
        step = scorer.step(TURNS)
        assert len(announced(step)) == 2
        assert list(step.unprocessed) == TURNS[12:]
        assert step.offsets == {(TOPICS.telemetry("features"), 0): 12}
        assert len(verdicts(step)) == 12

    def test_counts_samples_too_and_always_allows_one_training(self):
        scorer = Scorer(cold_start_samples=3, training_samples_per_step=7)
        assert len(announced(scorer.step(TURNS))) == 2
        large = Scorer(cold_start_samples=3, training_samples_per_step=2)
        step = large.step(TURNS)
        assert len(announced(step)) == 1
        assert step.offsets == {(TOPICS.telemetry("features"), 0): 11}

    def test_counts_all_samples_of_a_record_that_completes_the_learning(self):
        long = {"timestamps": list(range(40)), "values": [float(n % 7) for n in range(40)]}
        batch = [record(long, kind="series", key=f"p{i}", offset=i) for i in range(4)]
        scorer = Scorer(cold_start_samples=5, training_samples_per_step=80)
        step = scorer.step(batch)
        assert [version.trained_on for version in announced(step)] == [40, 40]
        assert list(step.unprocessed) == batch[2:]

    def test_the_rest_goes_on_as_if_nothing_had_been_between(self):
        whole, cut = (
            Scorer(cold_start_samples=3),
            Scorer(cold_start_samples=3, trainings_per_step=1),
        )
        assert verdicts(whole.feed(TURNS)) == verdicts(cut.feed(TURNS))
        assert [whole.current((0, "features", f"p{i}")) for i in range(5)] == [
            cut.current((0, "features", f"p{i}")) for i in range(5)
        ]

    def test_a_partition_that_waits_holds_up_no_other(self):
        waiting = [record(vector(1.0), key=f"p{i // 3}", offset=i) for i in range(9)]
        good = [record(vector(1.0), key="q", partition=1, offset=i) for i in range(3)]
        scorer = Scorer(cold_start_samples=3, trainings_per_step=1)
        step = scorer.step([*waiting, *good])
        assert [version.profile_id for version in announced(step)] == ["p0", "q"]
        assert list(step.unprocessed) == waiting[5:]
        topic = TOPICS.telemetry("features")
        assert step.offsets == {(topic, 0): 5, (topic, 1): 3}

    def test_records_of_active_profiles_wait_behind_it_in_their_order(self):
        scorer = Scorer(cold_start_samples=3, trainings_per_step=1)
        scorer.feed([record(vector(1.0 + i), key="old", offset=i) for i in range(3)])
        batch = [record(vector(1.0), key=f"p{i // 3}", offset=3 + i) for i in range(6)]
        batch.insert(2, record(vector(2.0), key="old", offset=100))
        batch.append(record(vector(2.0), key="old", offset=101))
        step = scorer.step(batch)
        assert [v.profile_id for v in verdicts(step)].count("old") == 1
        assert [r.offset for r in step.unprocessed] == [8, 101]

    def test_what_waits_is_not_decoded_again_and_again(self, monkeypatch):
        long = {"timestamps": list(range(9000)), "values": [1.0 + n % 7 for n in range(9000)]}
        batch = [record(long, kind="series", key=f"p{i}", offset=i) for i in range(150)]
        scorer = Scorer(cold_start_samples=200, detector=None)
        decoded = 0

        def counting(records, kinds, limits):
            nonlocal decoded
            decoded += len(records)
            return decode_all(records, kinds, limits)

        monkeypatch.setattr("processor.scorer.pipeline.decode_all", counting)
        assert len(announced(scorer.feed(batch))) == 150
        assert decoded <= 10 * 150

    def test_a_record_of_thousands_of_samples_trains_on_the_latest(self):
        long = {"timestamps": list(range(9000)), "values": [float(n) for n in range(9000)]}
        scorer = Scorer(cold_start_samples=200)
        written = scorer.feed([record(long, kind="series")])
        (version,), (event, counter) = announced(written), events(written)
        assert counter.event == "looks_like_counter"
        assert (version.trained_on, version.learned) == (1000, 1000)
        assert version.provenance["left_out"] == 8000
        assert "the latest 1000 samples" in event.detail
        model = scorer.memory.open([version])[version.sha256]
        assert model.samples.min() == 8000

    def test_nothing_of_the_record_it_ends_before_is_counted(self):
        wide = [record(vector(1.0, 2.0, 3.0), key=f"p{i}", offset=i) for i in range(2)] + [
            record(vector(1.0, 2.0 + i, None), key=f"p{i % 2}", offset=2 + i) for i in range(4)
        ]
        scorer = Scorer(cold_start_samples=3, trainings_per_step=1)
        counted = 0
        while wide:
            step = scorer.step(wide)
            scorer.memory.keep(step)
            scorer.commit(step)
            counted += step.counts["missing_values", ("features",)]
            wide = step.unprocessed
        assert counted == 4


class TestAnArtefactThatCannotBeWritten:
    def test_the_profile_goes_on_learning_and_says_so(self):
        scorer = Scorer(cold_start_samples=10)
        written = scorer.feed(stream(normal(12)), refused=[KEY])
        assert announced(written) == []
        assert [v.status for v in verdicts(written)] == ["learning"] * 12
        assert [v.samples_seen for v in verdicts(written)] == list(range(1, 13))
        told = events(written)
        assert [event.event for event in told] == ["training_failed"] * 3
        assert (told[0].generation, told[0].version) == (0, 1)

    def test_it_does_not_try_again_with_each_record(self):
        scorer = Scorer(cold_start_samples=100)
        written = scorer.feed(stream(normal(129)), refused=[KEY])
        assert len(events(written)) == 3

    def test_it_learns_the_newest_samples_once_there_is_room_again(self):
        scorer = Scorer(cold_start_samples=5)
        values = normal(9)
        scorer.feed(stream(values[:8]), refused=[KEY])
        assert isinstance(scorer.state.profiles.get(KEY), LearningProfile)
        written = scorer.feed(stream(values[8:], first=8))
        assert isinstance(scorer.state.profiles.get(KEY), ActiveProfile)
        (version,) = announced(written)
        (model,) = scorer.memory.open([version]).values()
        expected = np.array([list(v["values"].values()) for v in values[4:]], dtype=np.float32)
        assert np.array_equal(model.samples, expected)
        assert (version.trained_on, version.learned) == (5, 5)

    def test_others_train_in_the_same_step(self):
        scorer = Scorer()
        batch = stream(normal(5)) + stream(normal(5), key="q", first=5)
        assert [v.profile_id for v in announced(scorer.feed(batch, refused=[KEY]))] == ["q"]
