"""``telltale backtest TOPIC``: telemetry, verdicts and announcements read from Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from os import fsencode
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pydantic import ValidationError

from models.errors import ArtifactUnavailable
from processor.artifacts.model_store import ModelStore
from processor.artifacts.storage import storage
from processor.backtest.comparison import Comparison, ComparisonPlan
from processor.backtest.history import VerdictHistory, Versions, verdict_of
from processor.backtest.replay import Replay
from processor.backtest.report import ReplayOutcome, Report
from processor.backtest.retraining import Retraining
from processor.dead_letter import letter
from processor.kafka.consuming import REQUEST_TIMEOUT
from processor.kafka.reading import ToolError, admin_client, places_of, read
from processor.records import ConsumerRecord, DeadLetter, Partition
from processor.settings import Settings
from processor.text.headers import header_number
from processor.topics import Topics
from schemas import InvalidJson, ModelRecord, explain, parse_object


@dataclass(frozen=True)
class Range:
    """Which telemetry is compared.

    Attributes:
        topic: its whole name.
        since: record timestamp of the first, epoch milliseconds; all where None.
        profile: only this profile's.
    """

    topic: str
    since: int | None = None
    profile: str | None = None

    def wants(self, record: ConsumerRecord) -> bool:
        return self.profile is None or record.key == fsencode(self.profile)


def compare(
    settings: Settings, wanted: Range, plan: ComparisonPlan, now: int, report: Report
) -> Iterator[ReplayOutcome]:
    """What was said of the telemetry that a topic holds, and what is said now, record by record.

    Verdicts of one partition are in memory at a time. Nothing is written, and no offset committed.

    Args:
        now: epoch milliseconds; the clock of the whole run.
        report: filled on the way.

    Raises:
        ToolError: a topic is missing, or the model directory does not answer.
        KafkaException: the broker did not answer, or refused.
    """
    topics = Topics(settings.topic_prefix)
    admin = admin_client(settings)
    needed = (wanted.topic, topics.anomalies, topics.models, topics.dead_letter)
    places = places_of(admin, needed)
    versions = versions_of(settings, admin, places, topics)
    letters = letters_of(settings, admin, places, topics, wanted)
    store = ModelStore(storage(settings), settings.model_memory)
    starts = _starts(admin, wanted, places)
    for place in places:
        if place.topic != wanted.topic:
            continue
        number = place.partition
        said = said_of(settings, admin, TopicPartition(topics.anomalies, number), wanted)
        said.letters.update(letters.get(number, {}))
        telemetry = _telemetry(settings, admin, place, starts, said, wanted, plan)
        with ExitStack() as stack:
            retraining = None
            if plan.retrain:
                directory = Path(stack.enter_context(TemporaryDirectory(prefix="telltale-")))
                retraining = Retraining(settings, directory, report.retrained, number)
            replay = Replay(settings, topics, now, store.open, retraining)
            comparison = Comparison(replay, versions, said, plan, report)
            try:
                yield from comparison.run(telemetry)
            except ArtifactUnavailable as error:
                raise ToolError(f"the model directory does not answer: {error}") from None


def versions_of(
    settings: Settings, admin: AdminClient, places: list[TopicPartition], topics: Topics
) -> Versions:
    """The versions of which the ``models`` topic still tells; a tombstone takes none back."""
    versions = Versions()
    for record in read(settings, admin, [p for p in places if p.topic == topics.models]):
        if record.value is not None:
            try:
                announced = ModelRecord.model_validate(parse_object(record.value))
            except (InvalidJson, ValidationError) as error:
                where = f"{record.topic} [{record.partition}] offset {record.offset}"
                why = explain(error) if isinstance(error, ValidationError) else error
                raise ToolError(f"{where}: not an announcement: {why}") from None
            versions.add(record.partition, announced)
    return versions


def letters_of(
    settings: Settings,
    admin: AdminClient,
    places: list[TopicPartition],
    topics: Topics,
    wanted: Range,
) -> dict[int, dict[int, DeadLetter]]:
    """Dead letters of the telemetry by partition and offset."""
    found: dict[int, dict[int, DeadLetter]] = {}
    for record in read(settings, admin, [p for p in places if p.topic == topics.dead_letter]):
        if wanted.wants(record):
            told = letter(record)
            partition, offset = told.partition, told.offset
            if told.topic == wanted.topic and partition is not None and offset is not None:
                found.setdefault(partition, {})[offset] = DeadLetter(told.reason, told.detail)
    return found


def said_of(
    settings: Settings, admin: AdminClient, place: TopicPartition, wanted: Range
) -> VerdictHistory:
    """The verdicts on the telemetry of a partition."""
    said = VerdictHistory()
    start = f"{wanted.topic}-{place.partition}-"
    for record in read(settings, admin, [place]):
        if wanted.wants(record) and record.value is not None:
            verdict = verdict_of(record.value)
            identity = "" if verdict is None else verdict["verdict_id"]
            if identity.startswith(start):
                offset = header_number(identity.removeprefix(start).encode())
                if offset is not None:
                    said.add(offset, record.value)
    return said


def _starts(
    admin: AdminClient, wanted: Range, places: list[TopicPartition]
) -> dict[Partition, int]:
    """Offset of the first record in range of each partition of the telemetry."""
    own = [TopicPartition(p.topic, p.partition) for p in places if p.topic == wanted.topic]
    if wanted.since is None:
        return {(p.topic, p.partition): 0 for p in own}
    spec = OffsetSpec.for_timestamp(wanted.since)
    futures = admin.list_offsets(dict.fromkeys(own, spec), request_timeout=REQUEST_TIMEOUT)
    found = {(p.topic, p.partition): future.result().offset for p, future in futures.items()}
    # No record is as young as that: -1.
    return {place: 2**62 if offset < 0 else offset for place, offset in found.items()}


def _telemetry(
    settings: Settings,
    admin: AdminClient,
    place: TopicPartition,
    starts: dict[Partition, int],
    said: VerdictHistory,
    wanted: Range,
    plan: ComparisonPlan,
) -> Iterator[tuple[ConsumerRecord, bool]]:
    """The telemetry in range, after what profiles that learn in it had learnt from before."""
    first = starts[place.topic, place.partition]
    begins: dict[bytes, int] = {}
    if first and not plan.fresh:
        for offset, verdict in said.verdicts.items():
            if offset >= first:
                told = parse_object(verdict)
                generation = told["generation"]
                if told["status"] == "learning" and generation is not None and generation < first:
                    begins.setdefault(told["profile_id"].encode(), generation)
    start = 0 if plan.fresh else min([first, *begins.values()])
    for record in read(settings, admin, [place], since={(place.topic, place.partition): start}):
        counted = record.offset >= first
        learns = plan.fresh or begins.get(record.key or b"", record.offset + 1) <= record.offset
        if wanted.wants(record) and (counted or learns):
            yield record, counted
