"""Candidates: the scorer alone gives versions, adopts what fits and refuses what does not."""

import orjson
import pytest

from models.naming import artifact_path
from processor.records import UNREADABLE_HEADERS, ConsumerRecord
from tests.unit.builders import (
    GROSS,
    TOPICS,
    Scorer,
    accepted,
    announced,
    events,
    normal,
    of,
    proposed,
    reasons,
    record,
    stream,
    vector,
    verdicts,
)

KEY = (0, "features", "p")


def of_profile(scorer: Scorer, profile: str) -> ConsumerRecord:
    """A candidate for another profile than p."""
    return proposed(scorer, profile_id=profile)._replace(key=profile.encode())


@pytest.fixture
def scorer() -> Scorer:
    taught = Scorer()
    taught.taught(first=20)
    return taught


class TestAdoption:
    def test_gives_the_next_version_and_announces_it(self, scorer):
        before = scorer.current(KEY)
        (version,) = announced(scorer.feed([proposed(scorer)]))
        assert (version.version, version.base_version) == (2, 1)
        assert (version.generation, version.learned) == (20, 5)
        assert (version.trained_on, version.pool_count, version.trigger) == (30, 25, "samples")
        assert scorer.current(KEY) == version
        (old,) = version.history
        assert (old.version, old.sha256, old.artifact) == (1, before.sha256, before.artifact)
        assert (old.decision_offset, old.trained_at) == (before.decision_offset, before.trained_at)

    def test_is_told_on_lifecycle_with_its_figures(self, scorer):
        (event,) = events(scorer.feed([proposed(scorer)]))
        assert (event.event, event.version, event.generation) == ("adopted", 2, 20)
        assert event.figures == {"gate": 1}

    def test_switches_before_the_telemetry_of_the_batch(self, scorer):
        far = vector(500.0, 500.0, 500.0)
        assert verdicts(scorer.step([record(far, offset=30)]))[0].anomaly
        candidate = proposed(scorer, around=500.0)
        said = verdicts(scorer.feed([record(far, offset=30), candidate, record(far, offset=31)]))
        assert [(v.model_version, v.anomaly) for v in said] == [(2, False)] * 2

    def test_keeps_counting_since_the_last_anomaly(self, scorer):
        scorer.feed([record(GROSS, offset=30)])
        written = scorer.feed([proposed(scorer), *stream([vector(10.0, 10.0, 10.0)], first=31)])
        assert [sample.since_anomaly for sample in accepted(written)] == [1]

    def test_versions_only_go_up_and_the_last_five_are_kept(self, scorer):
        versions = [announced(scorer.feed([proposed(scorer)]))[0] for _ in range(7)]
        assert [version.version for version in versions] == [2, 3, 4, 5, 6, 7, 8]
        assert [old.version for old in versions[-1].history] == [7, 6, 5, 4, 3]

    def test_of_two_from_the_same_version_only_the_first_comes_in(self, scorer):
        twins = [proposed(scorer, offset=0), proposed(scorer, around=11.0, offset=1)]
        written = scorer.feed(twins)
        assert [version.version for version in announced(written)] == [2]
        assert [event.event for event in events(written)] == ["adopted", "refused"]

    def test_seen_and_needed_stay_those_of_version_1(self, scorer):
        scorer.feed([proposed(scorer)])
        (verdict,) = verdicts(scorer.step([record(GROSS, offset=30)]))
        assert (verdict.samples_seen, verdict.samples_needed) == (5, 5)


class TestRefusal:
    def refused(self, scorer: Scorer, candidate: ConsumerRecord) -> str:
        before = scorer.state.profiles.get(KEY)
        written = scorer.feed([candidate])
        assert announced(written) == []
        assert scorer.state.profiles.get(KEY) == before
        (event,) = events(written)
        assert event.event == "refused"
        assert event.detail is not None
        return event.detail

    def test_of_another_generation(self, scorer):
        assert "generation 3" in self.refused(scorer, proposed(scorer, generation=3))

    def test_from_another_base_version(self, scorer):
        assert "current version is 1" in self.refused(scorer, proposed(scorer, base_version=7))

    def test_without_its_artefact(self, scorer):
        gone = {"sha256": "0" * 64, "artifact": artifact_path("features", "p", 0, 20, "0" * 64)}
        assert "not there" in self.refused(scorer, proposed(scorer, **gone))

    @pytest.mark.parametrize(
        "artifact",
        [
            "",
            "features/p\0",
            "x" * 5000,
            "features/a/b.joblib",
            "features/../features/p/20-0.joblib",
            "/etc/passwd",
            f"{artifact_path('features', 'q', 0, 20, '0' * 64)}",
        ],
    )
    def test_with_an_artefact_of_another_name_although_its_digest_is_known(self, scorer, artifact):
        step = scorer.step([proposed(scorer, artifact=artifact)])

        detail = self.refused(scorer, proposed(scorer, artifact=artifact))

        assert "artifact: expected 'features/p-" in detail
        assert len(detail) < 500
        assert step.counts["trainings", ("features", "samples", "refused")] == 1
        assert step.artifacts_to_delete == []

    def test_deletes_its_artefact_unless_that_is_announced(self, scorer):
        announced = scorer.current(KEY)
        own = {"artifact": announced.artifact, "sha256": announced.sha256}
        refused = scorer.step([proposed(scorer, base_version=7)])
        twin = scorer.step([proposed(scorer, base_version=7, **own)])

        (path,) = refused.artifacts_to_delete
        assert path.startswith(announced.artifact.rpartition("/")[0])
        assert twin.artifacts_to_delete == []

    def test_for_a_profile_without_a_model(self, scorer):
        assert "no model" in self.refused(scorer, of_profile(scorer, "nobody"))

    def test_for_a_profile_that_still_learns(self, scorer):
        candidate = of_profile(scorer, "young")
        scorer.feed(stream(normal(2), key="young", first=40))
        assert "no model" in self.refused(scorer, candidate)

    def test_on_another_partition_than_the_profiles(self, scorer):
        candidate = proposed(scorer)
        moved = candidate._replace(partition=1)
        assert "no model" in self.refused(scorer, moved)

    @pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b"{}", b"[" * 5000])
    def test_what_is_no_candidate_is_a_dead_letter(self, scorer, value):
        step = scorer.step([record(value, topic=TOPICS.candidates)])
        (letter,) = step.outputs
        assert (letter.topic, letter.value) == (TOPICS.dead_letter, value)
        assert reasons(step) == ["invalid_candidate"]
        assert step.offsets == {(TOPICS.candidates, 0): 1}

    def test_one_under_another_key_or_an_impossible_id_is_a_dead_letter(self, scorer):
        for profile, key in (("p", "q"), ("p", None), ("a\x00b", "a\x00b"), ("x" * 257, "x" * 257)):
            candidate = proposed(scorer, profile_id=profile)
            raw = None if key is None else key.encode()
            step = scorer.step([candidate._replace(key=raw)])
            assert reasons(step) == ["invalid_candidate"]
            assert len(step.outputs) == 1

    def test_one_whose_headers_cannot_be_read_is_a_dead_letter(self, scorer):
        step = scorer.step([proposed(scorer)._replace(headers=UNREADABLE_HEADERS)])
        assert reasons(step) == ["invalid_headers"]

    def test_figures_that_do_not_fit_lifecycle_are_left_out_there(self, scorer):
        figures = {"note": "x" * 3_000_000}
        written = scorer.feed([proposed(scorer, figures=figures)])
        (event,) = events(written)
        assert announced(written)[0].figures == figures
        assert event.event == "adopted"
        assert event.figures == {"omitted_bytes": pytest.approx(3_000_000, rel=0.01)}
        assert all(out.size <= TOPICS.limits()[out.topic] for out in written)

    def test_one_whose_announcement_does_not_fit_its_topic_is_refused(self, scorer):
        candidate = proposed(scorer, provenance={"note": "x" * 5_000_000})
        assert "exceeds" in self.refused(scorer, candidate)

    def test_one_of_an_unknown_kind_is_a_dead_letter(self, scorer):
        step = scorer.step([proposed(scorer, kind="weather")])
        assert reasons(step) == ["invalid_candidate"]
        assert set(step.counts) == {("dead_letters", ("invalid_candidate",))}


def test_triggers_of_a_later_release_are_one_label_and_kept_as_they_are(scorer):
    step = scorer.step([proposed(scorer, trigger="full-moon")])
    assert set(step.counts) == {("trainings", ("features", "other", "adopted"))}
    assert announced(step)[0].trigger == "full-moon"


def test_an_adopted_version_survives_in_models(scorer):
    written = scorer.feed([proposed(scorer)])
    (out,) = of(written, TOPICS.models)
    assert (out.key, out.partition) == (b"features:p", 0)
    assert orjson.loads(out.value)["version"] == 2
