"""The scorer as the worker turns it, on a real model directory: restore, disk, forgetting."""

from typing import Any

import orjson
import pytest
import structlog

from processor.artifacts.owner import UnfitStore
from processor.artifacts.proof import NAME
from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer.role import ScorerRole
from processor.state.profiles import ActiveProfile, Delta, LearningProfile
from processor.stream.step import Step
from schemas import HistoryEntry, ModelRecord
from tests.unit.builders import (
    GROSS,
    NOW,
    TOPICS,
    announced,
    command,
    events,
    normal,
    record,
    stream,
    vector,
    verdicts,
)

KEY = (0, "features", "p")


def committed(role: ScorerRole, batch: list[ConsumerRecord]) -> Step:
    step = role.compute(batch, NOW)
    role.apply(step)
    return step


def load(role: ScorerRole, outputs: list[ProducerRecord]) -> None:
    for offset, out in enumerate(outputs):
        if out.topic in role.changelogs:
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


def test_an_artefact_is_on_disk_before_its_step_is_committed(make_role, tmp_path):
    role = make_role(ScorerRole)
    (version,) = announced(role.compute(stream(normal(5)), NOW))
    assert (tmp_path / "models" / version.artifact).exists()


def restored(role: ScorerRole, outputs: list[ProducerRecord]) -> list[Any]:
    """What a role logs as it restores what was written."""
    load(role, outputs)
    with structlog.testing.capture_logs() as lines:
        role.restored([0])
    return lines


def test_a_detector_that_profiles_do_not_have_yet_is_told_once_a_kind(make_role):
    first = make_role(ScorerRole)
    outputs = [
        out
        for number in range(3)
        for out in committed(first, stream(normal(5), key=f"p{number}", first=5 * number)).outputs
    ]
    assert restored(make_role(ScorerRole), outputs)[-1]["event"] == "state"
    lines = restored(make_role(ScorerRole, detector="forest"), outputs)
    (told,) = [line for line in lines if line["event"] == "detector_differs"]
    assert (told["kind"], told["configured"], told["profiles"]) == ("features", "forest", 3)
    assert told["detail"].endswith("telltale profile retrain --all --kind features")
    assert "detector_differs" not in str(restored(make_role(ScorerRole), outputs))


def test_samples_that_a_smaller_cold_start_leaves_out_are_told_and_there_again_later(make_role):
    learning = make_role(ScorerRole, cold_start_samples=20)
    outputs = list(committed(learning, stream(normal(15))).outputs)
    few = make_role(ScorerRole, cold_start_samples=6)
    (told,) = [line for line in restored(few, outputs) if line["event"] == "samples_left_out"]
    assert (told["kind"], told["profiles"], told["samples"]) == ("features", 1, 9)
    assert (told["topic"], told["log_level"]) == (TOPICS.cold_start, "warning")
    again = make_role(ScorerRole, cold_start_samples=20)
    assert "samples_left_out" not in str(restored(again, outputs))
    (verdict,) = verdicts(committed(again, [record(normal(1)[0], offset=15)]))
    assert (verdict.samples_seen, verdict.samples_needed) == (16, 20)


def test_the_secret_is_made_at_the_start(make_role, tmp_path):
    role = make_role(ScorerRole)
    restored(role, [])
    assert not (tmp_path / "models").exists()
    role.check_models()
    assert (tmp_path / "models" / NAME).read_bytes() == role._store.secret()


def test_a_start_in_the_wrong_place_leaves_no_secret_there(make_role, tmp_path):
    outputs = list(committed(make_role(ScorerRole), stream(normal(5))).outputs)
    role = make_role(ScorerRole, directory=tmp_path / "elsewhere")
    restored(role, outputs)
    with pytest.raises(UnfitStore):
        role.check_models()
    assert not (tmp_path / "elsewhere").exists()


def test_a_secret_that_cannot_be_made_at_the_start_is_asked_for_again(make_role, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / NAME).write_bytes(b"")
    role = make_role(ScorerRole)
    restored(role, [])
    role.check_models()
    (tmp_path / "models" / NAME).unlink()
    assert len(role._store.secret()) == 32


def test_memory_for_a_single_model_gives_the_same_answers(make_role):
    taught = [r for i in range(4) for r in stream(normal(6), key=f"p{i}", first=6 * i)]
    load = [
        record(value, key=f"p{number % 4}", offset=100 + number)
        for number, value in enumerate([*normal(20, seed=1), GROSS, *normal(5, seed=2)])
    ]
    ample, scant = make_role(ScorerRole), make_role(ScorerRole, budget=1)
    for role in (ample, scant):
        committed(role, taught)
        committed(role, [record(normal(1)[0], key=f"p{i}", offset=30 + i) for i in range(4)])

    steps = [[committed(role, load), committed(role, load)] for role in (ample, scant)]

    assert len(scant._store.cache.digests()) == 1
    assert [step.outputs for step in steps[0]] == [step.outputs for step in steps[1]]


def test_a_model_that_another_has_replaced_leaves_memory(make_role):
    role = make_role(ScorerRole)
    (version,) = announced(committed(role, stream(normal(6))))
    held = role._store.nbytes
    newer = version.model_copy(update={"version": 2, "sha256": "0" * 64})

    role.apply(Step(Delta(profiles={KEY: ActiveProfile(version, since_anomaly=3)})))
    kept = role._store.nbytes
    role.apply(Step(Delta(profiles={KEY: ActiveProfile(newer)})))

    assert held == kept > 0
    assert role._store.nbytes == 0


def test_a_disk_that_takes_no_artefact_keeps_the_profile_learning(make_role, tmp_path):
    (tmp_path / "file").write_text("no directory")
    role = make_role(ScorerRole, directory=tmp_path / "file")
    step = committed(role, stream(normal(7)))
    assert announced(step) == []
    assert [verdict.samples_seen for verdict in verdicts(step)] == list(range(1, 8))
    assert {event.event for event in events(step)} == {"training_failed"}
    (tmp_path / "file").unlink()
    assert announced(committed(role, stream(normal(2), first=7)))


def test_a_profile_forgotten_and_learnt_again_at_once_keeps_its_new_artefact(make_role, tmp_path):
    role = make_role(ScorerRole)
    (old,) = announced(committed(role, stream(normal(5))))
    first = committed(role, [command("forget"), *stream(normal(5, seed=2), first=9)])
    (new,) = announced(committed(role, first.unprocessed))
    assert not (tmp_path / "models" / old.artifact).exists()
    assert (tmp_path / "models" / new.artifact).exists()


def test_a_dropped_step_deletes_nothing(make_role, tmp_path):
    role = make_role(ScorerRole)
    (version,) = announced(committed(role, stream(normal(5))))
    role.compute([command("forget")], NOW)
    assert (tmp_path / "models" / version.artifact).exists()


def test_after_a_restart_it_scores_with_what_was_announced(make_role):
    first = make_role(ScorerRole)
    outputs = committed(first, stream(normal(5))).outputs
    again = make_role(ScorerRole)
    load(again, outputs)
    again.restored([0])
    (verdict,) = verdicts(again.compute([record(vector(10.0, 10.0, 10.0), offset=9)], NOW))
    assert (verdict.status, verdict.model_version) == ("scored", 1)
    assert again.restored_offsets() == {(TOPICS.telemetry("features"), 0): 4}


def test_an_announcement_of_a_release_that_did_not_say_its_partition_is_opened(make_role):
    first = make_role(ScorerRole)
    batch = stream(normal(5), partition=3)
    (version,) = announced(committed(first, batch))
    again = make_role(ScorerRole)
    load(again, [renamed(version, 3, partition=None)])
    again.restored([3])

    (verdict,) = verdicts(again.compute(stream(normal(1), first=9, partition=3), NOW))

    assert verdict.status == "scored"


@pytest.mark.parametrize("kind", ["features", "drowsiness"])
@pytest.mark.parametrize("artifact", ["features/a\0b", "x" * 5000, "features/b/1-0.joblib"])
def test_an_announcement_of_another_name_is_a_lost_model_although_its_digest_is_in_memory(
    make_role, kind, artifact
):
    value = {"features": vector(10.0, 10.0, 10.0), "drowsiness": DROWSY}[kind]
    role = make_role(ScorerRole)
    taught = stream([value] * 5, kind=kind)
    (version,) = announced(committed(role, taught))
    role.drop()
    load(role, [renamed(version, 0, artifact=artifact)])
    role.restored([0])

    step = role.compute(stream([value], kind=kind, first=9), NOW)

    assert [verdict.status for verdict in verdicts(step)] == ["learning"]
    (event,) = events(step)
    assert event.event == "model_lost"
    assert "artifact: expected" in (event.detail or "")
    assert len(event.detail or "") < 600


def test_a_version_of_another_name_in_the_history_is_not_gone_back_to(make_role):
    role = make_role(ScorerRole)
    (version,) = announced(committed(role, stream(normal(5))))
    old = HistoryEntry(
        version=1,
        artifact=f"features/elsewhere/0-{version.sha256[:16]}.joblib",
        sha256=version.sha256,
        decision_offset=0.0,
        trained_at=NOW,
    )
    role.drop()
    load(role, [renamed(version, 0, version=2, history=[old])])
    role.restored([0])

    step = role.compute([command("rollback")], NOW)

    assert announced(step) == []
    assert "artifact: expected" in (events(step)[0].detail or "")


DROWSY = {"ear_value": 0.3, "is_drowsy": False, "duration_ms": 100}


def renamed(announced: ModelRecord, on: int, **changed: Any) -> ProducerRecord:
    """An announcement as somebody else, or an early release, wrote it."""
    value = announced.model_copy(update=changed).model_dump_json().encode()
    key = f"{announced.kind}:{announced.profile_id}".encode()
    return ProducerRecord(TOPICS.models, value, key, on)


def test_after_a_restart_in_the_midst_of_learning_it_counts_on(make_role):
    first = make_role(ScorerRole)
    outputs = committed(first, stream(normal(3))).outputs
    again = make_role(ScorerRole)
    load(again, outputs)
    again.restored([0])
    said = verdicts(again.compute(stream(normal(3), first=3), NOW))
    assert [(v.status, v.samples_seen) for v in said] == [
        ("learning", 4),
        ("learning", 5),
        ("scored", 5),
    ]
    assert again.restored_offsets() == {(TOPICS.telemetry("features"), 0): 2}


def test_a_learning_newer_than_the_announcement_counts(make_role):
    first = make_role(ScorerRole)
    old = committed(first, stream(normal(5)))
    young = make_role(ScorerRole)
    newer = committed(young, stream(normal(2), first=40))
    again = make_role(ScorerRole)
    load(again, old.outputs + newer.outputs)
    again.restored([0])
    assert isinstance(again._state.profiles.get(KEY), LearningProfile)
    assert again._state.counts["features", "active"] == 0


def test_only_the_partitions_assigned_become_state(make_role):
    first = make_role(ScorerRole)
    outputs = committed(first, stream(normal(5)) + stream(normal(3), partition=1)).outputs
    again = make_role(ScorerRole)
    load(again, outputs)
    again.restored([1])
    assert isinstance(again._state.profiles.get((1, "features", "p")), LearningProfile)
    assert again._state.profiles.get(KEY) is None


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        ("models", b"features:p", b"{}"),
        ("models", b"features:p", b"\xff"),
        ("cold-start", b"features:p:0", b"\x07junk"),
        ("cold-start", b"junk", b"junk"),
        ("profiles", b"features:p", b"[]"),
        ("profiles", b"features:p", b"{"),
        ("profiles", b"\xff", b"{}"),
        ("profiles", b"features:p", b'{"until": null}'),
    ],
)
def test_a_changelog_record_that_cannot_be_read_does_not_stop_the_restore(
    make_role, topic, key, value
):
    first = make_role(ScorerRole)
    outputs = committed(first, stream(normal(5), key="q")).outputs
    again = make_role(ScorerRole)
    with structlog.testing.capture_logs() as told:
        load(again, [*outputs, ProducerRecord(topic, value, key, 0)])
        again.restored([0])
    assert isinstance(again._state.profiles.get((0, "features", "q")), ActiveProfile)
    assert again._state.profiles.get(KEY) is None
    (line,) = [line for line in told if line["event"].endswith("_unreadable")]
    assert "features:p" not in str(line)
    assert {"key_sha256", "offset"} & set(line)


def test_a_maintenance_window_survives(make_role):
    first = make_role(ScorerRole)
    committed(first, stream(normal(2)))
    step = committed(first, [command("suppress", until=NOW + 5, reason="tyres")])
    again = make_role(ScorerRole)
    load(again, step.outputs)
    again.restored([0])
    window = again._state.suppressions.get(KEY)
    assert (window.until, window.reason) == (NOW + 5, "tyres")


def test_dropping_forgets_all(make_role):
    role = make_role(ScorerRole)
    committed(role, stream(normal(5)))
    role.drop()
    (verdict,) = verdicts(role.compute([record(vector(1.0, 2.0, 3.0), offset=9)], NOW))
    assert (verdict.status, verdict.samples_seen) == ("learning", 1)
    assert role.restored_offsets() == {}


def test_a_larger_or_smaller_cold_start_after_a_restart_goes_on_from_what_is_there(make_role):
    first = make_role(ScorerRole, cold_start_samples=8)
    outputs = committed(first, stream(normal(6))).outputs
    for needed in (4, 20):
        again = make_role(ScorerRole, cold_start_samples=needed)
        load(again, outputs)
        again.restored([0])
        (verdict,) = verdicts(again.compute([record(vector(1.0, 2.0, 3.0), offset=6)], NOW))
        assert (verdict.samples_seen, verdict.samples_needed) == (7, needed)


def test_gauges_show_profiles_by_stage(make_role):
    role = make_role(ScorerRole)
    committed(role, stream(normal(5)) + stream(normal(2), key="q", first=5))
    role.update_gauges()
    gauge = role._metrics.profiles
    assert gauge.labels("scorer", "features", "active")._value.get() == 1
    assert gauge.labels("scorer", "features", "learning")._value.get() == 1
    assert role._metrics.model_memory_bytes.labels("scorer")._value.get() > 0


def test_windows_are_plain_json(make_role):
    role = make_role(ScorerRole)
    committed(role, stream(normal(2)))
    outputs = committed(role, [command("suppress")]).outputs
    (out,) = [o for o in outputs if o.topic == "profiles" and o.key == b"features:p"]
    assert set(orjson.loads(out.value)) == {"format", "until", "reason"}


def test_how_far_commands_are_executed_is_kept_with_the_windows(make_role):
    role = make_role(ScorerRole)
    outputs = committed(role, [command("forget", offset=n, profile="none") for n in (4, 5)]).outputs
    again = make_role(ScorerRole)
    load(again, outputs)
    again.restored([0])
    assert [(out.topic, out.key) for out in outputs] == [("profiles", b"commands")]
    assert again.restored_offsets() == {("commands", 0): 5}
