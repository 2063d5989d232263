"""Rehearsal: what a source's records would come to, and what about them will disappoint."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import orjson

from processor.dead_letter import letter
from processor.ingest.pipeline import IngestContext, compute
from processor.ingest.rates import CounterKey, Counters
from processor.records import ConsumerRecord, ProducerRecord
from processor.text.escaping import printable, shortened
from schemas.sources import Source

NEW_PROFILES_A_SECOND: Final = 1000
YEAR_2000_MS: Final = 946_684_800_000
FEWEST: Final = 3
"""Values of a feature in a profile, from which something is said of how they go on."""

GROWING_STEPS: Final = 4
MOST_VALUES: Final = 1000
"""Values of a feature in a profile that are remembered."""


@dataclass
class FeatureSummary:
    """What a feature's values are like.

    Attributes:
        count: how many there are.
        values: of each profile, in their order.
    """

    count: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, profile: str, value: float) -> None:
        self.count += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        if len(self.values[profile]) < MOST_VALUES:
            self.values[profile].append(value)

    @property
    def long(self) -> list[list[float]]:
        """The values of profiles that have several."""
        return [held for held in self.values.values() if len(held) >= FEWEST]

    @property
    def constant(self) -> bool:
        """Whether it never changes within a profile."""
        return bool(self.long) and all(len(set(held)) == 1 for held in self.long)

    @property
    def grows(self) -> bool:
        """Whether it only grows within each profile, as a counter does."""
        steps = [after - before for held in self.long for before, after in pairwise(held)]
        growing = sum(step > 0 for step in steps)
        return growing >= GROWING_STEPS and min(steps) >= 0 and growing >= 0.8 * len(steps)


@dataclass
class SourceReport:
    """What the records of a source came to.

    Attributes:
        dead: reason → how many; ``samples`` has the first of each.
        seen: observations of each profile; ``first_seen`` has the number of its first.
        first: the first record of telemetry, as ``telltale produce`` takes it.
    """

    source: Source
    records: int = 0
    mapped: int = 0
    filtered: int = 0
    observations: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    details: Counter[str] = field(default_factory=Counter)
    features: dict[str, FeatureSummary] = field(default_factory=dict)
    first_seen: dict[str, int] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    times: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    first: dict[str, Any] | None = None

    @property
    def records_a_second(self) -> float | None:
        """Records a second by their own timestamps; None if these tell nothing."""
        if len(self.stamps) < 2 or max(self.stamps) == min(self.stamps):
            return None
        return (len(self.stamps) - 1) * 1000.0 / (max(self.stamps) - min(self.stamps))

    def note(self, out: ProducerRecord) -> None:
        """Take note of a record that would be written as telemetry."""
        profile, value = (out.key or b"").decode(), orjson.loads(out.value or b"")
        if self.first is None:
            self.first = {"topic": out.topic, "key": profile, "value": value}
        self.observations += 1
        self.first_seen.setdefault(profile, self.observations)
        self.seen[profile] += 1
        self.times.append(value["observed_at"])
        for name, number in _numbers(value):
            self.features.setdefault(name, FeatureSummary()).note(profile, number)

    def missing(self, name: str) -> float:
        """Share of observations without a feature, of the profiles that have it at all."""
        feature = self.features[name]
        return 1 - feature.count / sum(self.seen[profile] for profile in feature.values)

    def as_json(self) -> dict[str, Any]:
        """What ``ingest check --json`` prints of it."""
        return {
            "name": self.source.name,
            "topic": self.source.topic,
            "records": self.records,
            "mapped": self.mapped,
            "filtered": self.filtered,
            "dead": dict(self.dead),
            "dead_samples": self.samples,
            "observations": self.observations,
            "records_a_second": self.records_a_second,
            "profiles": len(self.first_seen),
            "features": {
                name: {
                    "missing": round(self.missing(name), 4),
                    "min": one.low,
                    "max": one.high,
                }
                for name, one in self.features.items()
            },
            "warnings": list(warnings(self)),
            "first": self.first,
        }


def rehearse(
    source: Source, records: Iterable[ConsumerRecord], context: IngestContext
) -> SourceReport:
    """What records come to by one source, exactly as the role would have it.

    Args:
        context: with that source alone for each topic of the records.

    Raises:
        SchemaWanted: a schema is not known yet; to be called again.
    """
    report, known = SourceReport(source), dict[CounterKey, Counters]()
    for record in records:
        step = compute(known, [record], context)
        if step.unprocessed:
            raise SchemaWanted
        known.update((key, held) for key, held in step.delta.items() if held is not None)
        report.records += 1
        report.stamps.append(record.timestamp)
        report.mapped += step.counts["ingest_records", (source.name, "mapped")]
        report.filtered += step.counts["ingest_records", (source.name, "filtered")]
        for out in step.outputs:
            if out.topic == context.topics.dead_letter:
                _note_letter(report, record, out)
            elif out.topic != context.topics.ingest_counters:
                report.note(out)
    return report


class SchemaWanted(Exception):
    """A schema is not known yet: the registry is being asked, or is away."""


def _note_letter(report: SourceReport, record: ConsumerRecord, out: ProducerRecord) -> None:
    found = letter(record._replace(headers=tuple(out.headers or ())))
    report.dead[found.reason] += 1
    report.details[found.detail] += 1
    report.samples.setdefault(
        found.reason,
        {
            "detail": found.detail,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "value": shortened((record.value or b"")[:2000].decode("utf-8", "replace"), 500),
        },
    )


def _numbers(value: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a telemetry record by name, as far as its kind has plain ones."""
    values = value.get("values")
    if isinstance(values, dict):
        yield from values.items()
    elif isinstance(values, list):
        yield from (("value", number) for number in values)
    else:
        yield from ((n, value[n]) for n in ("ear_value", "duration_ms") if n in value)


def warnings(report: SourceReport) -> Iterator[str]:
    """What about a source will disappoint, a sentence each."""
    source = report.source
    if report.records == 0:
        yield "no records were found"
    yield from _about_profiles(report)
    yield from _about_times(report)
    for name, feature in report.features.items():
        shown = printable(name)
        if feature.constant:
            yield f"feature {shown} never changes within a profile: it tells nothing"
        elif name not in source.rate and feature.grows:
            remedy = f"rate: [{shown}]" if source.kind == "features" else "map its rate instead"
            yield f"feature {shown} only grows, as a counter does: {remedy}"
    controls = sum(
        n
        for text, n in report.details.items()
        if text.startswith("profile_id") and "control" in text
    )
    if controls:
        yield f"{controls} records have an id with control characters, which cannot be a profile's"


def _about_profiles(report: SourceReport) -> Iterator[str]:
    count, middle = len(report.first_seen), report.observations // 2
    late = sum(at > middle for at in report.first_seen.values())
    if not middle or late < 0.1 * (report.observations - middle):
        return
    # New ones keep coming; without times that differ, all of it counts as one second.
    span = (max(report.times) - min(report.times)) / 1000.0 or 1.0
    if count / span > NEW_PROFILES_A_SECOND:
        yield (
            f"{count / span:.0f} profiles a second appear for the first time, more than "
            f"{NEW_PROFILES_A_SECOND}: is profile_id that of something that comes again?"
        )


def _about_times(report: SourceReport) -> Iterator[str]:
    time = report.source.observed_at
    if time is None:
        return
    wrong = [text for text in report.details if text.startswith("observed_at:")]
    early = sum(at < YEAR_2000_MS for at in report.times)
    if wrong:
        total = sum(report.details[text] for text in wrong)
        yield f"{total} records have times that are not in {time.unit}: {printable(wrong[0])}"
    elif early:
        yield (
            f"{early} observations are dated before the year 2000: is {time.path} in {time.unit}, "
            "or in another unit?"
        )
