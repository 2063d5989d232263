"""Ingest as a role of the worker: sources in, telemetry out; its state is the last counters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from processor.artifacts.owner import Owner
from processor.ingest import pipeline, rates
from processor.ingest.formats.decoding import Decode, FormatUnavailable, decoder, open_registry
from processor.ingest.formats.schema import Registry
from processor.ingest.mapping import Mapper
from processor.ingest.pipeline import CounterDelta, IngestContext, Input
from processor.ingest.placing import Placing
from processor.ingest.rates import CounterKey, Counters, CountersUnreadable
from processor.ingest.sources import SourcesError, SourcesFile, load_sources
from processor.metrics.metrics import Metrics
from processor.offsets.partitions import Parts
from processor.records import ConsumerRecord, Partition
from processor.settings import Limits, Settings
from processor.stream.step import Step
from processor.text.escaping import key_digest
from processor.topics import DAY_MS, Topics

OUTCOMES = ("mapped", "filtered", "dead")
SWEEP_MS = 60_000
"""Between two looks for counters that are too old."""

MOST_CLEARED = 1000
"""Profiles whose counters a Step clears, at most."""


class IngestRole:
    """Maps the records of existing topics to telemetry."""

    name = "ingest"

    def __init__(
        self,
        settings: Settings,
        file: SourcesFile,
        registry: Registry | None,
        metrics: Metrics,
        log: Any,
    ) -> None:
        """
        Raises:
            SourcesError: a library, or a schema, is missing.
        """
        topics = Topics(settings.topic_prefix)
        self.inputs: Sequence[str] = tuple(file.topics)
        self.priority_inputs: Sequence[str] = ()
        self.changelogs = (topics.ingest_counters,)
        self._topics = topics
        self._settings = settings
        self._file = file
        self._registry = registry
        self._metrics = metrics
        self._log = log
        self._decoders = decoders(file, registry)
        self._partitions = 0
        self._context = self._context_of({}, 1)
        self._loaded: dict[bytes, ConsumerRecord] = {}
        self._counters: dict[CounterKey, Counters] = {}
        self._newest: dict[Partition, int] = {}
        self._given: Mapping[str, Collection[int]] = {}
        self._swept = 0
        for source in file.sources:
            for outcome in OUTCOMES:
                metrics.counters["ingest_records"].labels(self.name, source.name, outcome)
            metrics.counters["ingest_observations"].labels(self.name, source.name)

    def divide(self, given: Mapping[str, Collection[int]], counts: Mapping[str, int]) -> Parts:
        """Every partition that was given is answered by itself, whatever the others' number.

        Args:
            counts: partition count of each topic of the role; empty before they are known.
        """
        places = tuple((topic, n) for topic, numbers in given.items() for n in sorted(numbers))
        count = counts.get(self._topics.ingest_counters, 0)
        if counts and not count:
            name = self._topics.ingest_counters
            why = f"topics missing: {name}; create them with: telltale topics create"
            return Parts((), places, why, ())
        if counts:
            self._given, self._partitions = given, count
            self._context = self._context_of(given, count)
        held = sorted({number % count if count else number for _, number in places})
        return Parts(tuple(held), (), None, places)

    def load(self, record: ConsumerRecord) -> None:
        self._loaded[record.key or b""] = record

    def restored(self, partitions: Iterable[int]) -> None:  # noqa: ARG002
        """The counters of the source partitions that this process reads."""
        held = {(topic, n) for topic, numbers in self._given.items() for n in numbers}
        for name, record in self._loaded.items():
            if record.value is None:
                continue
            try:
                key, counters = rates.decode_counters(name, record.value, record.timestamp)
            except CountersUnreadable as error:
                self._log.error(
                    "counters_unreadable",
                    topic=record.topic,
                    key_sha256=key_digest(name),
                    error=str(error),
                )
                continue
            place = key[1:3]
            if place in held:
                self._counters[key] = counters
                self._newest[place] = max(counters.offset, self._newest.get(place, -1))
        self._loaded.clear()
        self._log.info("state", counters=len(self._counters))

    def admit(self, owner: Owner) -> str | None:
        """It has no models."""

    def check_models(self) -> None:
        """It has no models."""

    def restored_offsets(self) -> dict[Partition, int]:
        return self._newest

    def compute(
        self,
        batch: Sequence[ConsumerRecord],
        now: int,
    ) -> Step[CounterDelta]:
        expired = self._expired(now)
        step = pipeline.compute(self._counters, batch, self._context, expired, now)
        if step.unprocessed:
            told = None if self._registry is None else self._registry.waiting
            step.waiting = told or "asking the schema registry"
        return step

    def apply_speculatively(self, step: Step[CounterDelta]) -> Callable[[], None] | None:
        if step.unprocessed:
            return None
        before = {key: self._counters.get(key) for key in step.delta}
        self._take(step.delta)
        return lambda: self._take(before)

    def apply(self, step: Step[CounterDelta]) -> None:
        self._take(step.delta)

    def _take(self, delta: CounterDelta) -> None:
        for key, counters in delta.items():
            if counters is None:
                self._counters.pop(key, None)
            else:
                self._counters[key] = counters

    def drop(self) -> None:
        self._counters = {}
        self._newest = {}
        self._loaded = {}

    def idle(self, now: int) -> Step[CounterDelta] | None:
        """Clear the counters of profiles that are silent for too long."""
        expired = self._expired(now)
        if not expired:
            return None
        return pipeline.compute(self._counters, (), self._context, expired, now)

    def _expired(self, now: int) -> list[CounterKey]:
        """Some profiles that were not heard for ``TELLTALE_PROFILE_TTL_DAYS``."""
        days = self._settings.profile_ttl_days
        if not days or now - self._swept < SWEEP_MS:
            return []
        since = now - int(days * DAY_MS)
        old = (key for key, held in self._counters.items() if held.heard < since)
        found = list(islice(old, MOST_CLEARED))
        # If there are more, the next turn goes on.
        self._swept = now if len(found) < MOST_CLEARED else 0
        return found

    def set_watermark(self, until: int) -> None:
        """Nothing here goes by silence."""

    def update_gauges(self) -> None:
        self._metrics.ingest_counters.labels(self.name).set(len(self._counters))

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()

    def _context_of(self, given: Iterable[str], partitions: int) -> IngestContext:
        settings = self._settings
        limits = Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
        placing = Placing(partitions)
        mappers = [Mapper(source, limits, placing) for source in self._file.sources]
        inputs = {
            topic: [
                Input(
                    self._decoders[at],
                    mappers[at],
                    self._topics.telemetry(self._file.sources[at].kind or ""),
                )
                for at in self._file.reading(topic)
            ]
            for topic in given
        }
        return IngestContext(self._topics, limits, partitions, inputs)


def decoders(file: SourcesFile, registry: Registry | None) -> list[Decode]:
    """How values of each source are decoded.

    Raises:
        SourcesError: a library, or a schema, is missing.
    """
    found = []
    for source in file.sources:
        schema = None if source.schema_file is None else file.beside(source.schema_file)
        try:
            found.append(decoder(source.format, schema, registry, source.message))
        except FormatUnavailable as error:
            raise SourcesError(f"{file.path}: source {source.name}: {error}") from None
    return found


def registry_of(file: SourcesFile) -> Registry | None:
    """The schema registry of a file, None without one.

    Raises:
        SourcesError: its client is not installed, or its properties are wrong.
    """
    try:
        return open_registry(file.registry)
    except FormatUnavailable as error:
        raise SourcesError(f"{file.path}: {error}") from None


def open_ingest(settings: Settings, metrics: Metrics, log: Any) -> IngestRole:
    """The role as the settings have it.

    Raises:
        SourcesError: the file cannot be used.
    """
    if settings.sources is None:
        raise SourcesError("TELLTALE_SOURCES: expected the file of sources, got nothing")
    file = load_sources(settings.sources, settings)
    return IngestRole(settings, file, registry_of(file), metrics, log)
