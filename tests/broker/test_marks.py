"""Whoever may write accepted samples can neither have a model deleted nor a profile left to age."""

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from models.errors import Unavailable
from processor.artifacts.proof import HEADER, NAME
from processor.kafka.consuming import Follower, latest_offsets
from processor.records import ConsumerRecord
from processor.settings import Settings
from tests.broker.harness import Telltale
from tests.broker.test_forget import LEARN, telemetry

PROFILE = "p"


class Analyst:
    """Somebody with the right to write `accepted-normal`, and to read all topics."""

    def __init__(self, telltale: Telltale, bootstrap: str, prefix: str) -> None:
        self._telltale = telltale
        self._topic = f"{prefix}accepted-normal"
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def write(self, value: bytes, headers: Any = ()) -> None:
        self._producer.produce(
            self._topic, key=PROFILE.encode(), value=value, partition=0, headers=list(headers)
        )
        assert self._producer.flush(30) == 0

    def mark(self, word: str, generation: int) -> None:
        said = {"mark": word, "profile_id": PROFILE, "kind": "features", "generation": generation}
        said |= {"version": 1, "command_id": "x"}
        self.write(json.dumps(said).encode(), [(HEADER, b"0" * 64)])

    def sample(self, generation: int) -> None:
        said = [s for s in self._telltale.values("accepted-normal") if "mark" not in s][-1]
        said |= {"generation": generation, "source": "analyst"}
        self.write(json.dumps(said).encode())

    def copy(self, word: str) -> None:
        """Send a mark of the scorer once more, as it was."""
        found = next(
            message
            for message in self._telltale.read("accepted-normal")
            if json.loads(message.value() or b"").get("mark") == word
        )
        self.write(found.value() or b"", found.headers() or ())


@pytest.fixture
def analyst(telltale: Telltale, bootstrap: str, prefix: str) -> Analyst:
    return Analyst(telltale, bootstrap, prefix)


def letters(telltale: Telltale) -> Counter[str]:
    found = [dict(message.headers() or []) for message in telltale.read("dead-letter")]
    return Counter(headers["telltale.reason"].decode() for headers in found)


def pool(telltale: Telltale) -> dict[bytes, bytes]:
    """What the compacted topic keeps of the profile's pool."""
    newest = {m.key() or b"": m.value() for m in telltale.read("retrain-pool")}
    return {key: value for key, value in newest.items() if value is not None}


def head(telltale: Telltale) -> dict[str, Any]:
    return dict(json.loads(pool(telltale)[f"features:{PROFILE}:-1".encode()]))


def trainings(telltale: Telltale) -> int:
    said = telltale.values("lifecycle")
    return sum(event["event"] in ("adopted", "refused") for event in said)


def test_forged_marks_and_samples_leave_an_active_profile_as_it_is(
    telltale: Telltale, analyst: Analyst, tmp_path: Path
) -> None:
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0", **LEARN)
    telltale.start("retrain", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry([PROFILE], 45, seed=1))
    telltale.wait_for(sent)
    telltale.wait_until(lambda: len(pool(telltale)) > 5, "the profile has a pool")
    (record,) = telltale.values("models")
    generation, before = record["generation"], head(telltale)

    for forged in (generation, generation + 1, 2**62, 2**63 - 1):
        analyst.mark("forget", forged)
    analyst.mark("rollback", generation)
    analyst.mark("retrain", generation)
    for forged in (generation + 1, 2**63 - 1):
        analyst.sample(forged)
    wanted = Counter(invalid_mark=6, unknown_generation=2)
    telltale.wait_until(lambda: letters(telltale) == wanted, "each is a dead letter")

    assert (tmp_path / "models" / record["artifact"]).exists()
    assert head(telltale) == before
    assert {event["event"] for event in telltale.values("lifecycle")} == {"trained"}
    telltale.kill(scorer)
    telltale.start("score", "--slot", "0", **LEARN)
    sent += telltale.produce("telemetry.features", telemetry([PROFILE], 40, seed=2))
    verdicts = telltale.wait_for(sent)
    assert {v["status"] for v in verdicts[-40:]} == {"scored"}
    assert {v["generation"] for v in verdicts} == {generation}
    telltale.wait_until(lambda: trainings(telltale) >= 1, "the profile is retrained as ever")
    assert not any(event["event"] == "model_lost" for event in telltale.values("lifecycle"))


def test_the_scorers_own_marks_are_obeyed_once_and_copies_of_them_not_at_all(
    telltale: Telltale, analyst: Analyst, tmp_path: Path
) -> None:
    telltale.create_topics(1)
    few = LEARN | {"TELLTALE_RETRAIN_SAMPLES": "10000"}
    telltale.start("score", "--slot", "0", **few)
    telltale.start("retrain", "--slot", "0", **few)
    sent = telltale.produce("telemetry.features", telemetry([PROFILE], 80, seed=1))
    telltale.wait_for(sent)
    telltale.wait_until(lambda: len(pool(telltale)) > 5, "the profile has a pool")
    asked = telltale.run("profile", "retrain", PROFILE, "--kind", "features")
    assert asked.returncode == 0, asked.stderr
    telltale.wait_until(lambda: trainings(telltale) == 1, "one training")
    adopted = any(event["event"] == "adopted" for event in telltale.values("lifecycle"))
    assert adopted, telltale.values("lifecycle")
    back = telltale.run("profile", "rollback", PROFILE, "--kind", "features")
    assert back.returncode == 0, back.stderr
    telltale.wait_until(lambda: head(telltale).get("rolled_back") == 3, "the pool is emptied")
    sent += telltale.produce("telemetry.features", telemetry([PROFILE], 20, seed=2))
    telltale.wait_for(sent)
    telltale.wait_until(lambda: head(telltale)["accepted"] > 10, "a new pool")
    before = head(telltale)

    for word in ("retrain", "rollback", "retrain"):
        analyst.copy(word)
    sent += telltale.produce("telemetry.features", telemetry([PROFILE], 5, seed=3))
    telltale.wait_for(sent)
    telltale.wait_until(
        lambda: head(telltale)["accepted"] > before["accepted"], "what came behind the copies"
    )

    assert letters(telltale) == {}
    assert trainings(telltale) == 1
    assert (tmp_path / "models" / NAME).stat().st_size == 32


@pytest.fixture
def models(bootstrap: str, prefix: str, telltale: Telltale) -> tuple[Settings, Producer]:
    """The topic `models`, and a producer with a transaction open on it."""
    telltale.create_topics(1)
    settings = Settings(_env_file=None, bootstrap_servers=bootstrap, topic_prefix=prefix)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}open"})
    producer.init_transactions(30)
    return settings, producer


def write(producer: Producer, topic: str, count: int) -> None:
    for number in range(count):
        producer.produce(topic, key=b"features:p", value=struct.pack(">q", number), partition=0)
    assert producer.flush(30) == 0


def test_a_follower_reaches_the_end_that_a_partition_has_behind_control_records(
    models: tuple[Settings, Producer], prefix: str
) -> None:
    settings, producer = models
    topic = f"{prefix}models"
    follower = Follower(settings, [(topic, 0, 0)])
    found: list[ConsumerRecord] = []
    for count in (3, 0, 2):
        if count:
            producer.begin_transaction()
            write(producer, topic, count)
            producer.commit_transaction(30)
        found += follower.reach((topic, 0))
    follower.close()

    place = TopicPartition(topic, 0)
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    assert [struct.unpack(">q", r.value or b"")[0] for r in found] == [0, 1, 2, 0, 1]
    assert latest_offsets(admin, [place]) == {(topic, 0): 7}


def test_a_follower_waits_for_a_transaction_that_is_open_and_says_so_when_it_takes_too_long(
    models: tuple[Settings, Producer], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, producer = models
    topic = f"{prefix}models"
    follower = Follower(settings, [(topic, 0, 0)])
    producer.begin_transaction()
    write(producer, topic, 2)
    monkeypatch.setattr("processor.kafka.consuming.REACH_SECONDS", 1.0)

    with pytest.raises(Unavailable, match=rf"{topic} \[0\] is read to offset 0 of 2: a trans"):
        list(follower.reach((topic, 0)))
    producer.commit_transaction(30)
    monkeypatch.setattr("processor.kafka.consuming.REACH_SECONDS", 30.0)
    found = list(follower.reach((topic, 0)))
    follower.close()

    assert len(found) == 2


def test_every_profile_with_a_model_is_asked_to_be_retrained(telltale: Telltale) -> None:
    telltale.create_topics(2)
    telltale.start("score", "--slot", "0", **LEARN)
    names = ["p0", "p1", "p2", "p3"]
    sent = telltale.produce("telemetry.features", telemetry([*names, "gone"], 25, seed=1))
    rng = np.random.default_rng(1)
    events = [
        ("d0", {"ear_value": ear, "is_drowsy": False, "duration_ms": 100})
        for ear in rng.uniform(0.2, 0.3, 25).tolist()
    ]
    sent += telltale.produce("telemetry.drowsiness", events)
    sent += telltale.produce("telemetry.features", telemetry(["young"], 3, seed=1))
    telltale.wait_for(sent)
    forgotten = telltale.run("profile", "forget", "gone", "--timeout", "1")
    assert "forgotten" in forgotten.stdout

    every = telltale.run("profile", "retrain", "--all", "--reason", "another detector")
    some = telltale.run("profile", "retrain", "--all", "--kind", "drowsiness")
    wrong = [telltale.run("profile", "retrain"), telltale.run("profile", "retrain", "p", "--all")]

    assert (every.returncode, every.stdout) == (0, "5 requested, 0 rejected, 0 unanswered\n")
    assert "5 of 5 profiles answered" in every.stderr
    assert (some.returncode, some.stdout) == (0, "1 requested, 0 rejected, 0 unanswered\n")
    assert [(done.returncode, "--all" in done.stderr) for done in wrong] == [(2, True)] * 2
    marks = [m for m in telltale.values("accepted-normal") if m.get("mark") == "retrain"]
    asked = Counter((m["kind"], m["profile_id"]) for m in marks)
    assert asked == Counter({("drowsiness", "d0"): 2, **{("features", n): 1 for n in names}})


def test_profiles_whose_command_nobody_answers_are_counted_and_stay_queued(
    telltale: Telltale,
) -> None:
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(["p0", "p1"], 25, seed=1))
    telltale.wait_for(sent)
    assert telltale.stop(scorer) == 0

    done = telltale.run("profile", "retrain", "--all", "--timeout", "1")

    assert (done.returncode, done.stdout) == (1, "0 requested, 0 rejected, 2 unanswered\n")
    assert "and 1 more: sent, not yet confirmed; it stays queued" in done.stderr
    telltale.start("score", "--slot", "0", **LEARN)
    telltale.wait_until(
        lambda: sum(e["event"] == "retrain_requested" for e in telltale.values("lifecycle")) == 2,
        "what was queued is done",
    )


def test_another_detector_comes_with_a_retraining_and_is_told_before(
    telltale: Telltale,
) -> None:
    telltale.create_topics(1)
    first = LEARN | {"TELLTALE_RETRAIN_SAMPLES": "10000", "TELLTALE_LOG_FORMAT": "json"}
    roles = [telltale.start(role, "--slot", "0", **first) for role in ("score", "retrain")]
    sent = telltale.produce("telemetry.features", telemetry(["p0", "p1"], 80, seed=1))
    telltale.wait_for(sent)
    telltale.wait_until(lambda: len(pool(telltale)) > 90, "both profiles have a pool")
    assert [telltale.stop(role) for role in roles] == [0, 0]
    then = first | {"TELLTALE_DETECTOR": "forest"}
    for role in ("score", "retrain"):
        telltale.start(role, "--slot", "0", **then)
    asked = telltale.run("profile", "retrain", "--all", "--kind", "features")
    assert asked.returncode == 0, asked.stderr
    telltale.wait_until(lambda: trainings(telltale) >= 2, "both are retrained")

    newest = {record["profile_id"]: record for record in telltale.values("models")}
    (told,) = [line for line in telltale.log_lines() if line["event"] == "detector_differs"]
    assert (told["kind"], told["configured"], told["profiles"]) == ("features", "forest", 2)
    assert {record["version"]: record["detector"] for record in newest.values()} == {2: "forest"}
    for record in newest.values():
        assert record["provenance"]["detector_before"] == "blend"
