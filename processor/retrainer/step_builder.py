"""What the retrainer knows, and a Step of it while it is being made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.artifacts import Model
from processor.dead_letter import dead_letter
from processor.lifecycle import lifecycle_record
from processor.records import ConsumerRecord, DeadLetter, ProfileKey
from processor.retrainer.impostors import Impostors
from processor.retrainer.pool import Pool, PoolDelta
from processor.stream.step import Context, Step
from schemas import LifecycleEvent, ModelRecord


@dataclass
class RetrainerState:
    """What the retrainer knows.

    Attributes:
        pools: of the profiles of its partitions.
        announced: the newest announcement of each profile; it may lag behind the batch.
        gone: generation of the announcement that was seen last, of profiles that have none any
            more and whose mark has not come yet.
        gallery: samples of other profiles.
    """

    pools: dict[ProfileKey, Pool] = field(default_factory=dict)
    announced: dict[ProfileKey, ModelRecord] = field(default_factory=dict)
    gone: dict[ProfileKey, int] = field(default_factory=dict)
    gallery: Impostors = field(default_factory=Impostors)


class Training(NamedTuple):
    """A training that is due: on what, with which model in force, and why."""

    key: ProfileKey
    base: ModelRecord
    current: Model
    pool: Pool
    why: str


@dataclass
class RetrainerStepBuilder:
    """A Step while it is being made; lookups see the delta before what was known."""

    known: RetrainerState
    context: Context
    now: int
    refused: frozenset[ProfileKey]
    step: Step[PoolDelta] = field(default_factory=lambda: Step(PoolDelta()))
    pending_trainings: list[Training] = field(default_factory=list)
    caught_up: set[int] = field(default_factory=set)
    """Partitions whose announcements were read to their end in this Step."""

    def pool(self, key: ProfileKey) -> Pool | None:
        delta = self.step.delta
        return delta[key] if key in delta else self.known.pools.get(key)

    def announced(self, key: ProfileKey, generation: int | None = None) -> ModelRecord | None:
        """The announcement of a profile as ``models`` has it now.

        Args:
            generation: of this one an announcement will do that may be an older version's.

        Raises:
            Unavailable: ``models`` cannot be read to its end now.
        """
        partition, known = key[0], self.known.announced
        base = known.get(key)
        if base is not None and base.generation == generation:
            return base
        if partition not in self.caught_up:
            self.context.catch_up(partition)
            self.caught_up.add(partition)
        return known.get(key)

    @property
    def full(self) -> bool:
        return len(self.pending_trainings) >= self.context.settings.trainings_per_step


def emit_lifecycle(
    builder: RetrainerStepBuilder,
    key: ProfileKey,
    event: str,
    detail: str,
    *,
    generation: int,
    version: int | None = None,
    command_id: str | None = None,
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write a lifecycle event on the profile's partition."""
    partition, kind, profile_id = key
    said = LifecycleEvent(
        event=event,
        profile_id=profile_id,
        kind=kind,
        generation=generation,
        version=version,
        command_id=command_id,
        role="retrainer",
        detail=detail,
        figures=None if figures is None else dict(figures),
        at=builder.now,
    )
    topic = builder.context.topics.lifecycle
    builder.step.outputs.append(lifecycle_record(topic, said, partition))


def reject(builder: RetrainerStepBuilder, record: ConsumerRecord, why: DeadLetter) -> None:
    """Send a record to the dead letters."""
    builder.step.count("dead_letters", why.reason)
    builder.step.outputs.append(dead_letter(record, why, builder.context.topics.dead_letter))
