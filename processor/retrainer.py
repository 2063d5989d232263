"""The way of a batch through the retrainer: accepted samples → pools → candidates.

Pure but for opening models: the same state, batch, clock and settings give the same Step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models import artifacts
from models.artifacts import Artifact, Model
from models.features import KINDS
from models.training import seed_of, train
from processor import ring
from processor.decode import dead_letter
from processor.draft import Rules
from processor.names import OUTPUT_LIMIT
from processor.records import DeadLetter, Incoming, Outgoing, ProfileKey
from processor.ring import Ring
from processor.step import Step
from schemas import (
    AcceptedSample,
    InvalidJson,
    LifecycleEvent,
    Mark,
    ModelRecord,
    explain,
    parse_object,
)

Floats = NDArray[np.float64]
DAY_MS = 24 * 3600 * 1000
INVALID = "invalid_accepted_sample"


@dataclass(frozen=True, slots=True)
class Pool:
    """What the retrainer holds of a profile.

    Attributes:
        ring: accepted samples; ``seen`` counts all of this generation.
        asked: whether an operator asked for a training that was not yet tried.
        tried: accepted samples at the last try.
        tried_at: epoch milliseconds of the last try.
    """

    ring: Ring
    asked: bool = False
    tried: int = 0
    tried_at: int = 0


Pools = Mapping[ProfileKey, Pool]
Announced = Mapping[ProfileKey, ModelRecord]


@dataclass
class Work:
    """A Step while it is being made; lookups see the delta before the pools."""

    pools: Pools
    announced: Announced
    rules: Rules
    now: int
    refused: frozenset[ProfileKey]
    step: Step[Pool] = field(default_factory=lambda: Step[Pool]())
    trainings: int = 0

    def pool(self, key: ProfileKey) -> Pool | None:
        return self.step.profiles[key] if key in self.step.profiles else self.pools.get(key)

    @property
    def full(self) -> bool:
        return self.trainings >= self.rules.settings.trainings_per_step


def compute(
    pools: Pools,
    announced: Announced,
    batch: Sequence[Incoming],
    now: int,
    rules: Rules,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[Pool]:
    """The Step of a batch of ``accepted-normal``.

    Args:
        pools: what is known before the batch; it is not changed.
        announced: the newest announcement of each profile; it may lag behind the batch.
        now: epoch milliseconds.
        refused: profiles whose artefact could not be written.
    """
    work = Work(pools, announced, rules, now, refused)
    for position, record in enumerate(batch):
        if work.full:
            work.step.rest = batch[position:]
            break
        work.step.consume(record)
        value = decode(record)
        if isinstance(value, DeadLetter):
            reject(work, record, value)
        elif isinstance(value, Mark):
            obey(work, record, value)
        else:
            admit(work, record, value)
    return work.step


def compute_due(
    pools: Pools,
    announced: Announced,
    due: Iterable[ProfileKey],
    now: int,
    rules: Rules,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[Pool]:
    """The Step of profiles whose announcement was awaited when their training fell due."""
    work = Work(pools, announced, rules, now, refused)
    for key in due:
        if not work.full:
            train_if_due(work, key)
    return work.step


def decode(record: Incoming) -> AcceptedSample | Mark | DeadLetter:
    """Check a record of ``accepted-normal``; never raises."""
    try:
        parsed = parse_object(record.value or b"")
        value: AcceptedSample | Mark = (
            Mark.model_validate(parsed)
            if "mark" in parsed
            else AcceptedSample.model_validate(parsed)
        )
    except InvalidJson as error:
        return DeadLetter(INVALID, f"value: {error}")
    except ValidationError as error:
        return DeadLetter(INVALID, explain(error))
    if value.kind not in KINDS:
        return DeadLetter(INVALID, f"kind: expected one of {', '.join(KINDS)}")
    if not 0 <= value.generation < 2**63:
        return DeadLetter(INVALID, "generation: expected the offset of a record")
    if isinstance(value, AcceptedSample) and not (value.vectors and value.features):
        return DeadLetter(INVALID, "vectors: expected at least one row of at least one feature")
    return value


def obey(work: Work, record: Incoming, mark: Mark) -> None:
    """Do what a mark of the scorer says."""
    key = (record.partition, mark.kind, mark.profile_id)
    pool = work.pool(key)
    work.step.count("records", mark.kind, mark.mark)
    if mark.mark == "retrain":
        held = pool or Pool(Ring(mark.generation, ()))
        work.step.profiles[key] = replace(held, asked=True)
        train_if_due(work, key)
    elif pool is not None:
        work.step.outputs += ring.tombstones(work.rules.topics.pool, key, pool.ring)
        work.step.profiles[key] = None


def admit(work: Work, record: Incoming, sample: AcceptedSample) -> None:
    """Pool an accepted record, and train where it falls due."""
    key = (record.partition, sample.kind, sample.profile_id)
    pool, names = work.pool(key), tuple(sample.features)
    if pool is not None and sample.generation < pool.ring.generation:
        work.step.count("records", sample.kind, "outdated")
        return
    expected = names_of(pool, work.announced.get(key), sample.generation)
    if expected is not None and names != expected:
        detail = f"features: expected the profile's {len(expected)} in their order"
        reject(work, record, DeadLetter("feature_mismatch", detail))
        return
    if len(names) > work.rules.settings.max_features:
        reject(work, record, DeadLetter("too_large", f"features: {len(names)} are too many"))
        return
    topic = work.rules.topics.pool
    capacity = work.rules.settings.pool_samples
    cleared: list[Outgoing] = []
    if pool is None or sample.generation > pool.ring.generation or pool.ring.names != names:
        if pool is not None:
            cleared = ring.tombstones(topic, key, pool.ring)
        pool = Pool(Ring(sample.generation, names), asked=pool.asked if pool else False)
    rows = np.array(sample.vectors, dtype=np.float64)
    grown, slot = ring.append(pool.ring, record.offset, rows, capacity=capacity)
    stored = ring.changelog(topic, key, slot, capacity)
    if stored.size > OUTPUT_LIMIT:
        reject(work, record, DeadLetter("unanswerable", "the samples do not fit the pool's topic"))
        return
    work.step.outputs += [*cleared, stored]
    work.step.profiles[key] = replace(pool, ring=grown)
    work.step.count("records", sample.kind, "pooled")
    train_if_due(work, key)


def names_of(
    pool: Pool | None, base: ModelRecord | None, generation: int
) -> tuple[str, ...] | None:
    """The features of a generation, where they are known."""
    if base is not None and base.generation == generation:
        return tuple(base.features)
    if pool is not None and pool.ring.generation == generation and pool.ring.slots:
        return pool.ring.names
    return None


def reject(work: Work, record: Incoming, why: DeadLetter) -> None:
    """Send a record to the dead letters."""
    work.step.count("dead_letters", why.reason)
    work.step.outputs.append(dead_letter(record, why, work.rules.topics.dead_letter))


def trigger(work: Work, key: ProfileKey) -> str | None:
    """Why a profile is to be trained now, or None."""
    pool, base = work.pool(key), work.announced.get(key)
    if pool is None or base is None or base.generation != pool.ring.generation:
        return None
    if pool.ring.names != tuple(base.features):
        return None
    settings = work.rules.settings
    fresh = pool.ring.seen - max(base.pool_count, pool.tried)
    if pool.asked and pool.ring.slots:
        return "command"
    if fresh >= settings.retrain_samples:
        return "samples"
    age = work.now - max(base.trained_at, pool.tried_at)
    return "age" if fresh > 0 and age >= settings.retrain_days * DAY_MS else None


def waits(pool: Pool | None, base: ModelRecord | None) -> bool:
    """Whether a profile may be due, but its announcement has not come yet."""
    return pool is not None and (base is None or base.generation < pool.ring.generation)


def train_if_due(work: Work, key: ProfileKey) -> None:
    """Train a candidate on the cold start's samples and the pool, and propose it."""
    why = trigger(work, key)
    pool = work.pool(key)
    if why is None or pool is None:
        return
    base = work.announced[key]
    tried = replace(pool, asked=False, tried=pool.ring.seen, tried_at=work.now)
    work.step.profiles[key] = tried
    opened = work.rules.open_models([base])[base.sha256]
    if key in work.refused or not isinstance(opened, Model):
        reason = "the artefact could not be written" if key in work.refused else str(opened)
        fail(work, key, base, why, reason)
        return
    work.trainings += 1
    propose(work, key, base, opened, tried, why)


def propose(
    work: Work, key: ProfileKey, base: ModelRecord, current: Model, pool: Pool, why: str
) -> None:
    """Train and write the candidate."""
    partition, kind, profile_id = key
    settings = work.rules.settings
    cold = int(current.provenance["cold_start"])
    pooled = pool.ring.samples()[-settings.pool_samples :]
    samples = np.concatenate([current.samples[:cold].astype(np.float64), pooled])
    model = train(
        base.detector,
        samples,
        current.features,
        alert_budget=settings.alert_budget,
        seed=seed_of(settings.seed, kind, profile_id, base.generation, (base.version or 0) + 1),
        provenance={"trigger": why, "cold_start": cold, "pool": int(pooled.shape[0])},
    )
    artifact: Artifact = artifacts.pack(
        model, kind=kind, profile_id=profile_id, partition=partition, generation=base.generation
    )
    candidate = base.model_copy(
        update={
            "version": None,
            "base_version": base.version,
            "artifact": artifact.path,
            "sha256": artifact.sha256,
            "trained_on": int(samples.shape[0]),
            "pool_count": pool.ring.seen,
            "alert_budget": settings.alert_budget,
            "decision_offset": float(model.detector.offset_),
            "trigger": why,
            "trained_at": work.now,
            "history": [],
            "provenance": dict(model.provenance),
            "figures": None,
        }
    )
    value = candidate.model_dump_json().encode()
    out = Outgoing(work.rules.topics.candidates, partition, profile_id.encode(), value)
    if out.size > OUTPUT_LIMIT:
        fail(work, key, base, why, f"the candidate's record exceeds {OUTPUT_LIMIT} bytes")
        return
    work.step.artifacts.append((key, artifact))
    work.step.outputs.append(out)
    work.step.count("trainings", kind, why, "proposed")


def fail(work: Work, key: ProfileKey, base: ModelRecord, why: str, reason: str) -> None:
    """Say that a training failed; it is tried again after as many samples as before."""
    partition, kind, profile_id = key
    work.step.count("trainings", kind, why, "failed")
    event = LifecycleEvent(
        event="training_failed",
        profile_id=profile_id,
        kind=kind,
        generation=base.generation,
        version=base.version,
        detail=reason,
        at=work.now,
    )
    value = event.model_dump_json().encode()
    topic = work.rules.topics.lifecycle
    work.step.outputs.append(Outgoing(topic, partition, profile_id.encode(), value))
