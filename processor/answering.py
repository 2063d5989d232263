"""Answering: the scored records of one profile, one by one; what is normal but for its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np

from models import drift
from models.artifacts import Model
from models.calibration import sample_budget
from models.drift import UNKNOWN
from models.judging import Judged
from models.severity import severity
from processor import drifts, verdicts
from processor.answers import rejection, tell, unscored
from processor.draft import Draft, Pending
from processor.names import OUTPUT_LIMIT
from processor.normals import Normals, Part
from processor.records import DeadLetter, Outgoing, ProfileKey
from processor.standing import Standing
from processor.state import Active
from processor.verdicts import Judgement

SMALL = OUTPUT_LIMIT // 2
"""A value up to here fits, whatever its key (256 bytes) and the headers of a verdict add."""


class Group(NamedTuple):
    """Records of one profile in their order.

    Attributes:
        positions: their places in the batch.
        observed: epoch milliseconds of each.
        sizes: samples of each.
        ruled: which of them have a severity by rule.
        pending: one of them, as any record that waits for its score.
    """

    key: ProfileKey
    active: Active
    standing: Standing
    model: Model
    positions: Sequence[int]
    observed: Sequence[int]
    sizes: Sequence[int]
    ruled: Sequence[bool]
    pending: Callable[[int], Pending]


def fits(draft: Draft, key: ProfileKey, standing: Standing) -> bool:
    """Whether normal records of one sample may be answered together."""
    return standing.names.answer_bytes <= SMALL and not draft.suppressed(key)


def leave(draft: Draft, normals: Normals, kind: str, part: Part) -> None:
    """Have normal records of one kind, of one sample each, answered together."""
    draft.step.timestamps += normals.add(part)
    draft.told[kind, "scored", "none"] += len(part.positions)


def answer(draft: Draft, group: Group, judged: Judged, normals: Normals, begin: int) -> None:
    """Answer the records of one profile one by one, the normal ones of one sample but for the text.

    Args:
        judged: of the group's rows, the first of which has the number ``begin``.
    """
    key, known = group.key, group.active
    suppressed = draft.suppressed(key)
    together = fits(draft, key, group.standing)
    numbers = Numbers(*(of_all.tolist() for of_all in judged))
    mean = group.standing.mean
    since, wealth = known.since_anomaly, known.drift
    end = 0
    taken: list[Taken] = []
    for at, position in enumerate(group.positions):
        start, end = end, end + group.sizes[at]
        outputs: list[Outgoing] = []
        if together and not group.ruled[at] and end - start == 1 and numbers.decisions[start] >= 0:
            since = None if since is None else since + 1
            if drift.counted(since):
                wealth = drift.update(wealth, numbers.p_values[start], mean)
            count = UNKNOWN if since is None else since
            taken.append((position, count, group.observed[at], begin + start))
        else:
            item = group.pending(at)
            judgement = judgement_of(item, numbers, slice(start, end), draft, group.model)
            before = known.judged(since, wealth)
            outputs, after = one(draft, item, before, judgement, group.model)
            since, wealth = after.since_anomaly, after.drift
        draft.answers[position] = outputs
        if drift.due(wealth) and not suppressed:
            offset = group.pending(at).record.offset
            asked, told = drifts.tell(draft, key, known.judged(since, wealth), offset)
            outputs.append(asked)
            wealth = told.drift
    if taken:
        standing = group.standing
        ends = np.frombuffer(standing.ends, np.int64)[np.newaxis]
        columns = np.array(taken, dtype=np.int64).T
        names = [standing.names], np.zeros(1, np.int64)
        part = Part(*names, [standing.text], ends, np.array([len(taken)]), *columns)
        leave(draft, normals, key[1], part)
        draft.step.heard.add(key)
    if taken or (since, wealth) != (known.since_anomaly, known.drift):
        draft.step.profiles[key] = known.judged(since, wealth)


class Numbers(NamedTuple):
    """What the samples of a group come to, as Python's numbers; in the order of ``Judged``."""

    decisions: list[float]
    p_values: list[float]
    unit: list[float]


Taken = tuple[int, int, int, int]
"""Place and numbers of a normal record, in the order of ``Part``."""


def one(
    draft: Draft, item: Pending, before: Active, judgement: Judgement | None, model: Model
) -> tuple[list[Outgoing], Active]:
    """The answer to any scored record, and its profile after it."""
    record, key, topics = item.record, item.key, draft.rules.topics
    if judgement is None:
        return unscored(draft, record, item.decoded, "abstained", item.active), before
    since = before.since_anomaly
    since = 0 if judgement.anomaly else None if since is None else since + 1
    suppressed = draft.suppressed(key)
    wealth = before.drift if suppressed else drifts.follow(before, judgement, since)
    after = before.judged(since, wealth)
    said = verdicts.scored(item, judgement, model, suppressed=suppressed, now=draft.now)
    outputs = [verdicts.verdict_record(record, said, topics.anomalies, draft.now)]
    if not judgement.anomaly and not suppressed:
        outputs.append(verdicts.accepted_record(item, since, judgement, topics.accepted))
    if any(out.size > OUTPUT_LIMIT for out in outputs if len(out.value or b"") > SMALL):
        why = DeadLetter("unanswerable", f"value: its verdict exceeds {OUTPUT_LIMIT} bytes")
        return rejection(draft, record, why), before
    draft.step.heard.add(key)
    tell(draft, record, said["kind"], said["status"], said["severity"])
    return outputs, after


def judgement_of(
    item: Pending, numbers: Numbers, part: slice, draft: Draft, model: Model
) -> Judgement | None:
    """What the scores of one record come to; None where all is no evidence."""
    rows, indices = item.rows, item.indices
    decisions, p_values, unit = (of_all[part] for of_all in numbers)
    budget = sample_budget(draft.rules.settings.alert_budget, len(rows))
    if isnan(sum(decisions)):
        evident = [at for at, decision in enumerate(decisions) if decision == decision]
        if not evident:
            return None
        rows, indices = rows[evident], indices[evident]
        decisions, p_values, unit = (
            [of_all[at] for at in evident] for of_all in (decisions, p_values, unit)
        )
    decision = min(decisions)
    worst = decisions.index(decision)
    anomaly = decision < 0
    spread = model.detector.calibration_.spread
    grade = severity(p_values[worst], budget, decision, spread) if anomaly else "none"
    return Judgement(rows, indices, decisions, p_values, unit, worst, grade, anomaly)
