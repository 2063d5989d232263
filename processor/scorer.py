"""The way of a batch through the scorer: decode → extract → route → (learn | score) → Step.

Pure but for opening models: the same state, batch, clock and settings give the same Step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.artifacts import Model
from models.features import KINDS, Mismatch, align
from processor import announcements, ring, verdicts
from processor.commands import execute
from processor.decode import Decoded, dead_letter, decode
from processor.draft import Draft, Floats, Pending, Rules
from processor.names import OUTPUT_LIMIT
from processor.records import DeadLetter, Incoming, Outgoing, ProfileKey
from processor.ring import Ring
from processor.state import Active, Learning, Profile, State
from processor.step import Step
from processor.verdicts import Judge, Judgement


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
    kinds = rules.topics.kinds()
    telemetry = [record for record in batch if record.topic in kinds]
    controls = [record for record in batch if record.topic not in kinds]
    for position, record in enumerate(controls):
        if not control(draft, record):
            draft.step.stop_before(record)
            draft.step.rest = [*controls[position:], *telemetry]
            return draft.step
        draft.step.consume(record)
    limits = rules.limits
    decoded = [decode(record, kinds[record.topic], limits) for record in telemetry]
    open_models(draft, telemetry, decoded)
    for position, (record, value) in enumerate(zip(telemetry, decoded, strict=True)):
        if not route(draft, record, value):
            draft.step.rest = telemetry[position:]
            break
        draft.step.consume(record)
    score(draft)
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


def open_models(
    draft: Draft, records: Sequence[Incoming], decoded: Sequence[Decoded | DeadLetter]
) -> None:
    """Have every model that the batch needs at hand, or say that it is lost."""
    needed: dict[ProfileKey, Active] = {}
    for record, value in zip(records, decoded, strict=True):
        if isinstance(value, Decoded):
            key = (record.partition, value.kind, value.profile_id)
            profile = draft.profile(key)
            if isinstance(profile, Active):
                needed[key] = profile
    opened = draft.rules.open_models(active.record for active in needed.values())
    for key, active in needed.items():
        model = opened[active.record.sha256]
        if isinstance(model, Model):
            draft.models[active.record.sha256] = model
        else:
            announcements.fall_back(draft, key, active, model)


def route(draft: Draft, record: Incoming, value: Decoded | DeadLetter) -> bool:
    """Answer a record or queue it for scoring; False where the Step must end before it."""
    if isinstance(value, DeadLetter):
        reject(draft, record, value)
        return True
    key = (record.partition, value.kind, value.profile_id)
    profile = draft.profile(key)
    rows, names, unknown = value.extracted.rows, value.extracted.names, 0
    if profile is not None and KINDS[value.kind].features is None:
        known = names_of(profile)
        fitted = align(value.extracted, known)
        if isinstance(fitted, Mismatch):
            reject(draft, record, DeadLetter("feature_mismatch", fitted.detail))
            return True
        rows, names, unknown = fitted.rows, known, fitted.unknown
    usable = ~np.isnan(rows).all(axis=1)
    if not usable.any():
        answer(draft, record, value, "abstained", profile)
    elif isinstance(profile, Active):
        draft.answers.append(
            Pending(record, value, key, profile, rows[usable], np.flatnonzero(usable))
        )
    elif draft.suppressed(key):
        answer(draft, record, value, "learning", profile)
    elif not learn(draft, record, value, key, names, rows[usable]):
        return False
    if unknown:
        draft.step.count("unknown_features", value.kind, by=unknown)
    return True


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
        if draft.trainings >= draft.rules.settings.trainings_per_step:
            return False
        draft.trainings += 1
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
    answer(draft, record, value, "learning", after)
    return True


def score(draft: Draft) -> None:
    """Score all rows of active profiles, those of one model together, and write the verdicts."""
    waiting: dict[str, list[tuple[int, Pending]]] = {}
    for position, pending in enumerate(draft.answers):
        if isinstance(pending, Pending):
            waiting.setdefault(pending.active.record.sha256, []).append((position, pending))
    judged: dict[int, tuple[Pending, Judgement | None]] = {}
    for sha256, group in waiting.items():
        model = draft.models[sha256]
        scores = model.detector.score_samples(np.concatenate([item.rows for _, item in group]))
        judge = Judge(model.detector, draft.rules.settings.alert_budget)
        start = 0
        for position, item in group:
            end = start + item.rows.shape[0]
            judged[position] = (item, judge.judge(item, scores[start:end]))
            start = end
    for position in sorted(judged):
        item, judgement = judged[position]
        if judgement is None:
            draft.answers[position] = abstention(draft, item)
        else:
            draft.answers[position] = verdict(draft, item, judgement)


def verdict(draft: Draft, pending: Pending, judgement: verdicts.Judgement) -> list[Outgoing]:
    """The verdict of a scored record, and its accepted sample where it is normal."""
    record, key, topics = pending.record, pending.key, draft.rules.topics
    current = draft.profile(key)
    since = current.since_anomaly if isinstance(current, Active) else None
    since = 0 if judgement.anomaly else None if since is None else since + 1
    active = replace(pending.active, since_anomaly=since)
    suppressed = draft.suppressed(key)
    said = verdicts.scored(
        pending,
        active,
        judgement,
        draft.models[active.record.sha256],
        suppressed=suppressed,
        now=draft.now,
    )
    outputs = [verdicts.verdict_record(record, said, topics.anomalies, draft.now)]
    if not judgement.anomaly and not suppressed:
        outputs.append(verdicts.accepted_record(pending, active, judgement, topics.accepted))
    if any(out.size > OUTPUT_LIMIT for out in outputs):
        why = DeadLetter("unanswerable", f"value: its verdict exceeds {OUTPUT_LIMIT} bytes")
        return rejection(draft, record, why)
    draft.step.profiles[key] = active
    tell(draft, record, said["kind"], said["status"], said["severity"])
    return outputs


def abstention(draft: Draft, pending: Pending) -> list[Outgoing]:
    """The verdict of a record whose model finds no evidence in it that it was trained on."""
    return unscored(draft, pending.record, pending.decoded, "abstained", pending.active)


def answer(
    draft: Draft, record: Incoming, value: Decoded, status: str, profile: Profile | None
) -> None:
    """Answer a record with a verdict that is not scored."""
    draft.answers.append(unscored(draft, record, value, status, profile))


def unscored(
    draft: Draft, record: Incoming, value: Decoded, status: str, profile: Profile | None
) -> list[Outgoing]:
    key = (record.partition, value.kind, value.profile_id)
    said = verdicts.unscored(
        record,
        value,
        status,
        profile=profile,
        generation=draft.generation(key),
        needed=draft.rules.settings.cold_start(value.kind),
        suppressed=draft.suppressed(key),
        now=draft.now,
    )
    tell(draft, record, value.kind, status, "none")
    return [verdicts.verdict_record(record, said, draft.rules.topics.anomalies, draft.now)]


def reject(draft: Draft, record: Incoming, why: DeadLetter) -> None:
    """Send a record to the dead letters."""
    draft.answers.append(rejection(draft, record, why))


def rejection(draft: Draft, record: Incoming, why: DeadLetter) -> list[Outgoing]:
    kind = draft.rules.topics.kinds()[record.topic]
    draft.step.count("records", kind, "dead_letter")
    draft.step.count("dead_letters", why.reason)
    return [dead_letter(record, why, draft.rules.topics.dead_letter)]


def tell(draft: Draft, record: Incoming, kind: str, status: str, severity: str) -> None:
    draft.step.count("records", kind, status)
    draft.step.count("verdicts", kind, status, severity)
    draft.step.timestamps.append(record.timestamp)


def as_outputs(answer: list[Outgoing] | Pending) -> list[Outgoing]:
    if isinstance(answer, Pending):
        raise AssertionError("a record was left without a verdict")
    return answer
