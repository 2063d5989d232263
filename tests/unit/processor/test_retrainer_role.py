"""The retrainer as the worker turns it, on a real model directory and without a broker."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from processor.records import Incoming
from processor.retrainer_role import RetrainerRole
from tests.unit.processor.build import (
    NOW,
    TOPICS,
    Scorer,
    accepted,
    consumed,
    events,
    of,
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
        self.announcements: list[Incoming] = consumed(scorer.outputs, TOPICS.models)
        self.samples: list[Incoming] = consumed(samples, TOPICS.accepted)

    def pool(self) -> Any:
        step = self.role.compute(self.samples, NOW)
        self.role.apply(step)
        return step

    def announce(self) -> None:
        for record in self.announcements:
            self.role._announce(record)


@pytest.fixture
def fed(make_role, tmp_path) -> Fed:
    role = make_role(RetrainerRole, retrain_samples=10, trainings_per_step=2)
    return Fed(role, tmp_path / "models")


def test_a_candidates_artefact_is_on_disk_before_its_step_is_committed(fed, tmp_path):
    fed.announce()
    step = fed.pool()
    assert of(step, TOPICS.candidates)
    assert all((tmp_path / "models" / artifact.path).exists() for _, artifact in step.artifacts)


def test_what_fell_due_is_trained_when_its_announcement_comes_few_at_a_time(fed):
    assert of(fed.pool(), TOPICS.candidates) == []
    assert fed.role.idle(NOW) is None
    fed.announce()
    counts = []
    while (step := fed.role.idle(NOW)) is not None:
        fed.role.apply(step)
        counts.append(len(of(step, TOPICS.candidates)))
    assert counts == [2, 1]


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
    fed.role._announce(Incoming(first.topic, 0, 99, first.key, None, (), NOW))
    step = fed.role.compute(fed.samples[:12], NOW)
    assert of(step, TOPICS.candidates) == []


def test_pools_are_shown_by_kind(fed):
    fed.pool()
    fed.role.observe()
    gauge = fed.role._metrics.profiles
    assert gauge.labels("retrainer", "features", "pooled")._value.get() == 3


def test_samples_that_are_counted_and_not_pooled_tell_how_far_they_were_read(fed, make_role):
    after_an_anomaly = [
        record._replace(value=orjson.dumps(orjson.loads(record.value) | {"since_anomaly": 0}))
        for record in fed.samples
    ]
    step = fed.role.compute(after_an_anomaly, NOW)
    again = make_role(RetrainerRole)
    for offset, out in enumerate(of(step, TOPICS.pool)):
        again.load(Incoming(out.topic, out.partition, offset, out.key, out.value, (), NOW))
    again.restored([0])
    assert all(pool.accepted and not pool.ring.slots for pool in step.profiles.values())
    assert again.newest() == {(TOPICS.accepted, 0): fed.samples[-1].offset}


def test_dropping_forgets_all(fed):
    fed.announce()
    fed.pool()
    fed.role.drop()
    assert fed.role.idle(NOW) is None
    assert fed.role.newest() == {}
    assert of(fed.role.compute(fed.samples[:12], NOW), TOPICS.candidates) == []
