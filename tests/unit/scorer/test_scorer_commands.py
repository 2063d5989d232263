"""Commands of operators: done by the scorer that holds the profile, answered on lifecycle."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtifactUnavailable
from processor.artifacts import proof
from processor.records import UNREADABLE_HEADERS, ProducerRecord
from processor.state import ring_codec
from processor.state.profile_codec import decode_note
from processor.state.profiles import LearningProfile
from schemas import LifecycleEvent, Mark
from tests.unit.builders import (
    NOW,
    SECRET,
    TOPICS,
    Scorer,
    announced,
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


@pytest.fixture
def scorer() -> Scorer:
    taught = Scorer()
    taught.taught(first=20)
    return taught


def marks(outputs: list[ProducerRecord]) -> list[Mark]:
    said = parsed(of(outputs, TOPICS.accepted))
    return [Mark.model_validate(item) for item in said if "mark" in item]


def receipt(outputs: list[ProducerRecord]) -> LifecycleEvent:
    (event,) = events(outputs)
    return event


class TestWho:
    @pytest.mark.parametrize("name", ["forget", "retrain", "rollback", "suppress", "resume"])
    def test_a_partition_that_does_not_hold_the_profile_is_silent(self, scorer, name):
        step = scorer.step([command(name, partition=1), command(name, profile="nobody", offset=1)])
        assert step.outputs == []
        assert step.delta.profiles == {}
        assert step.delta.suppressions == {}

    def test_without_a_kind_every_kind_of_the_profile_is_meant(self, scorer):
        scorer.feed(stream([{"timestamps": [1], "values": [1]}], kind="series"))
        written = scorer.feed([command("forget")])
        assert {event.kind for event in events(written)} == {"features", "series"}
        assert scorer.state.profiles == {}

    def test_with_a_kind_only_that_one(self, scorer):
        scorer.feed(stream([{"timestamps": [1], "values": [1]}], kind="series"))
        scorer.feed([command("forget", kind="series")])
        assert set(scorer.state.profiles) == {(0, "features", "p")}

    def test_an_unknown_kind_is_rejected(self, scorer):
        (event,) = events(scorer.step([command("forget", kind="weather")]))
        assert (event.event, "kind" in (event.detail or "")) == ("command_rejected", True)

    def test_a_receipt_names_the_command_and_stands_on_the_profiles_partition(self, scorer):
        written = scorer.feed([command("retrain", command_id="abc")])
        (out,) = of(written, TOPICS.lifecycle)
        assert (out.partition, out.key) == (0, b"p")
        event = receipt(written)
        assert (event.command_id, event.version, event.generation) == ("abc", 1, 20)
        assert event.at == NOW

    def test_is_done_before_the_telemetry_of_the_batch(self, scorer):
        batch = [record(vector(10.0, 10.0, 10.0), offset=50), command("forget")]
        (verdict,) = verdicts(scorer.feed(batch))
        assert (verdict.status, verdict.samples_seen, verdict.generation) == ("learning", 1, 50)

    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b"[" * 5000,
            b'{"command": "forget", "profile_id": "p"}',
            orjson.dumps(
                {"command_id": "c", "command": "explode", "profile_id": "p", "issued_at": 1}
            ),
        ],
    )
    def test_what_is_no_command_is_answered_under_its_key(self, scorer, value):
        step = scorer.step([record(value, topic=TOPICS.commands)])
        (event,) = events(step)
        assert (event.event, event.profile_id) == ("command_rejected", "p")
        assert "commands [0] at offset 0" in (event.detail or "")
        assert step.offsets == {(TOPICS.commands, 0): 1}
        assert step.counts["commands", ("unknown", "invalid")] == 1

    def test_one_too_large_for_its_receipt_is_rejected(self, scorer):
        step = scorer.step([command("suppress", reason="x" * 70_000)])
        assert [event.event for event in events(step)] == ["command_rejected"]
        assert step.delta.suppressions == {}


class TestForget:
    def test_clears_the_announcement_and_has_the_retrainer_drop_its_pool(self, scorer):
        written = scorer.feed([command("forget")])
        assert [(out.key, out.value) for out in of(written, TOPICS.models)] == [
            (b"features:p", None)
        ]
        (mark,) = marks(written)
        assert (mark.mark, mark.generation, mark.kind) == ("forget", 20, "features")
        assert receipt(written).event == "forgotten"
        assert scorer.state.profiles.get(KEY) is None

    def test_clears_the_ring_of_a_profile_that_learns(self):
        scorer = Scorer()
        scorer.feed(stream(normal(3)))
        written = scorer.feed([command("forget")])
        assert [(out.key, out.value) for out in of(written, TOPICS.cold_start)] == [
            (ring_codec.key("features", "p", place), None) for place in range(3)
        ]

    def test_ends_a_maintenance_window(self, scorer):
        scorer.feed([command("suppress")])
        written = scorer.feed([command("forget")])
        note, cleared = of(written, TOPICS.profiles)
        assert (note.key, cleared.key, cleared.value) == (b"features:p", b"features:p", None)
        assert scorer.state.suppressions.get(KEY) is None

    def test_takes_two_steps_and_only_the_second_goes_beyond_the_command(self, scorer):
        batch = [command("forget", offset=7), record(vector(1.0, 1.0, 1.0), offset=50)]
        first = scorer.step(batch)
        assert first.offsets == {(TOPICS.commands, 0): 7}
        assert list(first.unprocessed) == batch
        assert events(first) == []
        scorer.commit(first)
        second = scorer.step(first.unprocessed)
        assert second.offsets == {(TOPICS.commands, 0): 8, (TOPICS.telemetry("features"), 0): 51}
        assert receipt(second.outputs).event == "forgotten"

    def test_deletes_the_artefacts_between_its_two_steps(self, scorer):
        first = scorer.step([command("forget")])
        assert len(scorer.memory.payloads) == 1
        scorer.commit(first)
        figures = receipt(scorer.step(first.unprocessed).outputs).figures
        assert scorer.memory.payloads == {}
        assert len(figures["artifacts"]) == 1
        assert [v["version"] for v in figures["versions"]] == [1]

    def test_is_finished_by_the_next_process_where_this_one_died_in_between(self, scorer):
        first = scorer.step([command("forget", offset=7)])
        note = of(first, TOPICS.profiles)[0]
        heir = Scorer()
        heir.state.apply({}, {}, {KEY: decode_note(note.key, note.value)})
        written = heir.feed([command("forget", offset=7)])
        assert receipt(written).command_id == "c-forget"
        assert [out.value for out in of(written, TOPICS.profiles)] == [None]

    def test_is_not_confirmed_again_for_a_later_command(self, scorer):
        scorer.feed([command("forget", offset=7)])
        assert scorer.feed([command("forget", offset=8)]) == []

    def test_waits_for_a_model_directory_that_does_not_answer(self, scorer):
        def away(_directory: str, _generation: int) -> list[str]:
            raise ArtifactUnavailable("away")

        first = scorer.step([command("forget")])
        scorer.commit(first)
        scorer.context = replace(scorer.context, erase=away)
        with pytest.raises(ArtifactUnavailable):
            scorer.step(first.unprocessed)

    def test_the_next_record_begins_a_newer_generation(self, scorer):
        scorer.feed([command("forget")])
        said = verdicts(scorer.feed(stream(normal(6), first=70)))
        assert [v.samples_seen for v in said] == [1, 2, 3, 4, 5, 5]
        assert {v.generation for v in said} == {70}
        assert said[-1].model_version == 1

    def test_a_candidate_of_the_forgotten_generation_is_refused(self, scorer):
        late = proposed(scorer)
        scorer.feed([command("forget"), *stream(normal(5), first=70)])
        written = scorer.feed([late])
        assert receipt(written).event == "refused"
        assert scorer.current(KEY).generation == 70


class TestRollback:
    def advanced(self, scorer: Scorer) -> Scorer:
        for _ in range(2):
            scorer.feed([proposed(scorer)])
        return scorer

    def test_goes_back_to_the_version_before_under_a_new_number(self, scorer):
        first = scorer.current(KEY)
        scorer.feed([proposed(scorer)])
        second = scorer.current(KEY)
        (version,) = announced(scorer.feed([command("rollback")]))
        assert (version.version, version.trigger, version.pool_count) == (3, "rollback", 0)
        assert (version.artifact, version.sha256) == (first.artifact, first.sha256)
        assert (version.decision_offset, version.trained_at) == (
            first.decision_offset,
            first.trained_at,
        )
        assert (version.trained_on, version.learned) == (first.trained_on, 5)
        assert [old.version for old in version.history] == [2, 1]
        assert version.history[0].sha256 == second.sha256

    def test_over_a_change_of_detector_announces_the_one_of_the_artefact(self, scorer):
        scorer.feed([proposed(scorer, detector="forest")])
        assert scorer.current(KEY).detector == "forest"
        scorer.feed([command("rollback")])
        assert scorer.current(KEY).detector == "gaussian"

    def test_to_a_named_version(self, scorer):
        first = scorer.current(KEY)
        written = self.advanced(scorer).feed([command("rollback", version=1)])
        assert announced(written)[0].sha256 == first.sha256
        assert announced(written)[0].version == 4
        event = receipt(written)
        assert (event.event, event.version) == ("rolled_back", 4)

    def test_empties_the_retrainers_pool(self, scorer):
        written = self.advanced(scorer).feed([command("rollback")])
        (mark,) = marks(written)
        assert (mark.mark, mark.generation, mark.version) == ("rollback", 20, 4)
        (told,) = consumed(written, TOPICS.accepted)
        assert proof.proven(SECRET, told)

    def test_judges_the_telemetry_of_the_same_batch(self, scorer):
        scorer.feed([proposed(scorer, around=500.0)])
        batch = [record(vector(10.0, 10.0, 10.0), offset=50), command("rollback")]
        (verdict,) = verdicts(scorer.feed(batch))
        assert (verdict.model_version, verdict.anomaly) == (3, False)

    @pytest.mark.parametrize("version", [None, 9])
    def test_to_a_version_that_is_not_kept_is_rejected(self, scorer, version):
        written = scorer.feed([command("rollback", version=version)])
        assert announced(written) == []
        assert receipt(written).event == "command_rejected"

    def test_to_an_artefact_that_is_gone_is_rejected(self, scorer):
        lost = scorer.current(KEY).sha256
        scorer.feed([proposed(scorer)])
        scorer.memory.lose(lost)
        written = scorer.feed([command("rollback")])
        assert announced(written) == []
        assert receipt(written).event == "command_rejected"
        assert marks(written) == []


class TestTheProof:
    @pytest.mark.parametrize("word", ["rollback", "retrain"])
    def test_is_waited_for_where_the_store_does_not_give_the_secret(self, scorer, word):
        def away() -> bytes:
            raise ArtifactUnavailable("marks.key: no answer")

        scorer.feed([proposed(scorer)])
        scorer.context = replace(scorer.context, secret=away)
        with pytest.raises(ArtifactUnavailable):
            scorer.step([command(word)])

    def test_is_not_needed_to_forget(self, scorer):
        def away() -> bytes:
            raise ArtifactUnavailable("marks.key: no answer")

        scorer.context = replace(scorer.context, secret=away)
        (mark,) = marks(scorer.step([command("forget")]).outputs)
        assert mark.mark == "forget"


class TestRetrain:
    def test_is_a_mark_for_the_retrainer(self, scorer):
        written = scorer.feed([command("retrain")])
        (out,) = of(written, TOPICS.accepted)
        (mark,) = marks(written)
        assert (mark.mark, mark.profile_id, mark.generation) == ("retrain", "p", 20)
        assert (mark.version, mark.command_id) == (1, "c-retrain")
        (told,) = consumed(written, TOPICS.accepted)
        assert proof.proven(SECRET, told)
        assert (out.key, out.partition) == (b"p", 0)
        assert receipt(written).event == "retrain_requested"

    def test_marks_stand_in_order_with_the_accepted_samples(self, scorer):
        batch = [record(vector(10.0, 10.0, 10.0), offset=50), command("retrain")]
        first, second = parsed(of(scorer.feed(batch), TOPICS.accepted))
        assert (first.get("mark"), second.get("mark")) == ("retrain", None)


@pytest.mark.parametrize("name", ["rollback", "retrain"])
def test_what_takes_a_model_is_rejected_while_the_profile_learns(name):
    scorer = Scorer()
    scorer.feed(stream(normal(2)))
    event = receipt(scorer.feed([command(name)]))
    assert (event.event, event.version, event.generation) == ("command_rejected", None, 0)
    assert "no model" in (event.detail or "")
    assert isinstance(scorer.state.profiles.get(KEY), LearningProfile)


class TestSuppress:
    def test_is_kept_beyond_the_process(self, scorer):
        written = scorer.feed([command("suppress", until=NOW + 9, reason="new tyres")])
        (out,) = of(written, TOPICS.profiles)
        assert (out.key, out.partition) == (b"features:p", 0)
        assert orjson.loads(out.value)["until"] == NOW + 9
        assert receipt(written).event == "suppressed"
        assert scorer.state.suppressions.get(KEY).reason == "new tyres"

    def test_without_an_end_it_lasts_until_it_is_resumed(self, scorer):
        scorer.feed([command("suppress")])
        centuries = 7 * 10**12
        step = scorer.step([record(vector(1.0, 1.0, 1.0), offset=50)], now=NOW + centuries)
        assert verdicts(step)[0].suppressed

    def test_until_a_time_that_is_over_is_rejected(self, scorer):
        written = scorer.feed([command("suppress", until=NOW)])
        assert receipt(written).event == "command_rejected"
        assert scorer.state.suppressions.get(KEY) is None

    def test_resume_ends_it(self, scorer):
        scorer.feed([command("suppress")])
        written = scorer.feed([command("resume"), record(vector(1.0, 1.0, 1.0), offset=50)])
        assert [out.value for out in of(written, TOPICS.profiles)] == [None]
        assert receipt(written).event == "resumed"
        assert not verdicts(written)[0].suppressed

    def test_resume_without_it_is_rejected(self, scorer):
        assert receipt(scorer.feed([command("resume")])).event == "command_rejected"


ORDERS: list[dict[str, Any]] = [
    {"name": name} | more
    for name in ("forget", "retrain", "rollback", "suppress", "resume")
    for more in ({}, {"kind": "features"}, {"version": 1}, {"until": NOW - 1})
]


@given(st.lists(st.sampled_from(ORDERS) | st.just({"adopt": True}), max_size=12))
def test_whatever_is_asked_each_command_has_at_most_one_receipt_and_versions_only_go_up(orders):
    scorer = Scorer()
    scorer.taught()
    said: list[tuple[int, int]] = []
    for number, order in enumerate(orders):
        if "adopt" in order:
            if scorer.state.profiles.get(KEY) is None:
                continue
            batch = [proposed(scorer, offset=number)]
        else:
            batch = [command(**order, offset=number)]
        written = scorer.feed(batch)
        assert len(events(written)) <= 1
        said += [(record.generation, record.version) for record in announced(written)]
    assert said == sorted(set(said))


class TestWhatACommandHolds:
    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"profile_id": "a\u0007b"}, "profile_id"),
            ({"profile_id": ""}, "profile_id"),
            ({"command_id": "x" * 257}, "command_id"),
            ({"command_id": "line\nfeed"}, "command_id"),
            ({"profile_id": "another"}, "profile_id: expected the record's key"),
        ],
    )
    def test_ids_obey_the_rule_of_keys_and_the_profile_is_the_key(self, scorer, changed, field):
        said = {"command_id": "c", "command": "forget", "profile_id": "p", "issued_at": NOW}
        step = scorer.step([record(said | changed, topic=TOPICS.commands)])
        event = receipt(step.outputs)
        assert event.event == "command_rejected"
        assert field in event.detail
        assert step.delta.profiles == {}

    def test_headers_that_cannot_be_read_reject_it(self, scorer):
        poison = command("forget")._replace(headers=UNREADABLE_HEADERS)
        step = scorer.step([poison])
        assert receipt(step.outputs).event == "command_rejected"
        assert step.delta.profiles == {}

    @pytest.mark.parametrize("key", [b"k" * 1_000_000, b"\xff" * 1_000_000, b"", None])
    def test_a_rejection_fits_its_topic_whatever_the_key_is(self, scorer, key):
        step = scorer.step([record(b"no command", topic=TOPICS.commands, key=key)])
        (out,) = step.outputs
        assert receipt([out]).event == "command_rejected"
        assert len(out.key or b"") <= 256
        assert out.size <= TOPICS.limits()[TOPICS.lifecycle]
