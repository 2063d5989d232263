"""Marks: what the scorer tells the retrainer among the accepted samples."""

from __future__ import annotations

from dataclasses import replace

from models.naming import profile_directory
from processor.artifacts.proof import HEADER, proven
from processor.records import ConsumerRecord, DeadLetter, ProfileKey
from processor.retrainer import pool as pools
from processor.retrainer.candidates import train_if_due
from processor.retrainer.pool import Pool
from processor.retrainer.step_builder import RetrainerStepBuilder, emit_lifecycle, reject
from processor.state import ring
from processor.state.ring import Ring
from schemas import Mark, ModelRecord

APPLIED_MARKS = 8
"""Ids of marks that are kept of a profile."""


def apply_mark(builder: RetrainerStepBuilder, record: ConsumerRecord, mark: Mark) -> None:
    """Do what a mark of the scorer says, and only that: others may write here as well.

    A mark to forget is the scorer's if ``models`` has lost what it forgets; the others are proven.
    """
    key = (record.partition, mark.kind, mark.profile_id)
    if mark.mark != "forget" and not proven(builder.context.secret(), record):
        refuse(builder, record, mark, f"{HEADER}: expected the scorer's, over this very record")
        return
    base = builder.announced(key)
    if mark.mark == "forget":
        if base is not None and base.generation <= mark.generation:
            why = f"models still announces version {base.version} of generation {base.generation}"
            refuse(builder, record, mark, f"generation: {mark.generation}, but {why}")
            return
        done = forget_pool(builder, key, mark, base)
    elif base is None or mark.generation != base.generation:
        done = False
    elif mark.mark == "rollback":
        done = roll_back(builder, key, record, mark)
    else:
        done = train_asked(builder, key, record, mark, base)
    builder.step.count("records", mark.kind, mark.mark if done else "outdated")


def refuse(builder: RetrainerStepBuilder, record: ConsumerRecord, mark: Mark, why: str) -> None:
    """Send a mark that is not the scorer's to the dead letters."""
    builder.step.count("records", mark.kind, "refused_mark")
    reject(builder, record, DeadLetter("invalid_mark", why))


def clear(builder: RetrainerStepBuilder, key: ProfileKey) -> None:
    """Drop a profile's pool."""
    pool = builder.pool(key)
    if pool is not None:
        builder.step.outputs += pools.pool_tombstones(builder.context.topics.pool, key, pool)
    builder.step.delta[key] = None


def emptied(
    builder: RetrainerStepBuilder, key: ProfileKey, record: ConsumerRecord, generation: int
) -> Pool:
    """A profile's pool without its samples; of another generation nothing else is kept either."""
    pool = builder.pool(key)
    empty = Pool(Ring(generation, ()), offset=record.offset)
    if pool is None:
        return empty
    builder.step.outputs += ring.tombstones(builder.context.topics.pool, key, pool.ring)
    if pool.generation != generation:
        return empty
    return replace(empty, rolled_back=pool.rolled_back, obeyed=pool.obeyed)


def roll_back(
    builder: RetrainerStepBuilder, key: ProfileKey, record: ConsumerRecord, mark: Mark
) -> bool:
    """Empty the pool: what it holds was judged by the versions that were taken back.

    Once for each version, which only go up: a copy of the mark does nothing.
    """
    pool, version = builder.pool(key), mark.version or 0
    known = 0 if pool is None or pool.generation != mark.generation else pool.rolled_back
    if version <= known:
        return False
    empty = emptied(builder, key, record, mark.generation)
    builder.step.delta[key] = replace(empty, rolled_back=version)
    return True


def train_asked(
    builder: RetrainerStepBuilder,
    key: ProfileKey,
    record: ConsumerRecord,
    mark: Mark,
    base: ModelRecord,
) -> bool:
    """Train on what is pooled, now or with the first sample, once for each command.

    Ids are kept of the last few: of a mark that was written more than one version ago, which is
    as long as a candidate may be under way, nothing is left to do.
    """
    pool, command_id = builder.pool(key), mark.command_id
    if pool is not None and pool.generation != base.generation:
        pool = None
    before = () if pool is None else pool.obeyed
    recent = (mark.version or 0) >= (base.version or 0) - 1
    if command_id is None or command_id in before or not recent:
        return False
    if pool is None:
        pool = emptied(builder, key, record, base.generation)
    obeyed = (command_id, *before)[:APPLIED_MARKS]
    asked = replace(pool, asked=mark.trigger, offset=record.offset, obeyed=obeyed)
    builder.step.delta[key] = asked
    train_if_due(builder, key)
    return True


def forget_pool(
    builder: RetrainerStepBuilder, key: ProfileKey, mark: Mark, base: ModelRecord | None
) -> bool:
    """Drop the pool and all artefacts of a generation and those before it, and say so.

    A candidate that was on its way when the scorer forgot the profile is deleted here: after this
    mark nothing of that generation is written again. Whatever the mark says, nothing newer is
    deleted than what was known here: the profile may have learnt again, and be announcing that.
    """
    partition, kind, profile_id = key
    pool = builder.pool(key)
    generations = {builder.known.gone.get(key, -1), -1 if base is None else base.generation}
    held = 0
    if pool is not None:
        generations.add(pool.generation)
    if pool is None or pool.generation <= mark.generation:
        held = 0 if pool is None else len(pool.ring.used)
        clear(builder, key)
    directory = profile_directory(kind, profile_id, partition)
    newest = min(mark.generation, max(generations))
    # Where nothing was ever announced, all that is written there is the scorer's.
    deleted = builder.context.erase(directory, newest) if newest >= 0 else []
    emit_lifecycle(
        builder,
        key,
        "forgotten",
        f"the retrainer cleared {held} places of the pool and deleted {len(deleted)} artefacts",
        generation=mark.generation,
        command_id=mark.command_id,
        figures={"pool_slots": held, "artifacts": deleted},
    )
    return True
