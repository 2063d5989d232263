"""The retrainer as the worker turns it, on a real model directory and without a broker."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from models.errors import Unavailable
from models.naming import profile_directory
from processor.kafka.consuming import Behind
from processor.records import ConsumerRecord, ProducerRecord
from processor.retrainer.pool import head
from processor.retrainer.role import RetrainerRole
from processor.state import ring_codec
from processor.state.changelog import LoadedSlots
from processor.state.ring_codec import HEAD, encode_slot
from tests.unit.builders import (
    NOW,
    TOPICS,
    Scorer,
    accepted,
    consumed,
    events,
    of,
    record,
    stream,
    vector,
)


class Fed:
    """What a scorer wrote for three profiles, its artefacts on disk, and a retrainer to read it."""

    def __init__(self, role: RetrainerRole, directory: Path) -> None:
        self.role = role
        scorer = Scorer()
        samples = []
        for number in range(3):
            name, first = f"p{number}", 100 * number
            scorer.taught(profile=name, first=first)
            calm = [vector(10.0 + i % 3 / 10, 10.0, 10.0) for i in range(12)]
            samples += scorer.feed(stream(calm, key=name, first=first + 20))
            version = scorer.current((0, "features", name))
            target = directory / version.artifact
            target.parent.mkdir(parents=True)
            target.write_bytes(scorer.memory.payloads[version.sha256])
        assert len(accepted(samples)) == 36
        self.announcements: list[ConsumerRecord] = consumed(scorer.outputs, TOPICS.models)
        self.samples: list[ConsumerRecord] = consumed(samples, TOPICS.accepted)

    def pool(self) -> Any:
        step = self.role.compute(self.samples, NOW)
        self.role.apply(step)
        return step

    def restore(self, written: list[ProducerRecord]) -> None:
        """Have the role restore what was written, as the broker would give it."""
        for stored in [*consumed(written, TOPICS.pool), *self.announcements]:
            self.role.load(stored)
        self.role._follow_from = lambda *_: Table([])
        self.role.restored([0])

    def announce(self) -> None:
        for told in self.announcements:
            self.role._announce(told)


@pytest.fixture
def fed(make_role, tmp_path) -> Fed:
    role = make_role(RetrainerRole, retrain_samples=10, trainings_per_step=2)
    return Fed(role, tmp_path / "models")


def test_a_candidates_artefact_is_on_disk_before_its_step_is_committed(fed, tmp_path):
    fed.announce()
    step = fed.pool()
    assert of(step, TOPICS.candidates)
    assert all((tmp_path / "models" / artifact.path).exists() for _, artifact in step.artifacts)


def test_restored_profiles_that_are_due_by_now_are_trained_a_few_at_a_time(fed, make_role):
    """The setting was larger before the restart."""
    fed.role = make_role(RetrainerRole, retrain_samples=100)
    fed.announce()
    written = fed.pool().outputs
    fed.role = make_role(RetrainerRole, retrain_samples=10, trainings_per_step=2)
    fed.restore(written)
    counts = []
    while (step := fed.role.idle(NOW)) is not None:
        fed.role.apply(step)
        counts.append(len(of(step, TOPICS.candidates)))
    assert counts == [2, 1]


class Table:
    """What ``models`` has, of which the role has read nothing yet."""

    def __init__(self, records: list[ConsumerRecord], reachable: bool = True) -> None:
        self.records, self.reachable = records, reachable
        self.reached: list[tuple[str, int]] = []

    def poll(self) -> list[ConsumerRecord]:
        return []

    def reach(self, place: tuple[str, int]) -> Iterator[ConsumerRecord]:
        self.reached.append(place)
        while self.records:
            yield self.records.pop(0)
        if not self.reachable:
            raise Behind("models [0] is read to offset 3 of 7: a transaction may be open there")

    def close(self) -> None:
        """Nothing is held."""


def test_announcements_that_lag_behind_are_read_before_samples_are_judged(fed):
    fed.role._follower = table = Table(list(fed.announcements))
    assert len(of(fed.pool(), TOPICS.candidates)) == 2
    assert table.reached == [(TOPICS.models, 0)]


def test_announcements_that_cannot_be_read_to_their_end_are_waited_for(fed):
    fed.role._follower = Table(list(fed.announcements), reachable=False)
    with pytest.raises(Unavailable, match="a transaction may be open"):
        fed.role.compute(fed.samples, NOW)
    assert len(fed.role._known.announced) == 3, "what was read so far is kept"


def test_what_a_forgotten_profile_had_stays_known_until_its_mark_is_obeyed(fed, tmp_path):
    fed.announce()
    fed.pool()
    (first, *_) = fed.announcements
    fed.role._announce(first._replace(offset=99, value=None))
    said = {"mark": "forget", "profile_id": "p0", "kind": "features", "generation": 0}
    batch = [record(said, topic=TOPICS.accepted, key="p0", offset=50)]
    step = fed.role.compute(batch, NOW)
    assert fed.role._known.gone == {(0, "features", "p0"): 0}
    fed.role.apply(step)
    assert fed.role._known.gone == {}
    assert list((tmp_path / "models").rglob("p0-*")) == []
    assert list((tmp_path / "models").rglob("p1-*")) != []


def test_a_mark_to_forget_what_still_learns_deletes_nothing_that_is_being_written(fed, tmp_path):
    """The scorer deletes what it has of it, and may be writing its first version by now."""
    directory = tmp_path / "models" / profile_directory("features", "young", 0)
    directory.mkdir()
    (directory / "half-written.tmp").write_bytes(b"...")
    said = {"mark": "forget", "profile_id": "young", "kind": "features", "generation": 2**62}
    step = fed.role.compute([record(said, topic=TOPICS.accepted, key="young")], NOW)
    assert [event.figures["artifacts"] for event in events(step)] == [[]]
    assert (directory / "half-written.tmp").exists()


def test_what_a_smaller_pool_leaves_out_is_told_in_one_line(fed, make_role):
    fed.role = make_role(RetrainerRole, retrain_samples=100)
    fed.announce()
    written = fed.pool().outputs
    fed.role = make_role(RetrainerRole, retrain_samples=100, pool_samples=10)
    with structlog.testing.capture_logs() as lines:
        fed.restore(written)
    (told,) = [line for line in lines if line["event"] == "samples_left_out"]
    assert (told["kind"], told["profiles"], told["samples"]) == ("features", 3, 6)
    assert (told["topic"], told["log_level"]) == (TOPICS.pool, "warning")
    assert "TELLTALE_POOL_SAMPLES" in told["detail"]


def test_a_disk_that_takes_no_artefact_is_told_and_nothing_is_proposed(fed, tmp_path):
    fed.announce()
    fed.role._store.open(fed.role._known.announced.values())
    shutil.rmtree(tmp_path / "models")
    (tmp_path / "models").write_text("no directory")
    step = fed.pool()
    assert of(step, TOPICS.candidates) == []
    assert {event.event for event in events(step)} == {"training_failed"}


def test_a_profile_that_was_forgotten_is_no_longer_announced(fed):
    fed.announce()
    (first, *_) = fed.announcements
    fed.role._announce(ConsumerRecord(first.topic, 0, 99, first.key, None, (), NOW))
    step = fed.role.compute(fed.samples[:12], NOW)
    assert of(step, TOPICS.candidates) == []


def test_pools_are_shown_by_kind(fed, make_role):
    fed.role = make_role(RetrainerRole, retrain_samples=100)
    fed.announce()
    fed.pool()
    fed.role.update_gauges()
    gauge = fed.role._metrics.profiles
    assert gauge.labels("retrainer", "features", "pooled")._value.get() == 3


def test_samples_that_are_counted_and_not_pooled_tell_how_far_they_were_read(fed, make_role):
    after_an_anomaly = [
        record._replace(value=orjson.dumps(orjson.loads(record.value) | {"since_anomaly": 0}))
        for record in fed.samples
    ]
    fed.announce()
    step = fed.role.compute(after_an_anomaly, NOW)
    assert len(step.delta) == 3
    again = make_role(RetrainerRole)
    for offset, out in enumerate(of(step, TOPICS.pool)):
        again.load(ConsumerRecord(out.topic, out.partition, offset, out.key, out.value, (), NOW))
    again.restored([0])
    assert all(pool.accepted and not pool.ring.slots for pool in step.delta.values())
    assert again.restored_offsets() == {(TOPICS.accepted, 0): fed.samples[-1].offset}


@pytest.mark.parametrize("limit", [2**13, 2**30], ids=["full file", "file"])
def test_pools_restored_from_a_local_file_are_those_restored_from_memory(fed, make_role, limit):
    fed.role = make_role(RetrainerRole, retrain_samples=100)
    fed.announce()
    written = fed.pool().outputs
    # p0 keeps its counters alone, p1 its samples alone, and a kind of a later release has some too.
    of_p0 = {out.key for out in of(written, TOPICS.pool)} & {
        ring_codec.key("features", "p0", place) for place in range(1000)
    }
    written += [ProducerRecord(TOPICS.pool, None, key, 0) for key in sorted(of_p0)]
    written += [ProducerRecord(TOPICS.pool, b"no head", ring_codec.key("features", "p1", HEAD), 0)]
    written += [ProducerRecord(TOPICS.pool, b"{}", ring_codec.key("later", "p2", HEAD), 0)]
    restored = []
    for in_memory in (10**6, 1):
        role = make_role(RetrainerRole, retrain_samples=100)
        role._slots = LoadedSlots(limit, structlog.get_logger(), in_memory)
        fed.role = role
        with structlog.testing.capture_logs() as lines:
            fed.restore(written)
        events = Counter(line["event"] for line in lines)
        assert events["pool_unreadable"] == 1
        assert events["slot_unreadable"] == 0
        pools = role._known.pools
        restored.append(
            {
                key: (
                    head(TOPICS.pool, key, pool),
                    list(map(encode_slot, pool.ring.slots.values())),
                )
                for key, pool in pools.items()
            }
        )

    assert set(restored[0]) == {(0, "features", name) for name in ("p0", "p1", "p2")}
    assert [len(restored[0][0, "features", name][1]) for name in ("p0", "p1")] == [0, 12]
    assert restored[0] == restored[1]


@pytest.mark.parametrize("key", [b"\xff\xfe", b"features:\xc3", None])
@pytest.mark.parametrize("value", [None, b"{}"])
def test_an_announcement_under_a_key_that_is_no_profiles_is_passed_over(fed, key, value):
    fed.announce()
    (first, *_) = fed.announcements
    fed.role._announce(first._replace(offset=99, key=key, value=value))
    assert len(fed.role._known.announced) == 3


def test_dropping_forgets_all(fed):
    fed.announce()
    fed.pool()
    fed.role.drop()
    assert fed.role.idle(NOW) is None
    assert fed.role.restored_offsets() == {}
    assert of(fed.role.compute(fed.samples[:12], NOW), TOPICS.candidates) == []


def test_a_model_of_another_name_than_its_own_is_not_trained_on(fed):
    fed.announce()
    known = fed.role._known.announced
    key = (0, "features", "p1")
    known[key] = known[key].model_copy(update={"artifact": "features/a\0b"})

    written = fed.pool().outputs

    failed = [event for event in events(written) if event.event == "training_failed"]
    assert {event.profile_id for event in failed} == {"p1"}
    assert "artifact: expected" in (failed[0].detail or "")
