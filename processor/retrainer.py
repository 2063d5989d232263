"""The way of a batch through the retrainer: accepted samples → pools → candidates.

Pure but for opening models: the same state, batch, clock and settings give the same Step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from pydantic import ValidationError

from models.admission import ADMITTED, admitted, draw
from models.artifacts import profile_directory
from models.features import KINDS
from processor import pools, ring
from processor.decode import dead_letter
from processor.draft import Rules
from processor.names import OUTPUT_LIMIT
from processor.pools import Pool
from processor.proposals import Known, Work, tell, train_if_due, train_noted
from processor.records import (
    INVALID_HEADERS,
    UNREADABLE_HEADERS,
    DeadLetter,
    Incoming,
    Outgoing,
    ProfileKey,
)
from processor.ring import Ring
from processor.step import Step
from schemas import (
    AcceptedSample,
    InvalidJson,
    Mark,
    ModelRecord,
    explain,
    parse_object,
)

INVALID = "invalid_accepted_sample"


def compute(
    known: Known,
    batch: Sequence[Incoming],
    now: int,
    rules: Rules,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[Pool]:
    """The Step of a batch of ``accepted-normal``.

    Args:
        known: what is known before the batch; it is not changed.
        now: epoch milliseconds.
        refused: profiles whose artefact could not be written.
    """
    work = Work(known, rules, now, refused)
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
            accept(work, record, value)
    return closed(work)


def compute_due(
    known: Known,
    due: Iterable[ProfileKey],
    now: int,
    rules: Rules,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[Pool]:
    """The Step of profiles whose announcement was awaited when their training fell due."""
    work = Work(known, rules, now, refused)
    for key in due:
        if not work.full:
            train_if_due(work, key)
    return closed(work)


def closed(work: Work) -> Step[Pool]:
    """The Step, with its trainings done and the counters of each pool that it changed."""
    train_noted(work)
    topic = work.rules.topics.pool
    for key, pool in work.step.profiles.items():
        if pool is not None:
            work.step.outputs.append(pools.head(topic, key, pool))
    return work.step


def decode(record: Incoming) -> AcceptedSample | Mark | DeadLetter:
    """Check a record of ``accepted-normal``; never raises."""
    if record.headers is UNREADABLE_HEADERS:
        return INVALID_HEADERS
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
    if mark.mark == "forget":
        forget(work, key, mark)
    elif pool is not None and mark.generation < pool.generation:
        return
    elif mark.mark == "rollback":
        clear(work, key)
    else:
        if pool is None or mark.generation > pool.generation:
            clear(work, key)
            pool = Pool(Ring(mark.generation, ()))
        work.step.profiles[key] = replace(pool, asked=mark.trigger, offset=record.offset)
        train_if_due(work, key)


def clear(work: Work, key: ProfileKey) -> None:
    """Drop a profile's pool."""
    pool = work.pool(key)
    if pool is not None:
        work.step.outputs += pools.tombstones(work.rules.topics.pool, key, pool)
        work.step.profiles[key] = None


def forget(work: Work, key: ProfileKey, mark: Mark) -> None:
    """Drop the pool and all artefacts of a generation and those before it, and say so.

    A candidate that was on its way when the scorer forgot the profile is deleted here: after this
    mark nothing of that generation is written again.
    """
    partition, kind, profile_id = key
    pool = work.pool(key)
    held = 0
    if pool is not None and pool.generation <= mark.generation:
        held = len(pool.ring.used)
        clear(work, key)
    directory = profile_directory(kind, profile_id, partition)
    deleted = work.rules.erase(directory, mark.generation)
    tell(
        work,
        key,
        "forgotten",
        f"the retrainer cleared {held} places of the pool and deleted {len(deleted)} artefacts",
        generation=mark.generation,
        command_id=mark.command_id,
        figures={"pool_slots": held, "artifacts": deleted},
    )


def accept(work: Work, record: Incoming, sample: AcceptedSample) -> None:
    """Count an accepted record, pool it where it is admitted, and train where it falls due."""
    key = (record.partition, sample.kind, sample.profile_id)
    pool, names = work.pool(key), tuple(sample.features)
    if pool is not None and sample.generation < pool.generation:
        work.step.count("records", sample.kind, "outdated")
        return
    expected = names_of(pool, work.known.announced.get(key), sample.generation)
    if expected is not None and names != expected:
        detail = f"features: expected the profile's {len(expected)} in their order"
        reject(work, record, DeadLetter("feature_mismatch", detail))
        return
    if len(names) > work.rules.settings.max_features:
        reject(work, record, DeadLetter("too_large", f"features: {len(names)} are too many"))
        return
    cleared: list[Outgoing] = []
    if pool is None or sample.generation > pool.generation:
        if pool is not None:
            cleared = pools.tombstones(work.rules.topics.pool, key, pool)
        pool = Pool(Ring(sample.generation, names))
    elif pool.ring.names != names:
        # Nothing was admitted so far, or what was turned out not to fit the model.
        cleared = ring.tombstones(work.rules.topics.pool, key, pool.ring)
        pool = replace(pool, ring=Ring(sample.generation, names))
    rows = np.array(sample.vectors, dtype=np.float64)
    stored: list[Outgoing] = []
    held = pool.ring
    why = admission(work, sample)
    if why in ADMITTED:
        capacity = work.rules.settings.pool_samples
        held, slot = ring.append(pool.ring, record.offset, rows, capacity=capacity)
        stored = [ring.changelog(work.rules.topics.pool, key, slot, capacity)]
        if stored[0].size > OUTPUT_LIMIT:
            detail = "the samples do not fit the pool's topic"
            reject(work, record, DeadLetter("unanswerable", detail))
            return
    work.step.outputs += [*cleared, *stored]
    accepted = pool.accepted + rows.shape[0]
    work.step.profiles[key] = replace(pool, ring=held, accepted=accepted, offset=record.offset)
    work.step.count("records", sample.kind, why)
    train_if_due(work, key)


def admission(work: Work, sample: AcceptedSample) -> str:
    """Whether a sample is learnt from: the word of ``models.admission.admitted``."""
    known = [p for p in sample.p_values if p is not None]
    return admitted(
        min(known, default=None),
        sample.since_anomaly,
        sample.source,
        draw(work.rules.settings.seed, sample.verdict_id),
    )


def names_of(
    pool: Pool | None, base: ModelRecord | None, generation: int
) -> tuple[str, ...] | None:
    """The features of a generation, where they are known."""
    if base is not None and base.generation == generation:
        return tuple(base.features)
    if pool is not None and pool.generation == generation and pool.ring.slots:
        return pool.ring.names
    return None


def reject(work: Work, record: Incoming, why: DeadLetter) -> None:
    """Send a record to the dead letters."""
    work.step.count("dead_letters", why.reason)
    work.step.outputs.append(dead_letter(record, why, work.rules.topics.dead_letter))
