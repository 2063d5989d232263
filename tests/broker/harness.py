"""Telltale as its users run it: the command in processes of its own, records in, records out."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.kafka.broker import JvmBroker

COMMAND = str(Path(sys.executable).with_name("telltale"))
STOP_SECONDS = 10.0
"""What the contract gives a role to end after SIGTERM, on a machine that is not overloaded."""

PATIENCE = 240.0
"""Seconds that a condition is waited for: far more than it takes on a machine that is busy."""


def environment_of(bootstrap: str, directory: Path, prefix: str | None = None) -> dict[str, str]:
    """Variables for processes under test: the broker, and names, files and ports of their own."""
    prefix = prefix or f"t{uuid.uuid4().hex[:10]}."
    return {
        "TELLTALE_BOOTSTRAP_SERVERS": bootstrap,
        "TELLTALE_TOPIC_PREFIX": prefix,
        "TELLTALE_APPLICATION": prefix.rstrip("."),
        "TELLTALE_MODEL_DIR": str(directory / "models"),
        "TELLTALE_DATA_DIR": str(directory / "data"),
        "TELLTALE_HTTP_PORT": "0",
    }


def overloaded() -> float:
    """Seconds so far in which something that could run had to wait for a processor or a disk.

    0 where the kernel does not count them (pressure stall information of Linux).
    """
    total = 0
    for resource in ("cpu", "io"):
        with suppress(OSError):
            some = Path(f"/proc/pressure/{resource}").read_text().splitlines()[0]
            total += int(some.rpartition("total=")[2])
    return total / 1e6


class Telltale:
    """One application under test: its topics, its processes and its records.

    ``client`` is what the test's own clients need to log in.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        logs: Path,
        client: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = dict(environment)
        self._bootstrap = environment["TELLTALE_BOOTSTRAP_SERVERS"]
        self._prefix = environment["TELLTALE_TOPIC_PREFIX"]
        self._logs = logs
        self._client = dict(client or {})
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def command(self) -> str:
        """Path of the command."""
        return COMMAND

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of its processes."""
        return os.environ | self._environment | more

    def run(self, *arguments: str, timeout: float = PATIENCE, **variables: str) -> Any:
        """A command that ends by itself."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=os.environ | self._environment | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def create_topics(self, partitions: int = 2) -> None:
        done = self.run("topics", "create", "--partitions", str(partitions))
        assert done.returncode == 0, done.stderr

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """A role; its log goes to a file that a failing assertion can name."""
        name = "-".join(arguments).replace("/", "_")[-100:]
        log = self._logs / f"{name}-{len(self._running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [COMMAND, *arguments],
                env=os.environ | self._environment | variables,
                stdout=file,
                stderr=file,
            )
        self._running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and the exit code; fails when that takes longer than 10 s.

        Time in which the machine had more to run than processors does not count.
        """
        began, held_up = time.monotonic(), overloaded()
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
        took, held_up = time.monotonic() - began, overloaded() - held_up
        assert took - held_up <= STOP_SECONDS, (
            f"it took {took:.1f} s to end, of which the machine was overloaded for {held_up:.1f} s"
        )
        if code:
            print(self.log())  # pytest shows it if the test fails
        return code

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                self.kill(process)

    def log(self) -> str:
        """What the processes logged."""
        return "\n".join(file.read_text() for file in sorted(self._logs.glob("*.log")))

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured log lines of all processes."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def produce(self, topic: str, records: Iterable[tuple[str | bytes, Any]]) -> int:
        """Send records as an upstream producer would; how many there were."""
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                **self._client,
            }
        )
        count = 0
        for key, value in records:
            raw = value if isinstance(value, bytes) or value is None else json.dumps(value)
            producer.produce(self._prefix + topic, key=key, value=raw)
            producer.poll(0)
            count += 1
        assert producer.flush(PATIENCE) == 0
        return count

    def read(self, topic: str) -> list[Message]:
        """All records of a topic that a reader of committed records sees now."""
        consumer = self._reader()
        places = self._places(consumer, topic)
        consumer.assign(places)
        ended: set[int] = set()
        found: list[Message] = []
        deadline = time.monotonic() + PATIENCE
        while len(ended) < len(places):
            assert time.monotonic() < deadline, f"no end of {topic} within {PATIENCE} s"
            for message in consumer.consume(1000, 1.0):
                error = message.error()
                if error is None:
                    found.append(message)
                # Another error passes: a broker that has just come back does not know all at once.
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition() or 0)
        consumer.close()
        return found

    def values(self, topic: str) -> list[dict[str, Any]]:
        """The JSON values of ``read``."""
        return [json.loads(message.value() or b"null") for message in self.read(topic)]

    def wait_for(
        self, count: int, topic: str = "anomalies", seconds: float = PATIENCE
    ) -> list[Any]:
        """The JSON values of a topic once there are ``count`` of them."""
        consumer = self._reader()
        consumer.assign(self._places(consumer, topic))
        found: list[Any] = []
        deadline = time.monotonic() + seconds
        while len(found) < count:
            assert time.monotonic() < deadline, (
                f"{len(found)} of {count} records in {topic} after {seconds} s\n{self.log()}"
            )
            found += [
                json.loads(m.value() or b"null")
                for m in consumer.consume(1000, 0.2)
                if m.error() is None
            ]
        consumer.close()
        return found

    def wait_for_messages(self, count: int, topic: str, seconds: float = PATIENCE) -> list[Message]:
        """The records of a topic once there are ``count`` of them."""
        found: list[Message] = []

        def enough() -> bool:
            found[:] = self.read(topic)
            return len(found) >= count

        self.wait_until(enough, f"{count} records in {topic}", seconds)
        return found

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE
    ) -> None:
        """Return once a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not after {seconds} s\n{self.log()}"
            # What is waited for has the processor meanwhile.
            time.sleep(0.02)

    def _reader(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": f"{self._prefix}test",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                **self._client,
            }
        )

    def _places(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        name = self._prefix + topic
        known = consumer.list_topics(name, timeout=PATIENCE).topics[name].partitions
        return [TopicPartition(name, partition, 0) for partition in known]


def by_profile(verdicts: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Verdicts of each profile in the order of its telemetry."""
    found: dict[str, list[dict[str, Any]]] = {}
    for verdict in sorted(verdicts, key=lambda v: int(v["verdict_id"].rpartition("-")[2])):
        found.setdefault(verdict["profile_id"], []).append(verdict)
    return found


@contextmanager
def on_a_broker_of_its_own(
    directory: Path, variables: Mapping[str, str]
) -> Iterator[tuple[JvmBroker, Telltale]]:
    """A broker that a test may stop, kill or copy, and an application on it."""
    logs = directory / "logs"
    logs.mkdir()
    with JvmBroker(directory / "kafka") as broker:
        telltale = Telltale(environment_of(broker.bootstrap, directory) | dict(variables), logs)
        try:
            yield broker, telltale
        finally:
            telltale.close()
