"""Offsets that another hand moved, recreated topics: told, and no record is answered twice."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka import topic_identity
from tests.broker.harness import Telltale
from tests.broker.test_pipeline import vectors

FEW = {"TELLTALE_COLD_START_SAMPLES": "30"}
TELEMETRY = "telemetry.features"


@pytest.fixture
def admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap})


@pytest.fixture
def group(environment: dict[str, str]) -> str:
    return f"{environment['TELLTALE_APPLICATION']}-scorer"


def committed(admin: AdminClient, group: str) -> dict[tuple[str, int], TopicPartition]:
    """What a group has committed."""
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    found = asked[group].result(30).topic_partitions or []
    return {(place.topic, place.partition): place for place in found}


def move(admin: AdminClient, group: str, topic: str, by: int) -> None:
    """As ``kafka-consumer-groups --reset-offsets --shift-by`` does: without metadata."""
    places = [
        TopicPartition(name, number, max(0, at.offset + by))
        for (name, number), at in committed(admin, group).items()
        if name == topic
    ]
    asked = [ConsumerGroupTopicPartitions(group, places)]
    admin.alter_consumer_group_offsets(asked)[group].result(30)


def make_anew(telltale: Telltale, admin: AdminClient, topic: str, partitions: int) -> None:
    """Delete a topic and make another one of its name."""
    admin.delete_topics([topic])[topic].result(30)
    telltale.wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, "deleted")
    telltale.create_topics(partitions)


def active(telltale: Telltale, partitions: int = 2, count: int = 40) -> int:
    """Have four profiles learn and be judged, and stop; how many records there were."""
    records, _ = vectors(profiles=4, count=count, seed=1)
    telltale.create_topics(partitions)
    telltale.produce(TELEMETRY, records)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(len(records))
    assert telltale.stop(scorer) == 0
    return len(records)


def ids(telltale: Telltale) -> list[str]:
    return [verdict["verdict_id"] for verdict in telltale.values("anomalies")]


def restored(telltale: Telltale, times: int) -> Callable[[], bool]:
    return lambda: sum(line["event"] == "restored" for line in telltale.log_lines()) >= times


def test_committed_offsets_say_which_topics_they_belong_to(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str
) -> None:
    active(telltale)

    topic = f"{prefix}{TELEMETRY}"
    changelogs = [f"{prefix}{name}" for name in ("models", "cold-start", "profiles")]
    topics = topic_identity.described(admin, [topic, *changelogs])
    found = {str(at.metadata) for at in committed(admin, group).values() if at.topic == topic}

    assert found == {str(topic_identity.note(topic, changelogs, topics))}
    assert topic_identity.UNKNOWN not in {one.id for one in topics.values()}


def test_offsets_moved_back_stop_the_start_and_earliest_answers_nothing_twice(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str
) -> None:
    count = active(telltale)
    topic = f"{prefix}{TELEMETRY}"
    move(admin, group, topic, by=-20)
    more, _ = vectors(profiles=4, count=5, seed=2)
    telltale.produce(TELEMETRY, more)

    stopped = telltale.run("score", "--slot", "0", **FEW)
    scorer = telltale.start("score", "--slot", "0", "--lost-offsets", "earliest", **FEW)
    telltale.wait_for(count + len(more))
    assert telltale.stop(scorer) == 0
    again = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(restored(telltale, 3), "a start without the flag")

    assert stopped.returncode == 1
    assert f"{topic} [" in stopped.stderr
    assert "but there is an answer to offset" in stopped.stderr
    assert "--lost-offsets earliest" in stopped.stderr
    assert len(set(ids(telltale))) == len(ids(telltale)) == count + len(more)
    assert telltale.stop(again) == 0


def test_a_dead_letter_is_an_answer_as_well(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str
) -> None:
    telltale.create_topics(1)
    telltale.produce(TELEMETRY, [("p", b"{")] * 10)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(lambda: len(telltale.read("dead-letter")) == 10, "dead letters")
    assert telltale.stop(scorer) == 0
    move(admin, group, f"{prefix}{TELEMETRY}", by=-4)

    stopped = telltale.run("score", "--slot", "0", **FEW)

    assert stopped.returncode == 1
    assert "an answer to offset 9" in stopped.stderr
    assert len(telltale.read("dead-letter")) == 10


def test_an_answer_is_found_behind_many_of_other_topics(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str, bootstrap: str
) -> None:
    telltale.create_topics(1)
    telltale.produce("telemetry.series", [("p", {"timestamps": [], "values": []})] * 3)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(3)
    assert telltale.stop(scorer) == 0
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(6000):
        verdict = {"verdict_id": f"{prefix}{TELEMETRY}-0-{number}"}
        producer.produce(f"{prefix}anomalies", json.dumps(verdict), "q", partition=0)
    producer.produce(f"{prefix}anomalies", b"no verdict", "q", partition=0)
    assert producer.flush(30) == 0
    move(admin, group, f"{prefix}telemetry.series", by=-1)

    stopped = telltale.run("score", "--slot", "0", **FEW)

    assert stopped.returncode == 1
    assert "an answer to offset 2" in stopped.stderr


def test_after_an_upgrade_offsets_without_a_note_are_taken_as_they_are(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str
) -> None:
    count = active(telltale)
    topic = f"{prefix}{TELEMETRY}"
    move(admin, group, topic, by=0)
    before = {place: at.metadata for place, at in committed(admin, group).items()}
    more, _ = vectors(profiles=4, count=5, seed=2)
    telltale.produce(TELEMETRY, more)

    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(count + len(more))
    assert telltale.stop(scorer) == 0

    after = {place: at.metadata for place, at in committed(admin, group).items()}
    assert {before[place] for place in before if place[0] == topic} == {None}
    assert all(str(metadata).startswith("telltale:1:") for metadata in after.values())
    assert len(set(ids(telltale))) == len(ids(telltale)) == count + len(more)
    assert not [line for line in telltale.log_lines() if line["event"] == "offsets_unchecked"]


def test_commands_moved_back_are_not_executed_twice(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str
) -> None:
    active(telltale)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    done = telltale.run("profile", "suppress", "p0", "--until", "1h")
    assert done.returncode == 0, done.stderr
    assert telltale.stop(scorer) == 0
    move(admin, group, f"{prefix}commands", by=-1)

    stopped = telltale.run("score", "--slot", "0", **FEW)

    assert stopped.returncode == 1
    assert f"{prefix}commands [" in stopped.stderr
    assert "but there is state from offset" in stopped.stderr


def test_telemetry_made_anew_is_refused_and_then_read_from_its_beginning(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str
) -> None:
    active(telltale, partitions=1)
    topic = f"{prefix}{TELEMETRY}"
    before = committed(admin, group)[topic, 0]
    make_anew(telltale, admin, topic, 1)
    rest, _ = vectors(profiles=4, count=10, seed=3)
    telltale.produce(TELEMETRY, rest)
    assert (topic, 0) not in committed(admin, group)

    stopped = telltale.run("score", "--slot", "0", **FEW)
    scorer = telltale.start("score", "--slot", "0", "--lost-offsets", "earliest", **FEW)
    telltale.wait_for(160 + len(rest))
    assert telltale.stop(scorer) == 0
    again = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(restored(telltale, 3), "a start without the flag")
    telltale.produce(TELEMETRY, rest[:4])
    telltale.wait_for(160 + len(rest) + 4)

    assert before.metadata is not None
    assert stopped.returncode == 1
    assert "recreated" in stopped.stderr
    assert ids(telltale)[160:] == [f"{topic}-0-{number}" for number in range(len(rest) + 4)]
    assert telltale.stop(again) == 0


def test_an_offset_of_an_earlier_topic_is_told_by_its_note(
    telltale: Telltale, admin: AdminClient, group: str, prefix: str, bootstrap: str
) -> None:
    active(telltale, partitions=1)
    topic = f"{prefix}{TELEMETRY}"
    before = committed(admin, group)[topic, 0]
    make_anew(telltale, admin, topic, 1)
    telltale.produce(TELEMETRY, vectors(profiles=4, count=60, seed=3)[0])
    late = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    late.commit(offsets=[before], asynchronous=False)
    late.close()

    stopped = telltale.run("score", "--slot", "0", **FEW)

    assert stopped.returncode == 1
    assert "the topic was deleted and recreated: offset" in stopped.stderr
    assert len(ids(telltale)) == 160


def test_a_changelog_made_anew_is_told_and_earliest_learns_anew_without_answering_twice(
    telltale: Telltale, admin: AdminClient, prefix: str, tmp_path: Path
) -> None:
    count = active(telltale)
    make_anew(telltale, admin, f"{prefix}models", 2)
    more, _ = vectors(profiles=4, count=5, seed=2)
    telltale.produce(TELEMETRY, more)

    foreign = telltale.run("score", "--slot", "0", **FEW)
    (tmp_path / "models" / "owner.json").unlink()
    stopped = telltale.run("score", "--slot", "0", **FEW)
    scorer = telltale.start("score", "--slot", "0", "--lost-offsets", "earliest", **FEW)
    verdicts = telltale.wait_for(count + len(more))
    assert telltale.stop(scorer) == 0
    again = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(restored(telltale, 3), "a start without the flag")

    assert foreign.returncode == stopped.returncode == 1
    assert "belongs to another installation" in foreign.stderr
    assert f"{prefix}models was deleted and recreated" in stopped.stderr
    assert len({v["verdict_id"] for v in verdicts}) == len(verdicts)
    assert [v["status"] for v in verdicts].count("learning") == 4 * 30 + len(more)
    assert telltale.stop(again) == 0


def test_a_topic_made_anew_under_way_ends_the_role_with_a_sentence(
    telltale: Telltale, admin: AdminClient, prefix: str
) -> None:
    telltale.create_topics(1)
    telltale.produce(TELEMETRY, vectors(profiles=4, count=10, seed=1)[0])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(40)
    make_anew(telltale, admin, f"{prefix}cold-start", 1)

    assert scorer.wait(90) == 1
    reason = next(line["reason"] for line in telltale.log_lines() if line["event"] == "ended")
    assert f"{prefix}cold-start was deleted and recreated while it was in use" in reason
