"""Step: all results of a batch as one plain value, which is committed whole or dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from models.errors import ArtifactError
from models.naming import Stored
from processor.artifacts.proof import Secret, no_secret
from processor.records import ConsumerRecord, Count, Partition, ProducerRecord, ProfileKey
from processor.settings import Limits, Settings
from processor.topics import Topics

if TYPE_CHECKING:
    # Ingest and its tools make Steps without models: they need not wait for scikit-learn.
    from models.artifacts import Artifact, Model
    from processor.artifacts.model_store import ModelStore

OpenModels: TypeAlias = "Callable[[Iterable[Stored]], Mapping[str, Model | ArtifactError]]"
Erase = Callable[[str, int], list[str]]
"""Deletes what a directory holds of a generation and those before it; names of what it held."""
CatchUp = Callable[[int], None]
"""Brings what is known of a partition's announcements to the end that ``models`` has now."""

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""As the built-in ``map``: results in the order of the arguments."""


def erase_nothing(_directory: str, _generation: int) -> list[str]:
    """For a Step that writes nothing."""
    return []


def at_the_end(_partition: int) -> None:
    """For a Step whose announcements are known to their end."""


@dataclass(frozen=True)
class Context:
    """What a Step depends on besides state, batch and clock.

    Attributes:
        open_models: the models of announcements, by SHA-256.
        erase: deletes a forgotten profile's artefacts; doing so again does no harm.
        secret: what proves that a mark is the scorer's.
        catch_up: reads on in ``models``; raises ``Unavailable`` where that takes too long.
        map: calls a pure function with each of some arguments, maybe in several threads.
    """

    settings: Settings
    topics: Topics
    open_models: OpenModels
    erase: Erase = erase_nothing
    secret: Secret = no_secret
    catch_up: CatchUp = at_the_end
    map: Map = map

    @cached_property
    def limits(self) -> Limits:
        """Bounds of a record."""
        settings = self.settings
        return Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)


D = TypeVar("D")
"""What a role's state changes by."""


@dataclass
class Step(Generic[D]):
    """Outputs, changelog records, state delta and next offsets of a batch.

    Attributes:
        delta: what the role's state changes by once the Step is committed.
        outputs: records to produce, changelog included, in their order.
        artifacts: artefacts to write before the transaction begins.
        models: opened models of those artefacts, by SHA-256.
        offsets: next offset of each input partition.
        counts: what the counters grow by once the Step is committed.
        unprocessed: records of the batch left for the next Step.
        waiting: why they cannot be answered now, if they wait for something; else None.
        timestamps: epoch milliseconds of the answered telemetry records.
        artifacts_to_delete: artefacts to delete once the Step is committed.

    Example:
        >>> record = ConsumerRecord("telemetry.features", 0, 41, b"p", b"{}", (), 0)
        >>> step = Step(delta={"p": "active"})
        >>> step.outputs.append(ProducerRecord("anomalies", b"{}", b"p", 0))
        >>> step.consume(record)
        >>> step.count("verdicts", "features")
        >>> step.offsets, step.counts
        ({('telemetry.features', 0): 42}, Counter({('verdicts', ('features',)): 1}))
    """

    delta: D
    outputs: list[ProducerRecord] = field(default_factory=list)
    artifacts: list[tuple[ProfileKey, Artifact]] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    offsets: dict[Partition, int] = field(default_factory=dict)
    counts: Counter[Count] = field(default_factory=Counter)
    unprocessed: Sequence[ConsumerRecord] = ()
    waiting: str | None = None
    timestamps: list[int] = field(default_factory=list)
    artifacts_to_delete: list[str] = field(default_factory=list)

    def consume(self, record: ConsumerRecord) -> None:
        """Note that the Step answers a record; its offset is committed with it."""
        self.offsets[record.topic, record.partition] = record.offset + 1

    def stop_before(self, record: ConsumerRecord) -> None:
        """Note that the Step goes up to a record and no further."""
        self.offsets[record.topic, record.partition] = record.offset

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Let a counter grow once the Step is committed."""
        self.counts[name, labels] += by


def with_artifacts_written(
    store: ModelStore, make: Callable[[frozenset[ProfileKey]], Step[D]], log: Any
) -> Step[D]:
    """A Step with its artefacts written; computed again without the trainings that cannot be.

    Args:
        make: gives the Step, told the profiles whose artefact could not be written.
    """
    refused: frozenset[ProfileKey] = frozenset()
    while True:
        step = make(refused)
        failed = store.write_all(step.artifacts, log)
        if not failed:
            return step
        refused |= failed
