"""Ingest on a real broker: an existing topic in, verdicts out, exactly once whatever is killed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.broker.harness import PATIENCE, Telltale, by_profile

HOSTS = 7
TOPIC = "telegraf"
START = 1_700_000_000


def cpu(host: int, number: int) -> dict[str, Any]:
    """A record as Telegraf writes it; ``total`` is a counter that grows by 10 a second."""
    return {
        "name": "cpu",
        "tags": {"host": f"web-{host}"},
        "fields": {"idle": 80 + (number * 7 + host) % 11, "total": 100 * number},
        "timestamp": START + 10 * number,
    }


def sources(directory: Path, prefix: str, **more: Any) -> str:
    path = directory / "sources.yaml"
    fields = {
        "name": "hosts",
        "topic": prefix + TOPIC,
        "kind": "features",
        "profile_id": "{tags.host}",
        "observed_at": {"path": "timestamp", "unit": "s"},
        "values": {"idle": "fields.idle", "total": "fields.total"},
        **more,
    }
    path.write_text(json.dumps({"sources": [fields]}))
    return str(path)


@pytest.fixture
def source_topic(bootstrap: str, prefix: str) -> str:
    """A topic of others: with another partition count than Telltale's."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(prefix + TOPIC, 3, 1)]).values():
        future.result()
    return prefix + TOPIC


def send(bootstrap: str, topic: str, values: list[Any]) -> None:
    """Each host on one partition, which is not that of its id; keys are none."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for value in values:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        host = 0 if isinstance(value, bytes) else int(value["tags"]["host"].rpartition("-")[2])
        producer.produce(topic, value=raw, partition=host % 3)
    assert producer.flush(PATIENCE) == 0


def headers_of(message: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers() or []}


def test_telegrafs_json_becomes_verdicts_that_lead_back_to_their_record(
    telltale: Telltale, bootstrap: str, source_topic: str, tmp_path: Path, prefix: str
) -> None:
    telltale.create_topics(4)
    values = [cpu(host, n) for n in range(40) for host in range(HOSTS)]
    send(bootstrap, source_topic, values)
    file = sources(tmp_path, prefix, values={"idle": "fields.idle"})
    ingest = telltale.start("ingest", "run", file, "--slot", "0")
    scorer = telltale.start("score", TELLTALE_COLD_START_SAMPLES="20")

    verdicts = telltale.wait_for(len(values))

    assert telltale.stop(ingest) == telltale.stop(scorer) == 0
    assert {profile: len(mine) for profile, mine in by_profile(verdicts).items()} == {
        f"web-{host}": 40 for host in range(HOSTS)
    }
    assert {v["status"] for v in verdicts} == {"learning", "scored"}
    places = {v["source"] for v in verdicts}
    assert places == {f"{source_topic}-{m.partition()}-{m.offset()}" for m in telltale.read(TOPIC)}
    # Where Kafka's own partitioner puts these keys, so whatever else writes them puts them there.
    telltale.produce("telemetry.series", [(f"web-{host}", None) for host in range(HOSTS)])
    theirs = {m.key(): m.partition() for m in telltale.read("telemetry.series")}
    assert {m.key(): m.partition() for m in telltale.read("telemetry.features")} == theirs
    assert {v["observed_at"] for v in verdicts} == {1000 * (START + 10 * n) for n in range(40)}


def test_nothing_is_lost_or_doubled_when_processes_are_killed_and_rates_go_on(
    telltale: Telltale, bootstrap: str, source_topic: str, tmp_path: Path, prefix: str
) -> None:
    telltale.create_topics(2)
    file = sources(tmp_path, prefix, rate=["total"])
    faster = {
        "TELLTALE_TRANSACTION_TIMEOUT_MS": "3000",
        "TELLTALE_BATCH_RECORDS": "50",
    }
    slots = {slot: telltale.start("ingest", "run", file, "--slot", slot, **faster) for slot in "01"}
    rounds, each = 6, 60
    for number in range(rounds):
        values = [
            cpu(host, n) for n in range(number * each, (number + 1) * each) for host in range(HOSTS)
        ]
        before = len(telltale.read("telemetry.features"))
        send(bootstrap, source_topic, values)
        telltale.wait_until(
            lambda before=before: len(telltale.read("telemetry.features")) > before, "some mapped"
        )
        slot = "01"[number % 2]
        telltale.kill(slots[slot])
        slots[slot] = telltale.start("ingest", "run", file, "--slot", slot, **faster)
    total = rounds * each * HOSTS

    telltale.wait_for(total, "telemetry.features")

    found = telltale.read("telemetry.features")
    counts = Counter(headers_of(message)["telltale.source"] for message in found)
    assert len(counts) == total
    assert set(counts.values()) == {1}
    assert telltale.read("dead-letter") == []
    rates: dict[bytes, list[float | None]] = {}
    for message in sorted(found, key=lambda m: (m.partition(), m.offset())):
        value = json.loads(message.value())
        rates.setdefault(message.key(), []).append(value["values"].get("total"))
    assert rates == {
        f"web-{host}".encode(): [None] + [10.0] * (rounds * each - 1) for host in range(HOSTS)
    }
    assert [telltale.stop(process) for process in slots.values()] == [0, 0]


def test_what_cannot_be_mapped_is_a_dead_letter_and_goes_back_to_its_source(
    telltale: Telltale, bootstrap: str, source_topic: str, tmp_path: Path, prefix: str
) -> None:
    telltale.create_topics(2)
    other = cpu(1, 0) | {"tags": {"host": "web-2", "rack": "x"}, "fields": {"user": 1}}
    send(bootstrap, source_topic, [cpu(2, 0), b"{", other])
    strict = sources(tmp_path, prefix)
    ingest = telltale.start("ingest", "run", strict, "--slot", "0")
    letters = telltale.wait_for_messages(2, "dead-letter")
    assert telltale.stop(ingest) == 0

    told = {headers_of(m)["telltale.reason"]: headers_of(m) for m in letters}
    assert set(told) == {"undecodable", "unmapped"}
    assert told["unmapped"]["telltale.topic"] == source_topic
    assert told["unmapped"]["telltale.partition"] == "2"
    assert "fields.idle" in told["unmapped"]["telltale.detail"]
    assert {m.partition() for m in letters} == {0}

    mended = sources(tmp_path, prefix, values={"*": "fields"})
    done = telltale.run("dead-letter", "replay", "--reason", "unmapped")
    ingest = telltale.start("ingest", "run", mended, "--slot", "0")

    assert f"1 sent back to {source_topic} (unmapped)" in done.stdout
    found = telltale.wait_for(2, "telemetry.features")
    assert [value["values"] for value in found if "user" in value["values"]] == [{"user": 1}]
    assert telltale.stop(ingest) == 0


def test_check_reads_the_newest_records_and_leaves_no_trace(
    telltale: Telltale, bootstrap: str, source_topic: str, tmp_path: Path, prefix: str
) -> None:
    telltale.create_topics(2)
    send(bootstrap, source_topic, [cpu(host, n) for n in range(20) for host in range(HOSTS)])
    file = sources(tmp_path, prefix)

    done = telltale.run("ingest", "check", file, "--count", "70", "--json")
    none = telltale.run("ingest", "check", sources(tmp_path, prefix, profile_id="{no}"))

    (report,) = json.loads(done.stdout)["sources"]
    assert done.returncode == 0, done.stderr
    assert (report["records"], report["mapped"], report["profiles"]) == (70, 70, HOSTS)
    assert "feature total only grows, as a counter does: rate: [total]" in report["warnings"]
    assert none.returncode == 1
    assert "unmapped: 140" in none.stdout
    groups = AdminClient({"bootstrap.servers": bootstrap}).list_consumer_groups().result().valid
    assert [g.group_id for g in groups if g.group_id.startswith(prefix.rstrip("."))] == []
    assert telltale.read("telemetry.features") == []


def test_a_pattern_reads_every_topic_that_it_matches_and_runs_beside_the_other_roles(
    telltale: Telltale, bootstrap: str, source_topic: str, tmp_path: Path, prefix: str
) -> None:
    telltale.create_topics(2)
    send(bootstrap, source_topic, [cpu(host, n) for n in range(5) for host in range(HOSTS)])
    pattern = "^" + (prefix + TOPIC).replace(".", r"\.") + ".*"
    file = sources(tmp_path, prefix, topic=pattern)

    process = telltale.start("run", "--sources", file, "--slot", "0")

    assert len(telltale.wait_for(5 * HOSTS)) == 5 * HOSTS
    assert telltale.stop(process) == 0


def test_a_source_that_is_created_later_is_read_then(
    telltale: Telltale, bootstrap: str, tmp_path: Path, prefix: str
) -> None:
    telltale.create_topics(2)
    ingest = telltale.start("ingest", "run", sources(tmp_path, prefix), "--slot", "0")
    telltale.wait_until(lambda: "missing_source" in telltale.log(), "it says so")
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(prefix + TOPIC, 3, 1)])[prefix + TOPIC].result()

    send(bootstrap, prefix + TOPIC, [cpu(host, 0) for host in range(HOSTS)])

    assert len(telltale.wait_for(HOSTS, "telemetry.features")) == HOSTS
    assert telltale.stop(ingest) == 0
