"""A world without a broker: transactional logs, a group, and processes that die at any point.

It states what Kafka promises (a transaction is there whole or not at all; a process that is no
longer of its group commits nothing) and nothing of how. The roles are the product's own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry

from models import artifacts
from models.artifacts import Artifact, Model
from models.errors import ArtifactError, ArtifactUnavailable
from models.naming import profile_directory
from processor.artifacts.model_store import ModelStore
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord, Headers, Partition, Position, ProducerRecord
from processor.retrainer.role import RetrainerRole
from processor.scorer.role import ScorerRole
from processor.settings import Settings
from processor.state.profile_codec import SHIFT
from processor.state.ring_codec import HEAD, decode_slot, parse_key
from processor.stream.step import Step
from processor.topics import Topics

PARTITIONS = 2
TOPICS = Topics()
COLD_START = 4
SETTINGS = Settings(
    _env_file=None,
    partitions=PARTITIONS,
    cold_start_samples=COLD_START,
    detector="gaussian",
    detector__series="forecast",
    cold_start_samples__series=32,
    retrain_samples=5,
    pool_samples=12,
    shift_samples=5,
    trainings_per_step=2,
    max_learning_profiles=1,
    profile_ttl_days=40 / (24 * 60),
)
LOG = structlog.wrap_logger(structlog.testing.CapturingLogger())


@dataclass
class Disk:
    """The model directory that all processes share; its next writes may fail."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    failing: int = 0

    writers = 1

    def shared_secret(self) -> bytes:
        return b"s" * 32

    def read(self, path: str, sha256: str) -> Model:
        if path not in self.payloads:
            raise ArtifactError(f"{path}: not there")
        return artifacts.unpack(self.payloads[path], sha256)

    def write(self, artifact: Artifact) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("no space left")
        self.payloads[artifact.path] = artifact.payload

    def erase(self, directory: str, kept: Collection[str], *, before: int | None = None) -> bool:
        """Nothing here is older than any ``before``: the world is young."""
        if before is None:
            for path in [path for path in self.payloads if path.startswith(f"{directory}/")]:
                if path not in kept:
                    del self.payloads[path]
        return True

    def delete(self, directory: str, chosen: Callable[[str], bool]) -> list[str]:
        if self.failing:
            self.failing -= 1
            raise ArtifactUnavailable("the disk does not answer")
        found = [path for path in self.payloads if path.rpartition("/")[0] == directory]
        deleted = [path for path in found if chosen(path.rpartition("/")[2])]
        for path in deleted:
            del self.payloads[path]
        return [path.rpartition("/")[2] for path in deleted]


@dataclass
class Kafka:
    """Logs of committed records, and each group's committed offsets."""

    logs: dict[Partition, list[ConsumerRecord]] = field(default_factory=lambda: defaultdict(list))
    offsets: dict[str, dict[Partition, int]] = field(default_factory=lambda: defaultdict(dict))
    now: int = 1_700_000_000_000

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        log = self.logs[topic, partition]
        log.append(ConsumerRecord(topic, partition, len(log), key, value, headers, self.now))

    def commit(
        self, group: str, outputs: Sequence[ProducerRecord], offsets: dict[Partition, int]
    ) -> None:
        for out in outputs:
            headers = tuple(out.headers or ())
            self.append(out.topic, out.partition, out.key, out.value, headers)
        self.offsets[group] |= offsets

    def compacted(self, topic: str, partition: int) -> Iterator[ConsumerRecord]:
        """The log as compaction leaves it: the newest record of each key, tombstones included."""
        newest = {record.key: record for record in self.logs[topic, partition]}
        yield from sorted(newest.values(), key=lambda record: record.offset)

    def values(self, topic: str, partition: int) -> list[Any]:
        return [orjson.loads(record.value or b"null") for record in self.logs[topic, partition]]


class Following:
    """What the retrainer follows, read from the logs."""

    def __init__(self, kafka: Kafka, positions: Iterable[Position]) -> None:
        self._kafka = kafka
        self._next = {(topic, partition): offset for topic, partition, offset in positions}
        self._seen = dict(self._next)

    def poll(self) -> list[ConsumerRecord]:
        """What was there at the look before: the table may lag behind."""
        found = []
        for place, offset in self._next.items():
            found += self._kafka.logs[place][offset : self._seen[place]]
            self._next[place] = max(offset, self._seen[place])
            self._seen[place] = len(self._kafka.logs[place])
        return found

    def reach(self, place: Partition) -> list[ConsumerRecord]:
        found = self._kafka.logs[place][self._next[place] :]
        self._next[place] = len(self._kafka.logs[place])
        return found

    def close(self) -> None:
        """Nothing is held."""


class Process:
    """A role with its partitions; it polls, computes, commits and dies when it is told to."""

    def __init__(self, name: str, kafka: Kafka, disk: Disk) -> None:
        self.name = name
        self._kafka = kafka
        self._disk = disk
        self.epoch = 0
        self.partitions: tuple[int, ...] = ()
        self.positions: dict[Partition, int] = {}
        self.unprocessed: Sequence[ConsumerRecord] = ()
        self.role = self._born()

    def _born(self) -> Any:
        store = ModelStore(self._disk, SETTINGS.model_memory)
        metrics = Metrics(CollectorRegistry())
        if self.name == "scorer":
            return ScorerRole(SETTINGS, store, metrics, LOG, retention=lambda *_: {})
        return RetrainerRole(
            SETTINGS, store, metrics, LOG, follow=lambda _, places: Following(self._kafka, places)
        )

    def crash(self) -> None:
        """Lose all memory, and start again with the same partitions."""
        self.role = self._born()
        self.assign(self.partitions, self.epoch)

    def assign(self, partitions: Iterable[int], epoch: int) -> None:
        """Take partitions, and restore them."""
        self.partitions = tuple(partitions)
        self.epoch = epoch
        self.unprocessed = ()
        self.role.drop()
        for topic in self.role.changelogs:
            for partition in self.partitions:
                for record in self._kafka.compacted(topic, partition):
                    self.role.load(record)
        self.role.restored(self.partitions)
        committed = self._kafka.offsets[self.name]
        self.positions = {
            (topic, partition): committed.get((topic, partition), 0)
            for topic in self.role.inputs
            for partition in self.partitions
        }
        for place, newest in self.role.restored_offsets().items():
            if place in self.positions:
                assert self.positions[place] > newest, f"state ahead of the offsets at {place}"

    def poll(self, most: int, ready: Step[Any] | None = None) -> Sequence[ConsumerRecord]:
        """The next records of each input, at most so many of each; a rest comes first.

        Args:
            ready: a Step that is computed and not committed, behind which they come.
        """
        if self.unprocessed:
            return self.unprocessed
        positions = self.positions | (ready.offsets if ready is not None else {})
        return [
            record
            for place, offset in positions.items()
            for record in self._kafka.logs[place][offset : offset + most]
        ]

    def step(self, most: int, now: int, ready: Step[Any] | None = None) -> Step[Any] | None:
        """The Step of the next records, or of what is due without any; ``ready`` as in ``poll``."""
        records = self.poll(most, ready)
        if ready is not None and not records:
            return None
        if not self.poll(1, ready) and ready is None:
            self.role.set_watermark(now)
        try:
            step: Step[Any] | None = (
                self.role.compute(records, now) if records else self.role.idle(now)
            )
        except ArtifactUnavailable:
            self.unprocessed = ()
            return None
        return step

    def commit(self, step: Step[Any], epoch: int) -> bool:
        """Commit a Step; a process of a past epoch is fenced."""
        if self.epoch != epoch:
            return False
        self._kafka.commit(self.name, step.outputs, step.offsets)
        return True

    def apply(self, step: Step[Any]) -> None:
        """Take over a committed Step."""
        self.role.apply(step)
        self.positions |= step.offsets
        self.unprocessed = step.unprocessed


def check(kafka: Kafka) -> None:
    """Whether all that was promised holds in the logs as they are now."""
    for partition in range(PARTITIONS):
        telemetry = TOPICS.telemetry("features")
        answered = kafka.offsets["scorer"].get((telemetry, partition), 0)
        verdicts = kafka.values(TOPICS.anomalies, partition)
        answers = Counter(verdict["verdict_id"] for verdict in verdicts)
        answers.update(
            f"{telemetry}-{partition}-{offset}"
            for offset in range(answered)
            if kafka.logs[telemetry, partition][offset].value == BAD
        )
        wanted = [f"{telemetry}-{partition}-{offset}" for offset in range(answered)]
        assert answers == Counter(wanted), "each record has one verdict, or is a dead letter"
        letters = [record.value for record in kafka.logs[TOPICS.dead_letter, partition]]
        assert letters.count(BAD) == sum(
            record.value == BAD for record in kafka.logs[telemetry, partition][:answered]
        )
        _check_learning(verdicts)
        _check_samples(kafka, partition)
        _check_versions(kafka, partition)
        normal = Counter(
            v["verdict_id"] for v in verdicts if v["status"] == "scored" and not v["anomaly"]
        )
        accepted = Counter(
            sample["verdict_id"]
            for sample in kafka.values(TOPICS.accepted, partition)
            if "mark" not in sample
        )
        assert accepted == normal, "each accepted verdict is written once"
        events = kafka.values(TOPICS.lifecycle, partition)
        told = sum(event["event"] == "drifting" for event in events)
        marks = {
            (mark["profile_id"], mark["command_id"])
            for mark in kafka.values(TOPICS.accepted, partition)
            if mark.get("trigger") == "drift" and mark["mark"] == "retrain"
        }
        assert len(marks) == told, "each flag of drift has its event and its mark"


def _check_learning(verdicts: Iterable[dict[str, Any]]) -> None:
    seen: dict[tuple[str, int], int] = defaultdict(int)
    for verdict in verdicts:
        if verdict["status"] == "learning":
            place = (verdict["profile_id"], verdict["generation"])
            seen[place] += 1
            assert verdict["samples_seen"] == seen[place], "learning counts 1, 2, 3, …"


def _check_samples(kafka: Kafka, partition: int) -> None:
    """No record is among the samples of a profile twice, those of a new normal included."""
    held: set[tuple[str, str, int, int]] = set()
    for record in kafka.compacted(TOPICS.cold_start, partition):
        kind, profile_id, number = parse_key(record.key or b"")
        if record.value is not None and number != HEAD:
            slot = decode_slot(record.value)
            sample = (kind, profile_id, slot.generation, slot.offset)
            assert sample not in held, "a record is kept once"
            held.add(sample)


def _check_versions(kafka: Kafka, partition: int) -> None:
    newest: dict[tuple[bytes | None, int], int] = defaultdict(int)
    for record in kafka.logs[TOPICS.models, partition]:
        if record.value is not None:
            announced = orjson.loads(record.value)
            place = (record.key, announced["generation"])
            newest[place] += 1
            assert announced["version"] == newest[place], "versions go up by one"
    shifts = Counter(
        (record.key, (said := orjson.loads(record.value))["generation"], said["version"])
        for record in kafka.logs[TOPICS.models, partition]
        if record.value is not None and b'"trigger":"shift"' in record.value
    )
    told = Counter(
        (f"features:{event['profile_id']}".encode(), event["generation"], event["version"])
        for event in kafka.values(TOPICS.lifecycle, partition)
        if event["event"] == "adopted" and "known" in (event["figures"] or {})
    )
    assert shifts == told, "a new normal is adopted once, and told"


def check_retrainer(kafka: Kafka) -> None:
    """Whether the retrainer counted each sample once, and each forget was confirmed once."""
    for partition in range(PARTITIONS):
        _check_pools(kafka, partition)
        _check_receipts(kafka, partition)


def _check_pools(kafka: Kafka, partition: int) -> None:
    """The counters of each pool are what was accepted up to the record that they name."""
    log = kafka.logs[TOPICS.accepted, partition]
    for record in kafka.compacted(TOPICS.pool, partition):
        name = (record.key or b"").decode()
        if record.value is None or not name.endswith(f":{HEAD}"):
            continue
        head = orjson.loads(record.value)
        seen = [orjson.loads(accepted.value or b"") for accepted in log[: head["offset"] + 1]]
        own = [
            sample
            for sample in seen
            if f"features:{sample['profile_id']}:{HEAD}" == name
            and sample["generation"] == head["generation"]
        ]
        obeyed = {
            sample["command_id"]: n
            for n, sample in reversed([*enumerate(own)])
            if sample.get("mark") == "rollback" and sample["command_id"] != FORGED
        }
        rollbacks = sorted(obeyed.values())
        since = own[rollbacks[-1] + 1 :] if rollbacks else own
        counted = sum(len(sample["vectors"]) for sample in since if "mark" not in sample)
        assert head["accepted"] == counted, "each accepted sample is counted once"


def _check_receipts(kafka: Kafka, partition: int) -> None:
    """A forget is confirmed by the scorer once, and once by the retrainer for each mark."""
    events = kafka.values(TOPICS.lifecycle, partition)
    receipts = Counter(
        (event["command_id"], event["role"]) for event in events if event["event"] == "forgotten"
    )
    own = {count for (command, _), count in receipts.items() if command != FORGED}
    assert own <= {1}, "no forget is confirmed twice"
    done = kafka.offsets["retrainer"].get((TOPICS.accepted, partition), 0)
    accepted = kafka.values(TOPICS.accepted, partition)[:done]
    marks = {item["command_id"] for item in accepted if item.get("mark") == "forget"}
    confirmed = {command for command, role in receipts if role == "retrainer"}
    assert marks - {FORGED} == confirmed - {FORGED}


def check_disk(kafka: Kafka, disk: Disk) -> None:
    """Whether whatever is announced is there."""
    for partition in range(PARTITIONS):
        for record in kafka.compacted(TOPICS.models, partition):
            if record.value is not None:
                artifact = orjson.loads(record.value)["artifact"]
                assert artifact in disk.payloads, "an announced artefact is gone"


def check_forgotten(kafka: Kafka, disk: Disk, profile: str) -> None:
    """Whether nothing is left of a profile, anywhere that does not age out."""
    for partition in range(PARTITIONS):
        for topic in (TOPICS.models, TOPICS.cold_start, TOPICS.profiles, TOPICS.pool):
            for record in kafka.compacted(topic, partition):
                name = (record.key or b"").removeprefix(SHIFT).decode()
                owner = name.partition(":")[2].partition(":")[0]
                assert owner != profile or record.value is None, f"{topic}: {record.key!r}"
        directory = profile_directory("features", profile, partition)
        left = [path for path in disk.payloads if path.startswith(f"{directory}/")]
        assert not left, "artefacts are left"


BAD = b"not telemetry"
FORGED = "forged"
"""Command id of marks that the scorer has not written."""
