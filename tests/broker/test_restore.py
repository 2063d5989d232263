"""Restore on a real broker: its progress is seen, odd records do not stop it, policies hold."""

import json
import re
import urllib.request
from collections.abc import Callable

import pytest
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.broker.harness import Telltale, by_profile
from tests.broker.test_pipeline import vectors

FEW = {"TELLTALE_COLD_START_SAMPLES": "30"}


def metric(telltale: Telltale, name: str) -> float:
    """A gauge of the scorer started last."""
    port = [line["port"] for line in telltale.log_lines() if line["event"] == "listening"][-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        found = re.search(rf'^{name}{{role="scorer"}} (\S+)$', answer.read().decode(), re.M)
    assert found is not None, name
    return float(found[1])


def restored(telltale: Telltale) -> Callable[[], bool]:
    return lambda: any(line["event"] == "restored" for line in telltale.log_lines())


def test_a_long_restore_tells_its_progress_and_ends_at_zero_remaining(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(1)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for number in range(60_000):
        producer.produce(f"{prefix}cold-start", key=f"features:p:{number}", partition=0)
    assert producer.flush(120) == 0

    scorer = telltale.start("score", **FEW)
    telltale.wait_until(restored(telltale), "restored")
    telltale.wait_until(lambda: metric(telltale, "telltale_restore_seconds") > 0, "observed")

    told = [
        line["reason"]
        for line in telltale.log_lines()
        if line["event"] == "waiting" and line["reason"].startswith("restoring: ")
    ]
    assert told
    assert all("% of 60000 offsets read" in reason for reason in told)
    assert len(told) == len(set(told)) <= 11
    assert metric(telltale, "telltale_restore_remaining") == 0
    assert telltale.stop(scorer) == 0


def test_changelog_records_of_unknown_format_are_told_and_the_others_go_on(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    records, _ = vectors(profiles=2, count=40, seed=1)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:70])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(70)
    assert telltale.stop(scorer) == 0
    producer = Producer({"bootstrap.servers": bootstrap})
    for topic, key, value in (
        ("cold-start", b"features:stranger:0", b"\x63 of a later version"),
        ("cold-start", b"no slot's key", b"\x01"),
        ("models", b"features:stranger", b'{"version": "later"}'),
        ("models", b"features:other", b"\xff"),
        ("profiles", b"features:stranger", b"[]"),
    ):
        producer.produce(f"{prefix}{topic}", key=key, value=value, partition=0)
    assert producer.flush(120) == 0

    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.produce("telemetry.features", records[70:])
    verdicts = by_profile(telltale.wait_for(len(records)))

    for mine in verdicts.values():
        assert [v["samples_seen"] for v in mine] == [*range(1, 31), *[30] * 10]
    unread = [line for line in telltale.log_lines() if line["event"].endswith("_unreadable")]
    assert len(unread) == 5
    assert telltale.stop(scorer) == 0


@pytest.mark.parametrize(("policy", "answered"), [("earliest", range(21, 31)), ("latest", ())])
def test_after_a_loss_each_policy_begins_where_it_says(
    telltale: Telltale, bootstrap: str, prefix: str, policy: str, answered: range
) -> None:
    records, _ = vectors(profiles=1, count=35, seed=2)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:10])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(10)
    assert telltale.stop(scorer) == 0
    telltale.produce("telemetry.features", records[10:30])
    cut = TopicPartition(f"{prefix}telemetry.features", 0, 20)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_records([cut])[cut].result(120)

    scorer = telltale.start("score", "--slot", "0", "--lost-offsets", policy, **FEW)
    telltale.wait_until(restored(telltale), "restored")
    telltale.wait_until(
        lambda: sum(line["event"] == "restored" for line in telltale.log_lines()) == 2, "again"
    )
    telltale.produce("telemetry.features", records[30:])
    verdicts = telltale.wait_for(10 + len(answered) + 5)

    offsets = [int(v["verdict_id"].rpartition("-")[2]) + 1 for v in verdicts]
    assert offsets == [*range(1, 11), *answered, *range(31, 36)]
    assert [v["samples_seen"] for v in verdicts] == list(range(1, len(offsets) + 1))
    (warned,) = [line for line in telltale.log_lines() if line["event"] == "lost_offsets"]
    assert warned["policy"] == policy
    assert "records 10 to 19 were deleted before they were read" in warned["reason"]
    assert telltale.stop(scorer) == 0


def test_any_missing_topic_even_one_that_is_only_written_stops_the_start_by_its_name(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(1)
    gone = f"{prefix}anomalies"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([gone])[gone].result(120)

    stopped = telltale.run("score")

    assert stopped.returncode == 1
    assert f"topics missing: {gone}" in stopped.stderr
    assert "telltale topics create" in stopped.stderr


def test_control_records_that_retention_deleted_are_no_lost_records(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(1)
    topic = f"{prefix}telemetry.features"
    upstream = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}upstream"})
    upstream.init_transactions(120)
    for number in range(3):
        upstream.begin_transaction()
        upstream.produce(topic, json.dumps({"values": [number, 1]}), "p")
        upstream.commit_transaction(120)
    scorer = telltale.start("score", **FEW)
    telltale.wait_for(3)

    # Behind the last record is the mark of its transaction.
    group = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{prefix.rstrip('.')}-scorer"})
    place = TopicPartition(topic, 0)
    telltale.wait_until(
        lambda: group.committed([place], timeout=60)[0].offset == 6, "the end is committed"
    )
    group.close()
    assert telltale.stop(scorer) == 0
    admin = AdminClient({"bootstrap.servers": bootstrap})
    deleted = admin.delete_records([TopicPartition(topic, 0, OFFSET_END)])[place].result()
    assert deleted.low_watermark == 6

    telltale.start("score", **FEW)
    telltale.produce("telemetry.features", [("p", {"values": [4, 1]})])
    assert telltale.wait_for(4)[3]["verdict_id"] == f"{topic}-0-6"
