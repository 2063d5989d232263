"""The way of a batch through the scorer: decode → extract → route → (learn | score) → Step.

Pure but for opening models: the same state, batch, clock and settings give the same Step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.features import KINDS, Mismatch, align
from processor import announcements, ring
from processor.answers import rejection, unscored
from processor.commands import execute
from processor.decode import Decoded, decode_all
from processor.draft import Draft, Floats, Pending, Rules
from processor.forgetting import finish_silent, forget_silent
from processor.names import OUTPUT_LIMIT
from processor.records import DeadLetter, Incoming, Outgoing, ProfileKey
from processor.ring import Ring
from processor.scoring import score
from processor.state import Active, Learning, Profile, State
from processor.step import Step

FIRST = np.zeros(1, dtype=np.int64)


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
    kinds = rules.topics.kinds()
    telemetry = [record for record in batch if record.topic in kinds]
    controls = [record for record in batch if record.topic not in kinds]
    for position, record in enumerate(controls):
        if not control(draft, record):
            draft.step.stop_before(record)
            draft.step.rest = [*controls[position:], *telemetry]
            return draft.step
        draft.step.consume(record)
    decoded = decode_all(telemetry, kinds, rules.limits)
    keys = [
        (record.partition, value.kind, value.profile_id) if type(value) is Decoded else None
        for record, value in zip(telemetry, decoded, strict=True)
    ]
    profiles = dict.fromkeys(key for key in keys if key is not None)
    draft.recall(profiles)
    open_models(draft, profiles)
    for position, (record, value, key) in enumerate(zip(telemetry, decoded, keys, strict=True)):
        if isinstance(value, DeadLetter):
            reject(draft, record, value)
        elif key is not None and not route(draft, record, value, key):
            draft.step.rest = telemetry[position:]
            break
        draft.step.consume(record)
    count_values(draft)
    score(draft)
    forget_silent(draft)
    for (kind, status, severity), answered in draft.told.items():
        draft.step.count("records", kind, status, by=answered)
        draft.step.count("verdicts", kind, status, severity, by=answered)
    draft.step.outputs += [out for answer in draft.answers for out in as_outputs(answer)]
    return draft.step


def control(draft: Draft, record: Incoming) -> bool:
    """Execute a command, or adopt a candidate, before the telemetry of the batch.

    False where the Step must end before it.
    """
    if record.topic == draft.rules.topics.candidates:
        announcements.adopt(draft, record)
        return True
    return execute(draft, record)


def open_models(draft: Draft, profiles: Iterable[ProfileKey]) -> None:
    """Have every model that the batch needs at hand, or say that it is lost."""
    found = {key: draft.profile(key) for key in profiles}
    needed = {key: profile for key, profile in found.items() if isinstance(profile, Active)}
    opened = draft.rules.open_models(active.record for active in needed.values())
    for key, active in needed.items():
        model = opened[active.record.sha256]
        if isinstance(model, Model):
            draft.models[active.record.sha256] = model
        else:
            announcements.fall_back(draft, key, active, model)


def route(draft: Draft, record: Incoming, value: Decoded, key: ProfileKey) -> bool:
    """Answer a record or queue it for scoring; False where the Step must end before it."""
    profile = draft.profile(key)
    rows, names, unknown = value.extracted.rows, value.extracted.names, 0
    as_it_is = value.extracted.evident
    if profile is not None and KINDS[value.kind].features is None:
        known = names_of(profile)
        # Asked here, too: nearly every record has the profile's own names.
        if names != known:
            fitted = align(value.extracted, known)
            if isinstance(fitted, Mismatch):
                reject(draft, record, DeadLetter("feature_mismatch", fitted.detail))
                return True
            rows, names, unknown = fitted.rows, known, fitted.unknown
            as_it_is = False
    usable, indices = (rows, FIRST) if as_it_is else evident(rows)
    if not len(usable):
        answer(draft, record, value, "abstained", profile)
    elif isinstance(profile, Active):
        draft.answers.append(Pending(record, value, key, profile, usable, indices))
    elif draft.suppressed(key):
        answer(draft, record, value, "learning", profile)
    elif not learn(draft, record, value, key, names, usable):
        return False
    draft.rows.setdefault(value.kind, []).append(rows)
    if unknown:
        draft.step.count("unknown_features", value.kind, by=unknown)
    return True


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
) -> bool:
    """Append a record's samples to its profile's ring, and train where they complete it."""
    profile = draft.profile(key)
    before = profile if isinstance(profile, Learning) else Learning(Ring(record.offset, names))
    needed = draft.rules.settings.cold_start(value.kind)
    grown, slot = ring.append(before.ring, record.offset, rows, capacity=needed)
    after = replace(before, ring=grown)
    complete = grown.seen >= max(needed, before.retry_at)
    if complete and key not in draft.refused:
        if not draft.may_train(grown.held):
            return False
        announcements.first_version(draft, record, key, before.ring, grown)
    else:
        if complete:
            after = replace(after, retry_at=grown.seen + max(1, needed // 10))
            announcements.not_written(draft, key, grown.generation, after.retry_at)
        stored = ring.changelog(draft.rules.topics.cold_start, key, slot, needed)
        if stored.size > OUTPUT_LIMIT:
            reject(
                draft,
                record,
                DeadLetter("unanswerable", "value: its samples do not fit their topic"),
            )
            return True
        draft.step.outputs.append(stored)
        draft.step.profiles[key] = after
    draft.step.heard.add(key)
    answer(draft, record, value, "learning", after)
    return True


def count_values(draft: Draft) -> None:
    """Count the values of the batch's samples, and those of them that are absent."""
    for kind, rows in draft.rows.items():
        values = np.concatenate(rows, axis=None)
        draft.step.count("values", kind, by=values.size)
        draft.step.count("missing_values", kind, by=int(np.isnan(values).sum()))


def answer(
    draft: Draft, record: Incoming, value: Decoded, status: str, profile: Profile | None
) -> None:
    """Answer a record with a verdict that is not scored."""
    draft.answers.append(unscored(draft, record, value, status, profile))


def reject(draft: Draft, record: Incoming, why: DeadLetter) -> None:
    """Send a record to the dead letters."""
    draft.answers.append(rejection(draft, record, why))


def as_outputs(answer: list[Outgoing] | Pending) -> list[Outgoing]:
    if isinstance(answer, Pending):
        raise AssertionError("a record was left without a verdict")
    return answer
