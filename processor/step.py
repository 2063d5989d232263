"""Step: all that a batch leads to, as one plain value that is committed whole or dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from models.artifacts import Artifact, Model
from processor.batch import Batch
from processor.records import Incoming, Outgoing, ProfileKey, TopicPartition
from processor.rows import Changes
from processor.state import Forgetting, Suppression

P = TypeVar("P")
"""What a role knows of a profile."""

Count = tuple[str, tuple[str, ...]]
"""Name of a counter in ``metrics.py`` and its label values."""


@dataclass
class Step(Generic[P]):
    """Outputs, changelog records, state delta and next offsets of a batch.

    Attributes:
        outputs: records to produce, changelog included, in their order.
        artifacts: artefacts to write before the transaction begins.
        models: opened models of those artefacts, by SHA-256.
        profiles: the delta of the profiles; None removes one.
        changes: the scorer's delta of profiles that have a row; none of them is in ``profiles``.
        suppressions: the scorer's delta of the maintenance windows; None ends one.
        forgettings: the scorer's delta of what is being forgotten; None ends it.
        offsets: next offset of each input partition.
        counts: what the counters grow by once the Step is committed.
        rest: records of the batch left for the next Step.
        timestamps: epoch milliseconds of the answered telemetry records.
        discards: artefacts to delete once the Step is committed.
        heard: profiles that the scorer learnt from, or scored, but for those of ``changes``.
    """

    outputs: list[Outgoing] = field(default_factory=list)
    artifacts: list[tuple[ProfileKey, Artifact]] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    profiles: dict[ProfileKey, P | None] = field(default_factory=dict)
    changes: Changes | None = None
    suppressions: dict[ProfileKey, Suppression | None] = field(default_factory=dict)
    forgettings: dict[ProfileKey, Forgetting | None] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    counts: Counter[Count] = field(default_factory=Counter)
    rest: Sequence[Incoming] = ()
    timestamps: list[int] = field(default_factory=list)
    discards: list[str] = field(default_factory=list)
    heard: set[ProfileKey] = field(default_factory=set)

    def consume(self, record: Incoming) -> None:
        """Note that the Step answers a record; its offset is committed with it."""
        self.offsets[record.topic, record.partition] = record.offset + 1

    def consume_all(self, records: Batch) -> None:
        """The same for records in the order of each partition."""
        self.offsets |= {place: offset + 1 for place, offset in records.lasts().items()}

    def stop_before(self, record: Incoming) -> None:
        """Note that the Step goes up to a record and no further."""
        self.offsets[record.topic, record.partition] = record.offset

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Let a counter grow once the Step is committed."""
        self.counts[name, labels] += by
