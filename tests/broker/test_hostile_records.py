"""One record, whatever it holds, neither ends a role nor holds up others."""

import json
import urllib.request
from urllib.error import HTTPError

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.broker.harness import Telltale
from tests.broker.test_pipeline import vectors
from tests.kafka import raw

FEW = {"TELLTALE_COLD_START_SAMPLES": "10"}
BAD_NAME = ((b"\xff\xfe", b"1"),)


def headers_of(message: Message) -> dict[str, bytes]:
    return {name: value or b"" for name, value in message.headers() or ()}


def reason_of(message: Message) -> str:
    return headers_of(message)["telltale.reason"].decode()


def port_of(telltale: Telltale, role: str) -> int:
    def lines() -> list[int]:
        found = [line for line in telltale.log_lines() if line["event"] == "listening"]
        return [line["port"] for line in found if line["role"] == role]

    telltale.wait_until(lambda: bool(lines()), "the port is logged")
    return lines()[-1]


def answer(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as found:
            return found.status, found.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_header_names_that_are_not_utf8_are_dead_letters_in_every_role(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    records, _ = vectors(profiles=4, count=15, seed=1)
    telltale.create_topics(partitions=1)
    half = len(records) // 2
    telltale.produce("telemetry.features", records[:half])
    value = json.dumps({"values": {"a": 1.0}}).encode()
    for topic in ("telemetry.features", "telemetry.behavior", "candidates", "accepted-normal"):
        raw.produce(bootstrap, prefix + topic, 0, b"poison", value, BAD_NAME)
    raw.produce(bootstrap, prefix + "commands", 0, b"poison", b"{}", BAD_NAME)
    telltale.produce("telemetry.features", records[half:])
    roles = [telltale.start(role, "--slot", "0", **FEW) for role in ("score", "retrain")]

    verdicts = telltale.wait_for(len(records))
    letters = telltale.wait_for_messages(4, "dead-letter")
    listed = telltale.run("dead-letter", "list", "--json")
    sent_back = telltale.run("dead-letter", "replay", "--reason", "invalid_headers")

    assert len({v["verdict_id"] for v in verdicts}) == len(records)
    assert {reason_of(m) for m in letters} == {"invalid_headers"}
    assert {(m.key(), m.value()) for m in letters} == {(b"poison", value)}
    assert json.loads(listed.stdout)["invalid_headers"]["count"] == 4
    assert sent_back.returncode == 0, sent_back.stderr
    (rejected,) = telltale.wait_for(1, "lifecycle")[:1]
    assert rejected["event"] in ("command_rejected", "trained")
    assert any(e["event"] == "command_rejected" for e in telltale.values("lifecycle"))
    assert [telltale.stop(role) for role in roles] == [0, 0]


def test_keys_headers_and_values_of_megabytes_have_dead_letters_that_fit(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(partitions=1)
    big = 12 * 2**20
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2**25})
    topic = f"{prefix}telemetry.features"
    producer.produce(topic, key=bytes(big), value=b"{}", partition=0)
    producer.produce(topic, key=b"p", value=b"{", headers=[("h", bytes(big))], partition=0)
    producer.produce(topic, key=b"p", value=bytes(big), partition=0)
    assert producer.flush(60) == 0
    telltale.start("score", "--slot", "0", **FEW)

    letters = sorted(telltale.wait_for_messages(3, "dead-letter"), key=lambda m: m.offset() or 0)

    assert [reason_of(m) for m in letters] == ["invalid_key", "invalid_json", "too_large"]
    cuts = ("telltale.key_truncated", "telltale.headers_omitted", "telltale.truncated")
    for message, cut in zip(letters, cuts, strict=True):
        assert {name for name in cuts if name in headers_of(message)} == {cut}
    records, _ = vectors(profiles=1, count=2, seed=1)
    telltale.produce("telemetry.features", records)
    telltale.wait_for(2)


def test_the_broker_refuses_what_unpacks_to_more_than_an_input_takes(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(partitions=1)
    refused = []
    for codec in ("zstd", "gzip", "lz4", "snappy"):
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "compression.type": codec,
                "message.max.bytes": 2**27,
            }
        )
        producer.produce(
            f"{prefix}telemetry.features",
            value=bytes(40 * 2**20),
            partition=0,
            on_delivery=lambda error, _: refused.append(error),
        )
        producer.flush(60)
    assert [error and error.name() for error in refused] == ["MSG_SIZE_TOO_LARGE"] * 4


def test_a_batch_that_no_client_reads_is_seen_and_skipped_once_while_the_scorer_runs(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    records, _ = vectors(profiles=1, count=30, seed=1)
    topic = f"{prefix}telemetry.features"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    # As an operator keeps it who does not want to spend the disk.
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    telltale.create_topics(partitions=1)
    telltale.produce("telemetry.features", records[:10])
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "zstd",
            "message.max.bytes": 10**9,
            "linger.ms": 1000,
            "batch.size": 2**31 - 1,
        }
    )
    for _ in range(3):
        producer.produce(topic, key=b"bomb", value=bytes(60_000_000), partition=0)
    assert producer.flush(120) == 0
    telltale.produce("telemetry.features", records[10:])

    scorer = telltale.start("score", "--slot", "0", **FEW)
    port = port_of(telltale, "scorer")
    telltale.wait_until(
        lambda: "cannot be read at offset 10" in answer(port, "/health/ready")[1],
        "readiness says which offset cannot be read",
    )
    status, body = answer(port, "/health/ready")
    assert status == 503
    assert f"telltale dead-letter skip {topic} 0 10" in body
    assert 'telltale_unreadable_partitions{role="scorer"} 1.0' in answer(port, "/metrics")[1]
    (line,) = [line for line in telltale.log_lines() if line["event"] == "unreadable"]
    assert (line["topic"], line["partition"], line["offset"]) == (topic, 0, 10)

    wrong = telltale.run("dead-letter", "skip", "telemetry.features", "0", "3")
    done = telltale.run("dead-letter", "skip", "telemetry.features", "0", "10")
    assert wrong.returncode == 1
    assert "expected offset 10" in wrong.stderr
    assert done.returncode == 0, done.stderr
    assert f"skipped {topic} [0] offsets 10 to 12" in done.stdout

    verdicts = telltale.wait_for(30)
    again = telltale.run("dead-letter", "skip", "telemetry.features", "0", "10")
    assert len({v["verdict_id"] for v in verdicts}) == len(verdicts) == 30
    assert again.returncode == 1
    (letter,) = telltale.read("dead-letter")
    told = headers_of(letter)
    assert (told["telltale.reason"], told["telltale.offset"]) == (b"skipped", b"10")
    assert b"offsets 10 to 12" in told["telltale.detail"]
    telltale.wait_until(lambda: answer(port, "/health/ready")[0] == 200, "it is ready again")
    assert telltale.stop(scorer) == 0


def test_what_is_said_of_large_commands_and_candidates_fits_lifecycle(telltale: Telltale) -> None:
    telltale.create_topics(partitions=1)
    telltale.produce("commands", [(b"k" * 990_000, b"no command")])
    candidate = {
        "profile_id": "p",
        "kind": "features",
        "generation": 0,
        "detector": "blend",
        "artifact": "features/p",
        "sha256": "0" * 64,
        "features": ["a"],
        "trained_on": 1,
        "learned": 1,
        "alert_budget": 0.01,
        "trigger": "samples",
        "trained_at": 0,
        "figures": {"note": "x" * 900_000, "more": ["y" * 900] * 100},
    }
    telltale.produce("candidates", [("p", candidate)])
    records, _ = vectors(profiles=1, count=12, seed=1)
    telltale.produce("telemetry.features", records)
    scorer = telltale.start("score", "--slot", "0", **FEW)

    telltale.wait_for(12)
    events = telltale.wait_for(3, "lifecycle")

    assert {"command_rejected", "refused", "trained"} == {event["event"] for event in events}
    assert telltale.stop(scorer) == 0


@pytest.mark.parametrize("partitions", [2])
def test_a_flood_of_new_profiles_with_thousands_of_samples_each_holds_up_nobody(
    telltale: Telltale, prefix: str, bootstrap: str, partitions: int
) -> None:
    telltale.create_topics(partitions=partitions)
    records, _ = vectors(profiles=1, count=100, seed=1)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    events = [
        {"ear_value": 0.2 + n % 13 / 100, "is_drowsy": n % 9 == 0, "duration_ms": n % 50}
        for n in range(10_000)
    ]
    flood = json.dumps({"events": events}).encode()
    assert len(flood) < 1_000_000
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4"})
    for n in range(150):
        topic = f"{prefix}telemetry.drowsiness"
        producer.produce(topic, key=f"flood-{n}", value=flood, partition=0)
        producer.poll(0)
    for key, value in records:
        topic = f"{prefix}telemetry.features"
        producer.produce(topic, key=key, value=json.dumps(value), partition=1)
    assert producer.flush(60) == 0

    verdicts = telltale.wait_for(250, seconds=180)

    order = [v["profile_id"].startswith("flood") for v in verdicts]
    assert sum(order) == 150
    trained = [e for e in telltale.values("lifecycle") if e["event"] == "trained"]
    assert {e["figures"]["samples"] for e in trained if e["kind"] == "drowsiness"} == {1000}
    assert not [line for line in telltale.log_lines() if line["event"] in ("lost", "revoked")]
    # Scored at, not read at: the good records were answered before the flood was over.
    last_good = max(v["scored_at"] for v in verdicts if not v["profile_id"].startswith("flood"))
    last_flood = max(v["scored_at"] for v in verdicts if v["profile_id"].startswith("flood"))
    assert last_good < last_flood
    assert telltale.stop(scorer) == 0
