"""Partitions that only some topics have: told as unread, while the others are answered."""

import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from processor.topics import Topics
from tests.broker.harness import Telltale

FEATURES = "telemetry.features"


class Application:
    """A scorer that hears of new partitions within a second, and its broker."""

    def __init__(self, telltale: Telltale, bootstrap: str, prefix: str, directory: Path) -> None:
        properties = directory / "client.properties"
        properties.write_text("topic.metadata.refresh.interval.ms=1000\n")
        self.telltale = telltale
        self.prefix = prefix
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        telltale.create_topics(2)
        self.process = telltale.start("score", TELLTALE_KAFKA_CONFIG=str(properties))
        telltale.wait_until(lambda: self.ready() is None, "ready")

    def ready(self) -> str | None:
        """Why it is not ready."""
        try:
            self._get("/health/ready")
        except HTTPError as error:
            return error.read().decode()
        except (OSError, IndexError):
            return "starting"
        return None

    def metric(self, name: str) -> float | None:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self._get("/metrics"), re.M)
        return None if found is None else float(found[1])

    def lag(self, topic: str, partition: int) -> float | None:
        labels = f'partition="{partition}",role="scorer",topic="{self.prefix}{topic}"'
        return self.metric(f"telltale_consumer_lag{{{labels}}}")

    def grow(self, partitions: int, *topics: str) -> None:
        wanted = [NewPartitions(f"{self.prefix}{topic}", partitions) for topic in topics]
        for future in self._admin.create_partitions(wanted).values():
            future.result(30)

    def send(self, partition: int, count: int) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap})
        for _ in range(count):
            value = b'{"values": [1, 2]}'
            producer.produce(f"{self.prefix}{FEATURES}", value, "p", partition=partition)
        assert producer.flush(30) == 0

    def _get(self, path: str) -> str:
        lines = self.telltale.log_lines()
        port = [line["port"] for line in lines if line["event"] == "listening"][-1]
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture
def application(telltale: Telltale, bootstrap: str, prefix: str, tmp_path: Path) -> Application:
    return Application(telltale, bootstrap, prefix, tmp_path)


def others(topics: Topics, *without: str) -> list[str]:
    return [name for name in topics.configs() if name not in without]


def test_partitions_added_to_one_input_are_told_and_taken_up_once_all_topics_have_them(
    application: Application, telltale: Telltale
) -> None:
    application.grow(4, FEATURES)
    # At first it knows the topics' new counts in part only.
    remedy = "kafka-topics.sh --alter"
    telltale.wait_until(lambda: remedy in (application.ready() or ""), "not ready, and why")
    application.send(partition=3, count=7)
    application.send(partition=1, count=5)
    telltale.wait_for(5)
    telltale.wait_until(lambda: application.lag(FEATURES, 3) == 7, "the unread are in the lag")

    def told() -> bool:
        why = application.ready() or ""
        return f"{application.prefix}{FEATURES} [2, 3]" in why and remedy in why

    # While the group divides the new partitions, it may know a part of the counts again.
    telltale.wait_until(told, "not ready, and why")
    assert application.metric('telltale_ready{role="scorer"}') == 0
    assert application.metric('telltale_unread_partitions{role="scorer"}') == 2
    assert application.lag(FEATURES, 2) == 0
    assert len(telltale.values("anomalies")) == 5

    application.grow(4, *others(Topics(), FEATURES))
    telltale.wait_until(lambda: application.ready() is None, "ready again")
    telltale.wait_until(lambda: application.lag(FEATURES, 3) == 0, "all are answered")
    assert len(telltale.values("anomalies")) == 12
    assert application.metric('telltale_unread_partitions{role="scorer"}') == 0
    assert telltale.stop(application.process) == 0


def test_partitions_that_the_outputs_lack_are_told_and_taken_up_without_a_rebalance(
    application: Application, telltale: Telltale
) -> None:
    inputs = [*Topics().kinds(), "commands", "candidates"]
    application.grow(3, *inputs)
    telltale.wait_until(lambda: "nobody answers" in (application.ready() or ""), "not ready")
    application.send(partition=2, count=4)
    application.send(partition=0, count=6)
    telltale.wait_for(6)
    telltale.wait_until(lambda: application.lag(FEATURES, 2) == 4, "the unread are in the lag")

    assert application.process.poll() is None
    assert "aborted" not in {line["event"] for line in telltale.log_lines()}

    application.grow(3, *others(Topics(), *inputs))
    telltale.wait_until(lambda: application.ready() is None, "ready again")
    telltale.wait_until(lambda: application.lag(FEATURES, 2) == 0, "all are answered")
    assert len(telltale.values("anomalies")) == 10
    assert telltale.stop(application.process) == 0
