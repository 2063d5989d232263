"""The bed of the stream's benchmarks: a broker, filled topics, scorers as a user starts them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.kafka import admin as topic_admin
from processor.kafka import config as kafka
from processor.settings import Settings
from processor.topics import Topics
from tests.kafka.broker import JvmBroker, free_ports

PARTITIONS = 8
ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 300.0
TICKS = os.sysconf("SC_CLK_TCK")
Record = tuple[str, int, bytes, bytes]
"""Topic, partition, key, value."""
Offsets = dict[tuple[str, int], int]

# For a broker that shares two cores with its clients; Kafka's own numbers are for a machine's.
HEAP = "1g"
JAVA = (
    "-XX:+IgnoreUnrecognizedVMOptions",  # large pages for the asking are Linux's
    f"-Xms{HEAP}",
    "-XX:+UseTransparentHugePages",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
)
FEW_CORES = {"num.network.threads": "1", "num.io.threads": "2"}


@dataclass(frozen=True)
class Bed:
    """One application's topics on a broker, and where its artefacts and logs are.

    Attributes:
        variables: settings of the scorers beside the defaults, by their names without prefix.
    """

    settings: Settings
    directory: Path
    admin: AdminClient
    variables: Mapping[str, str] = field(default_factory=dict)
    partitions: int = PARTITIONS

    @property
    def names(self) -> Topics:
        return Topics(self.settings.topic_prefix)


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """Address of the broker that ``KAFKA_BOOTSTRAP`` names, else of one started for this."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with (
        tempfile.TemporaryDirectory() as directory,
        JvmBroker(Path(directory), FEW_CORES, heap=HEAP, java=JAVA) as started,
    ):
        yield started.bootstrap


@contextlib.contextmanager
def bed(
    bootstrap: str, name: str, partitions: int = PARTITIONS, **variables: object
) -> Iterator[Bed]:
    """Topics under a prefix of their own, deleted at the end with everything else."""
    prefix = f"{name}-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            _env_file=None,
            bootstrap_servers=bootstrap,
            topic_prefix=f"{prefix}.",
            application=prefix,
            model_dir=f"{directory}/models",
        )
        # Held for as long as the bed: what it was asked fails once it is let go of.
        admin = AdminClient(kafka.base(settings))
        own = {name: str(value) for name, value in variables.items()}
        made = Bed(settings, Path(directory), admin, own, partitions)
        topic_admin.create(admin, made.names, partitions, 1)
        try:
            yield made
        finally:
            for future in admin.delete_topics(list(made.names.configs())).values():
                future.result()


def fill(settings: Settings, records: Iterable[Record]) -> int:
    """Write records in their order within each partition; how many."""
    config = kafka.plain_producer(settings) | {"queue.buffering.max.messages": 1_000_000}
    producer = Producer(config | {"linger.ms": 50})
    failed: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error.str())

    written = 0
    for topic, partition, key, value in records:
        while True:
            try:
                producer.produce(
                    topic, key=key, value=value, partition=partition, on_delivery=delivered
                )
                break
            except BufferError:
                producer.poll(0.1)
        written += 1
        if not written % 10_000:
            producer.poll(0)
    if producer.flush(120):
        raise RuntimeError("the broker did not take the records within 120 s")
    if failed:
        raise RuntimeError(f"{len(failed)} of {written} records were not taken: {failed[0]}")
    return written


def ends(admin: AdminClient, names: Iterable[str], partitions: int = PARTITIONS) -> Offsets:
    """End of each partition of some topics."""
    places = [TopicPartition(topic, p) for topic in names for p in range(partitions)]
    found = admin.list_offsets({place: OffsetSpec.latest() for place in places})
    return {(p.topic, p.partition): int(f.result().offset) for p, f in found.items()}


def inputs(names: Topics) -> tuple[str, ...]:
    """Topics that a scorer is subscribed to."""
    return (*names.kinds(), names.commands, names.candidates)


def commit(settings: Settings, group: str, offsets: Offsets) -> None:
    """Commit offsets for a group that nobody is in."""
    consumer = Consumer(kafka.base(settings) | {"group.id": group})
    places = [TopicPartition(topic, p, offset) for (topic, p), offset in offsets.items()]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()


def empty(admin: AdminClient, names: Iterable[str], partitions: int = PARTITIONS) -> None:
    """Delete the records of topics, so that repetitions do not fill the disk."""
    places = [TopicPartition(topic, p, -1) for topic in names for p in range(partitions)]
    for future in admin.delete_records(places).values():
        future.result()


@dataclass(frozen=True)
class Running:
    """A process under measurement, and the file that all it says goes to."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int | None = None

    def check(self) -> None:
        """Raise what it said where it ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f"ended with {self.process.returncode}:\n{self.said()[-3000:]}")

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def resident(self) -> int:
        """Bytes resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def cpu(self) -> float:
        """Seconds of processor time taken, all threads."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS

    def metric(self, name: str, label: str = "") -> float:
        """Sum of a metric's samples, of those alone that have a label as ``kind="features"``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(f"{name}{{") and label in line
        )

    def ready(self) -> bool:
        """Whether ``/health/ready`` says so."""
        try:
            url = f"http://127.0.0.1:{self.port}/health/ready"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def running(
    command: Sequence[str],
    directory: Path,
    variables: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Running]:
    """A process, ended by SIGTERM, by SIGKILL after 20 s."""
    log = directory / f"{uuid.uuid4().hex[:8]}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | (variables or {}), stdout=file, stderr=file
        )
    try:
        yield Running(process, log, port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def role(
    bed: Bed, command: str, slot: str = "0", arguments: Sequence[str] = (), **more: object
) -> Iterator[Running]:
    """``telltale score``, ``retrain`` or ``ingest`` as a user starts it."""
    (port,) = free_ports(1)
    own = {
        "bootstrap_servers": bed.settings.bootstrap_servers,
        "topic_prefix": bed.settings.topic_prefix,
        "application": bed.settings.application,
        "model_dir": bed.settings.model_dir,
        "slot": slot,
        "http_port": str(port),
        "log_format": "json",
        **bed.variables,
        **{name: str(value) for name, value in more.items()},
    }
    variables = {f"TELLTALE_{name.upper()}": value for name, value in own.items()}
    program = str(Path(sys.executable).with_name("telltale"))
    with running([program, command, *arguments], bed.directory, variables, port) as started:
        yield started


def wait(
    started: Iterable[Running],
    condition: Callable[[], bool],
    seconds: float = PATIENCE_SECONDS,
    every: float = 0.02,
) -> None:
    """Return once a condition holds, looked at every so many seconds.

    Raises:
        RuntimeError: a process ended, or the time is over.
    """
    deadline = monotonic() + seconds
    while not condition():
        for one in started:
            one.check()
        if monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s")
        sleep(every)
