"""The way of a batch through the retrainer: accepted samples → pools → candidates.

Pure but for opening models and reading on in ``models``: the same state, batch, clock and settings
give the same Step.
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
from processor.decode import dead_letter, profile_id
from processor.draft import Rules
from processor.names import OUTPUT_LIMIT
from processor.pools import Pool
from processor.proof import HEADER, proven
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
from schemas.base import id_fault

INVALID = "invalid_accepted_sample"
OBEYED = 8
"""Ids of marks that are kept of a profile."""


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
    """The Step of restored profiles: settings, or the clock, may be others than before."""
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
    identity = profile_id(record.key)
    if isinstance(identity, DeadLetter):
        return DeadLetter(INVALID, identity.detail)
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
    if value.profile_id != identity:
        return DeadLetter(INVALID, "profile_id: expected the record's key")
    if value.kind not in KINDS:
        return DeadLetter(INVALID, f"kind: expected one of {', '.join(KINDS)}")
    if not 0 <= value.generation < 2**63:
        return DeadLetter(INVALID, "generation: expected the offset of a record")
    if isinstance(value, Mark):
        fault = None if value.command_id is None else id_fault(value.command_id)
        return value if fault is None else DeadLetter(INVALID, f"command_id: {fault}")
    if not (value.vectors and value.features):
        return DeadLetter(INVALID, "vectors: expected at least one row of at least one feature")
    return value


def obey(work: Work, record: Incoming, mark: Mark) -> None:
    """Do what a mark of the scorer says, and only that: others may write here as well.

    A mark to forget is the scorer's if ``models`` has lost what it forgets; the others are proven.
    """
    key = (record.partition, mark.kind, mark.profile_id)
    if mark.mark != "forget" and not proven(work.rules.secret(), record):
        refuse(work, record, mark, f"{HEADER}: expected the scorer's, over this very record")
        return
    base = work.announced(key)
    if mark.mark == "forget":
        if base is not None and base.generation <= mark.generation:
            why = f"models still announces version {base.version} of generation {base.generation}"
            refuse(work, record, mark, f"generation: {mark.generation}, but {why}")
            return
        done = forget(work, key, mark, base)
    elif base is None or mark.generation != base.generation:
        done = False
    elif mark.mark == "rollback":
        done = roll_back(work, key, record, mark)
    else:
        done = train_asked(work, key, record, mark, base)
    work.step.count("records", mark.kind, mark.mark if done else "outdated")


def refuse(work: Work, record: Incoming, mark: Mark, why: str) -> None:
    """Send a mark that is not the scorer's to the dead letters."""
    work.step.count("records", mark.kind, "refused_mark")
    reject(work, record, DeadLetter("invalid_mark", why))


def clear(work: Work, key: ProfileKey) -> None:
    """Drop a profile's pool."""
    pool = work.pool(key)
    if pool is not None:
        work.step.outputs += pools.tombstones(work.rules.topics.pool, key, pool)
    work.step.profiles[key] = None


def emptied(work: Work, key: ProfileKey, record: Incoming, generation: int) -> Pool:
    """A profile's pool without its samples; of another generation nothing else is kept either."""
    pool = work.pool(key)
    empty = Pool(Ring(generation, ()), offset=record.offset)
    if pool is None:
        return empty
    work.step.outputs += ring.tombstones(work.rules.topics.pool, key, pool.ring)
    if pool.generation != generation:
        return empty
    return replace(empty, rolled_back=pool.rolled_back, obeyed=pool.obeyed)


def roll_back(work: Work, key: ProfileKey, record: Incoming, mark: Mark) -> bool:
    """Empty the pool: what it holds was judged by the versions that were taken back.

    Once for each version, which only go up: a copy of the mark does nothing.
    """
    pool, version = work.pool(key), mark.version or 0
    known = 0 if pool is None or pool.generation != mark.generation else pool.rolled_back
    if version <= known:
        return False
    empty = emptied(work, key, record, mark.generation)
    work.step.profiles[key] = replace(empty, rolled_back=version)
    return True


def train_asked(
    work: Work, key: ProfileKey, record: Incoming, mark: Mark, base: ModelRecord
) -> bool:
    """Train on what is pooled, now or with the first sample, once for each command.

    Ids are kept of the last few: of a mark that was written more than one version ago, which is
    as long as a candidate may be under way, nothing is left to do.
    """
    pool, command_id = work.pool(key), mark.command_id
    if pool is not None and pool.generation != base.generation:
        pool = None
    before = () if pool is None else pool.obeyed
    recent = (mark.version or 0) >= (base.version or 0) - 1
    if command_id is None or command_id in before or not recent:
        return False
    if pool is None:
        pool = emptied(work, key, record, base.generation)
    obeyed = (command_id, *before)[:OBEYED]
    asked = replace(pool, asked=mark.trigger, offset=record.offset, obeyed=obeyed)
    work.step.profiles[key] = asked
    train_if_due(work, key)
    return True


def forget(work: Work, key: ProfileKey, mark: Mark, base: ModelRecord | None) -> bool:
    """Drop the pool and all artefacts of a generation and those before it, and say so.

    A candidate that was on its way when the scorer forgot the profile is deleted here: after this
    mark nothing of that generation is written again. Whatever the mark says, nothing newer is
    deleted than what was known here: the profile may have learnt anew, and be about to announce it.
    """
    partition, kind, profile_id = key
    pool = work.pool(key)
    generations = {work.known.gone.get(key, -1), -1 if base is None else base.generation}
    held = 0
    if pool is not None:
        generations.add(pool.generation)
    if pool is None or pool.generation <= mark.generation:
        held = 0 if pool is None else len(pool.ring.used)
        clear(work, key)
    directory = profile_directory(kind, profile_id, partition)
    newest = min(mark.generation, max(generations))
    # Where nothing was ever announced, all that is written there is the scorer's.
    deleted = work.rules.erase(directory, newest) if newest >= 0 else []
    tell(
        work,
        key,
        "forgotten",
        f"the retrainer cleared {held} places of the pool and deleted {len(deleted)} artefacts",
        generation=mark.generation,
        command_id=mark.command_id,
        figures={"pool_slots": held, "artifacts": deleted},
    )
    return True


def accept(work: Work, record: Incoming, sample: AcceptedSample) -> None:
    """Count an accepted record, pool it where it is admitted, and train where it falls due."""
    key = (record.partition, sample.kind, sample.profile_id)
    pool, names = work.pool(key), tuple(sample.features)
    base = work.announced(key, sample.generation)
    if base is None or sample.generation < base.generation:
        work.step.count("records", sample.kind, "outdated")
        return
    if sample.generation > base.generation:
        detail = f"generation: {sample.generation}, but models announces {base.generation}"
        reject(work, record, DeadLetter("unknown_generation", detail))
        return
    expected = tuple(base.features)
    if names != expected:
        reject(work, record, mismatch(names, len(expected)))
        return
    if len(names) > work.rules.settings.max_features:
        reject(work, record, DeadLetter("too_large", f"features: {len(names)} are too many"))
        return
    cleared: list[Outgoing] = []
    if pool is None or pool.generation != sample.generation:
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
        held, place, slot = ring.append(pool.ring, record.offset, rows, capacity=capacity)
        stored = [ring.changelog(work.rules.topics.pool, key, place, slot)]
        if stored[0].size > OUTPUT_LIMIT:
            detail = "the samples do not fit the pool's topic"
            reject(work, record, DeadLetter("unanswerable", detail))
            return
    work.step.outputs += [*cleared, *stored]
    accepted = pool.accepted + rows.shape[0]
    work.step.profiles[key] = replace(pool, ring=held, accepted=accepted, offset=record.offset)
    work.step.count("records", sample.kind, why)
    train_if_due(work, key)


def mismatch(names: Sequence[str], expected: int) -> DeadLetter:
    """Why other names than the profile's are not taken."""
    for at, name in enumerate(names):
        fault = id_fault(name)
        if fault is not None:
            return DeadLetter(INVALID, f"features[{at}]: {fault}")
    return DeadLetter(
        "feature_mismatch", f"features: expected the profile's {expected} in their order"
    )


def admission(work: Work, sample: AcceptedSample) -> str:
    """Whether a sample is learnt from: the word of ``models.admission.admitted``."""
    known = [p for p in sample.p_values if p is not None]
    return admitted(
        min(known, default=None),
        sample.since_anomaly,
        sample.source,
        draw(work.rules.settings.seed, sample.verdict_id),
    )


def reject(work: Work, record: Incoming, why: DeadLetter) -> None:
    """Send a record to the dead letters."""
    work.step.count("dead_letters", why.reason)
    work.step.outputs.append(dead_letter(record, why, work.rules.topics.dead_letter))
