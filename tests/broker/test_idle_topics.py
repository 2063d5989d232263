"""Idle topics are looked at now and then while another is busy; nothing of them is lost or doubled.

The scorer runs in this process; a topic counts as idle as soon as its ends were told, and looks at
it are more frequent than elsewhere.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from processor.metrics.metrics import Metrics
from processor.runtime import process
from processor.settings import Settings, load
from processor.stream import idle_partitions
from processor.stream.idle_partitions import IdlePartitions, PauseResume
from tests.broker.harness import PATIENCE, Telltale

PARTITIONS = 2
LOOKS = 25


class Pauses:
    """How often each partition was paused."""

    def __init__(self) -> None:
        self._counted: Counter[tuple[str, int]] = Counter()

    def note(self, change: PauseResume) -> None:
        self._counted.update(change.pause)

    def of(self, topic: str) -> int:
        """How often all partitions of a topic were."""
        return min(self._counted[topic, partition] for partition in range(PARTITIONS))

    def again(self, topic: str) -> Callable[[], bool]:
        """Whether a topic was paused, looked at and paused again since this was called."""
        before = self.of(topic)
        return lambda: self.of(topic) > before + 1


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    found = Pauses()

    class Noted(IdlePartitions):
        def change(self, now: float) -> PauseResume:
            change = super().change(now)
            found.note(change)
            return change

    monkeypatch.setattr(idle_partitions, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(idle_partitions, "PROBE_INTERVAL", 0.05)
    monkeypatch.setattr(idle_partitions, "IdlePartitions", Noted)
    return found


class Upstream:
    """A producer of ``features`` that never rests, and of other kinds when it is told to."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.sent = 0
        self._prefix = prefix
        self._plain = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        own = {"bootstrap.servers": bootstrap, "transactional.id": f"{prefix}upstream"}
        self._transactional = Producer(own)
        self._transactional.init_transactions(120)

    def busy(self) -> None:
        """A record for each partition."""
        for partition in range(PARTITIONS):
            values = {"a": self.sent, "b": -self.sent}
            self._send(self._plain, "features", partition, {"values": values})
        assert self._plain.flush(120) == 0

    def transaction(self, kind: str, value: dict[str, Any]) -> None:
        """A record for each partition, and behind each a control record."""
        self._transactional.begin_transaction()
        for partition in range(PARTITIONS):
            self._send(self._transactional, kind, partition, value)
        self._transactional.commit_transaction(120)

    def _send(self, producer: Producer, kind: str, partition: int, value: dict[str, Any]) -> None:
        topic = f"{self._prefix}telemetry.{kind}"
        producer.produce(topic, json.dumps(value), f"p{partition}", partition)
        self.sent += 1


@contextmanager
def scoring(telltale: Telltale, settings: Settings) -> Iterator[None]:
    """A scorer that reads, and never ends by itself."""
    worker = process.build(settings, ["scorer"], Metrics(CollectorRegistry()))["scorer"]
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        telltale.wait_until(lambda: worker.health.ready() is None, "the scorer is ready")
        yield
    finally:
        worker.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert worker.health.fatal is None


@pytest.fixture
def settings(bootstrap: str, prefix: str, tmp_path: Path) -> Settings:
    return load(
        bootstrap_servers=bootstrap,
        topic_prefix=prefix,
        application=prefix.rstrip("."),
        model_dir=str(tmp_path / "models"),
    )


@pytest.fixture
def upstream(
    telltale: Telltale, settings: Settings, bootstrap: str, prefix: str
) -> Iterator[Upstream]:
    """Beside it a scorer that answers what is sent."""
    telltale.create_topics(PARTITIONS)
    with scoring(telltale, settings):
        yield Upstream(bootstrap, prefix)


@contextmanager
def flowing(upstream: Upstream) -> Iterator[None]:
    """Telemetry while the block runs."""
    over = threading.Event()

    def flow() -> None:
        while not over.is_set():
            upstream.busy()

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)


def series(number: int) -> dict[str, Any]:
    return {"timestamps": [number, number + 1], "values": [1, number]}


def eyes(number: int) -> dict[str, Any]:
    return {"ear_value": 0.3, "is_drowsy": False, "duration_ms": number}


def test_records_of_idle_topics_are_answered_each_once_and_in_order(
    telltale: Telltale, upstream: Upstream, pauses: Pauses, prefix: str
) -> None:
    rare = [f"{prefix}telemetry.series", f"{prefix}telemetry.drowsiness"]

    def seen_often_enough() -> bool:
        upstream.busy()
        if upstream.sent % 3 == 0:
            upstream.transaction("series", series(upstream.sent))
        if upstream.sent % 5 == 0:
            telltale.produce("telemetry.drowsiness", [("d", eyes(upstream.sent))])
        return all(pauses.of(topic) >= LOOKS for topic in rare)

    telltale.wait_until(seen_often_enough, f"idle topics are paused {LOOKS} times")

    drowsy = len(telltale.read("telemetry.drowsiness"))
    verdicts = telltale.wait_for(upstream.sent + drowsy)
    assert drowsy > 0
    assert set(Counter(v["verdict_id"] for v in telltale.values("anomalies")).values()) == {1}
    assert len(verdicts) == upstream.sent + drowsy
    for kind in ("series", "drowsiness"):
        for partition in range(PARTITIONS):
            answered = offsets(verdicts, f"{prefix}telemetry.{kind}", partition)
            assert answered == sorted(answered)
    assert telltale.read("dead-letter") == []


def test_a_record_behind_control_records_that_were_deleted_is_answered(
    telltale: Telltale, upstream: Upstream, pauses: Pauses, bootstrap: str, prefix: str
) -> None:
    topic = f"{prefix}telemetry.series"
    with flowing(upstream):
        upstream.transaction("series", series(1))
        wait_for_verdicts(telltale, topic, PARTITIONS)
        telltale.wait_until(pauses.again(topic), "the topic is paused again")
        admin = AdminClient({"bootstrap.servers": bootstrap})
        everything = [TopicPartition(topic, p, OFFSET_END) for p in range(PARTITIONS)]
        for place, future in admin.delete_records(everything).items():
            # The record and its control record.
            assert future.result().low_watermark == 2, place
        telltale.wait_until(pauses.again(topic), "the topic is paused again")
        upstream.transaction("series", series(2))
        wait_for_verdicts(telltale, topic, 2 * PARTITIONS)


def test_a_command_is_obeyed_while_telemetry_flows(
    telltale: Telltale, upstream: Upstream, pauses: Pauses, prefix: str
) -> None:
    with flowing(upstream):
        for until in ("1h", "2h"):
            telltale.wait_until(pauses.again(f"{prefix}commands"), "commands are paused")
            done = telltale.run("profile", "suppress", "p0", "--until", until)
            assert done.returncode == 0, done.stderr


def test_what_was_paused_when_partitions_moved_is_read_by_who_gets_them(
    telltale: Telltale, settings: Settings, upstream: Upstream, pauses: Pauses, prefix: str
) -> None:
    topic = f"{prefix}telemetry.series"
    with flowing(upstream):
        for number in (1, 2):
            telltale.wait_until(pauses.again(topic), "the topic is paused")
            with scoring(telltale, settings):
                upstream.transaction("series", series(2 * number))
                wait_for_verdicts(telltale, topic, (2 * number - 1) * PARTITIONS)
            upstream.transaction("series", series(2 * number + 1))
            wait_for_verdicts(telltale, topic, 2 * number * PARTITIONS)


def offsets(verdicts: list[Any], topic: str, partition: int) -> list[int]:
    """Offsets of the telemetry that verdicts are about, in the order of the verdicts."""
    before = f"{topic}-{partition}-"
    ids = [verdict["verdict_id"] for verdict in verdicts]
    return [int(one.removeprefix(before)) for one in ids if one.startswith(before)]


def wait_for_verdicts(telltale: Telltale, topic: str, count: int) -> None:
    def there() -> bool:
        verdicts = telltale.values("anomalies")
        return sum(len(offsets(verdicts, topic, p)) for p in range(PARTITIONS)) >= count

    telltale.wait_until(there, f"{count} verdicts on {topic}")
