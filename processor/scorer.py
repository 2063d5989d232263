"""The way of a batch through the scorer: read → route → (learn | score) → Step.

Reading is decoding and extracting, of runs of active profiles all at once. Pure but for opening
models and knowing layouts again: the same state, batch, clock and settings give the same Step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from models.features import KINDS, Mismatch, align
from processor import announcements, ring
from processor.answers import rejection, unscored
from processor.batch import Batch
from processor.commands import execute
from processor.decode import Decoded, decode_all
from processor.draft import FIRST, Draft, Floats, Pending, Rules
from processor.forgetting import finish_silent, forget_silent
from processor.names import OUTPUT_LIMIT
from processor.opened import open_models
from processor.records import DeadLetter, Incoming, Outgoing, ProfileKey
from processor.ring import Ring
from processor.runs import Runs, learn_layouts, read_runs
from processor.scoring import score
from processor.state import ROWS_KIND, Active, Learning, Profile, State
from processor.step import Step


def compute(
    state: State,
    batch: Sequence[Incoming],
    now: int,
    rules: Rules,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[Profile]:
    """The Step of a batch.

    Args:
        state: what is known before the batch; it is not changed.
        batch: records in the order of each partition, of telemetry, commands and candidates.
        now: epoch milliseconds.
        rules: settings, topics, and how models are opened.
        refused: profiles whose artefact could not be written: they go on learning.
    """
    draft = Draft(state, rules, now, refused)
    finish_silent(draft)
    telemetry, controls = parted(Batch.of(batch), rules.topics.kinds())
    for position, record in enumerate(controls):
        if not control(draft, record):
            draft.step.stop_before(record)
            draft.step.rest = [*controls[position:], *telemetry]
            return draft.step
        draft.step.consume(record)
    runs, others = read(draft, telemetry)
    draft.answers = [[]] * len(telemetry)
    for position, value in others:
        record = telemetry[position]
        answer = route(draft, record, value)
        if answer is None:
            draft.step.rest = telemetry[position:]
            telemetry = telemetry[:position]
            runs = runs.before(position)
            break
        if isinstance(answer, Pending):
            draft.waiting[position] = answer
        else:
            draft.answers[position] = answer
    draft.step.consume_all(telemetry)
    count_values(draft, runs)
    normal = score(draft, runs)
    forget_silent(draft)
    for (kind, status, severity), answered in draft.told.items():
        draft.step.count("records", kind, status, by=answered)
        draft.step.count("verdicts", kind, status, severity, by=answered)
    # What else there is to tell of a normal record comes behind its accepted sample.
    answers = chain.from_iterable(zip(normal, draft.answers, strict=True))
    draft.step.outputs += chain.from_iterable(answers)
    return draft.step


def parted(batch: Batch, kinds: Mapping[str, str]) -> tuple[Batch, Batch]:
    """Telemetry, and commands and candidates."""
    if kinds.keys() >= set(batch.topics):
        return batch, batch[:0]
    ours = np.fromiter(map(kinds.__contains__, batch.topics), np.bool_, len(batch))
    return batch.only(ours), batch.only(~ours)


Read = tuple[int, Decoded | DeadLetter]
"""A place in the batch, and what is read there."""


def read(draft: Draft, telemetry: Batch) -> tuple[Runs, list[Read]]:
    """Read the records of a batch: runs of active profiles at once, all others one by one.

    Afterwards every profile that the batch needs is at hand, and every model.
    """
    kinds = draft.rules.topics.kinds()
    runs, left, missed = read_runs(draft, telemetry)
    left.sort()
    decoded = decode_all([telemetry[position] for position in left], kinds, draft.rules.limits)
    others = list(zip(left, decoded, strict=True))
    learn_layouts(draft, telemetry, missed, others)
    profiles = dict.fromkeys(
        (telemetry[position].partition, value.kind, value.profile_id)
        for position, value in others
        if isinstance(value, Decoded)
    )
    draft.recall(profiles)
    found = ((key, draft.profile(key)) for key in profiles)
    open_models(draft, [(key, *held.stood()) for key, held in found if isinstance(held, Active)])
    return runs, others


def control(draft: Draft, record: Incoming) -> bool:
    """Execute a command, or adopt a candidate, before the telemetry of the batch.

    False where the Step must end before it.
    """
    if record.topic == draft.rules.topics.candidates:
        announcements.adopt(draft, record)
        return True
    return execute(draft, record)


def route(
    draft: Draft, record: Incoming, value: Decoded | DeadLetter
) -> list[Outgoing] | Pending | None:
    """The answer to a record, or that it waits for its score; None to end the Step before it."""
    if isinstance(value, DeadLetter):
        return rejection(draft, record, value)
    key = (record.partition, value.kind, value.profile_id)
    profile = draft.profile(key)
    rows, names, unknown = value.extracted.rows, value.extracted.names, 0
    as_it_is = value.extracted.evident
    if profile is not None and KINDS[value.kind].features is None:
        known = names_of(profile)
        # Asked here, too: nearly every record has the profile's own names.
        if names != known:
            fitted = align(value.extracted, known)
            if isinstance(fitted, Mismatch):
                return rejection(draft, record, DeadLetter("feature_mismatch", fitted.detail))
            rows, names, unknown = fitted.rows, known, fitted.unknown
            as_it_is = False
    usable, indices = (rows, FIRST) if as_it_is else evident(rows)
    answer: list[Outgoing] | Pending | None
    if not len(usable):
        answer = unscored(draft, record, value, "abstained", profile)
    elif isinstance(profile, Active):
        answer = Pending(record, value, key, profile, usable, indices)
    elif draft.suppressed(key):
        answer = unscored(draft, record, value, "learning", profile)
    else:
        answer = learn(draft, record, value, key, names, usable)
    if answer is not None:
        draft.rows.setdefault(value.kind, []).append(rows)
        if unknown:
            draft.step.count("unknown_features", value.kind, by=unknown)
    return answer


def evident(rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The rows that hold any evidence, and their places."""
    if len(rows) == 1 and rows[0, 0] == rows[0, 0]:
        return rows, FIRST
    usable = ~np.isnan(rows).all(axis=1)
    return rows[usable], np.flatnonzero(usable)


def names_of(profile: Profile) -> tuple[str, ...]:
    """Names of a profile's features, in order."""
    return profile.ring.names if isinstance(profile, Learning) else tuple(profile.record.features)


def learn(
    draft: Draft,
    record: Incoming,
    value: Decoded,
    key: ProfileKey,
    names: tuple[str, ...],
    rows: Floats,
) -> list[Outgoing] | None:
    """Append a record's samples to its profile's ring, and train where they complete it.

    Its answer; None where the Step has to end before it.
    """
    profile = draft.profile(key)
    before = profile if isinstance(profile, Learning) else Learning(Ring(record.offset, names))
    needed = draft.rules.settings.cold_start(value.kind)
    grown, place, slot = ring.append(before.ring, record.offset, rows, capacity=needed)
    after = replace(before, ring=grown)
    complete = grown.seen >= max(needed, before.retry_at)
    if complete and key not in draft.refused:
        if not draft.may_train(grown.held):
            return None
        announcements.first_version(draft, record, key, before.ring, grown)
    else:
        if complete:
            after = replace(after, retry_at=grown.seen + max(1, needed // 10))
            announcements.not_written(draft, key, grown.generation, after.retry_at)
        stored = ring.changelog(draft.rules.topics.cold_start, key, place, slot)
        if stored.size > OUTPUT_LIMIT:
            why = DeadLetter("unanswerable", "value: its samples do not fit their topic")
            return rejection(draft, record, why)
        draft.step.outputs.append(stored)
        draft.step.profiles[key] = after
    draft.step.heard.add(key)
    return unscored(draft, record, value, "learning", after)


def count_values(draft: Draft, runs: Runs) -> None:
    """Count the values of the batch's samples, and those of them that are absent."""
    if len(runs.positions):
        draft.rows.setdefault(ROWS_KIND, []).append(runs.values)
    for kind, rows in draft.rows.items():
        values = np.concatenate(rows, axis=None)
        draft.step.count("values", kind, by=values.size)
        draft.step.count("missing_values", kind, by=int(np.isnan(values).sum()))
