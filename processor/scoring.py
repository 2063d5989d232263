"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

import numpy as np
import orjson

from models import drift
from models.artifacts import Model
from models.calibration import sample_budget
from models.judging import judge
from models.severity import severity
from processor import drifts, verdicts
from processor.answers import rejection, tell, unscored
from processor.draft import Draft, Floats, Pending
from processor.names import OUTPUT_LIMIT
from processor.records import DeadLetter, Outgoing
from processor.state import Active
from processor.verdicts import Judgement, Template

SMALL = OUTPUT_LIMIT // 2
"""A value up to here fits, whatever its key (256 bytes) and the headers of a verdict add."""

Group = Sequence[tuple[int, Pending]]
"""Records of one profile and their places in the batch."""


class Numbers(NamedTuple):
    """What the samples of a batch come to, one entry each, group by group; the texts are JSON."""

    decisions: list[float]
    p_values: list[float]
    unit: list[float]
    decision_texts: list[bytes]
    p_value_texts: list[bytes]
    unit_texts: list[bytes]
    vector_texts: list[bytes]


def score(draft: Draft) -> None:
    """Score all rows of active profiles, those of one profile together, and write the verdicts."""
    waiting: dict[int, list[tuple[int, Pending]]] = {}
    for position, pending in enumerate(draft.answers):
        if isinstance(pending, Pending):
            waiting.setdefault(id(pending.active), []).append((position, pending))
    if not waiting:
        return
    groups = list(waiting.values())
    models = [draft.models[group[0][1].active.record.sha256] for group in groups]
    numbers = judged(groups, models, draft.rules.settings.alert_budget)
    begin = 0
    for group, model in zip(groups, models, strict=True):
        begin = answer(draft, group, model, numbers, begin)


def judged(groups: Sequence[Group], models: Sequence[Model], budget: float) -> Numbers:
    """Judge the samples of all groups in one call, each group by its model."""
    sizes = [[len(item.rows) for _, item in group] for group in groups]
    counts = [sum(of_group) for of_group in sizes]
    flat = [size for of_group in sizes for size in of_group]
    values = np.concatenate([item.rows for group in groups for _, item in group], axis=None)
    found = judge(
        [model.bench for model in models],
        np.array(counts),
        values,
        np.repeat([sample_budget(budget, size) for size in flat], flat),
    )
    told = found.decisions, found.p_values, found.unit
    decisions, p_values, unit = (numbers.tolist() for numbers in told)
    decision_texts, p_value_texts, unit_texts = map(texts_of, told)
    vectors = vector_texts(values, [len(model.features) for model in models], counts)
    return Numbers(decisions, p_values, unit, decision_texts, p_value_texts, unit_texts, vectors)


def vector_texts(values: Floats, widths: Sequence[int], counts: Sequence[int]) -> list[bytes]:
    """Each row as JSON without its brackets; ``counts`` rows of each of these widths."""
    if len(set(widths)) == 1:
        tables = [values.reshape(-1, widths[0])]
    else:
        ends = np.cumsum(np.array(widths) * counts)
        parts = zip(np.split(values, ends[:-1]), widths, strict=True)
        tables = [part.reshape(-1, width) for part, width in parts]
    dumped = (orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY) for table in tables)
    return [text for rows in dumped for text in rows[2:-2].split(b"],[")]


def texts_of(numbers: Floats) -> list[bytes]:
    """Each number as JSON."""
    return orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def answer(draft: Draft, group: Group, model: Model, numbers: Numbers, begin: int) -> int:
    """Answer the records of one profile, whose samples stand from ``begin`` on; where they end.

    Nearly all of them hold one sample that is normal; what they say differs in a few numbers only,
    and is made from a template. The others are written field by field.
    """
    first = group[0][1]
    key, announced = first.key, first.active.record
    current = draft.profile(key)
    known = current if isinstance(current, Active) else first.active
    template = None if draft.suppressed(key) else Template(first, draft.rules.topics, draft.now)
    mean = drift.least_mean(announced.trained_on)
    since, wealth = known.since_anomaly, known.drift
    end, normal = begin, 0
    for position, item in group:
        begin, end = end, end + len(item.rows)
        if (
            template is not None
            and end - begin == 1
            and numbers.decisions[begin] >= 0
            and item.decoded.rule_severity is None
            and template.size + len(numbers.vector_texts[begin]) <= SMALL
        ):
            since = None if since is None else since + 1
            if drift.counted(since):
                wealth = drift.update(wealth, numbers.p_values[begin], mean)
            outputs = template.normal(
                item,
                since,
                numbers.unit_texts[begin],
                numbers.decision_texts[begin],
                numbers.p_value_texts[begin],
                numbers.vector_texts[begin],
            )
            draft.step.timestamps.append(item.record.timestamp)
            normal += 1
        else:
            judgement = judgement_of(item, numbers, slice(begin, end), draft, model)
            before = item.active.judged(since, wealth)
            outputs, after = one(draft, item, before, judgement, model)
            since, wealth = after.since_anomaly, after.drift
        if drift.due(wealth) and template is not None:
            asked, told = drifts.tell(draft, key, item.active.judged(since, wealth))
            outputs.append(asked)
            wealth = told.drift
        draft.answers[position] = outputs
    if normal:
        draft.told[announced.kind, "scored", "none"] += normal
        draft.step.heard.add(key)
    if normal or (since, wealth) != (known.since_anomaly, known.drift):
        draft.step.profiles[key] = first.active.judged(since, wealth)
    return end


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
    draft.step.profiles[key] = after
    draft.step.heard.add(key)
    tell(draft, record, said["kind"], said["status"], said["severity"])
    return outputs, after


def judgement_of(
    item: Pending, numbers: Numbers, part: slice, draft: Draft, model: Model
) -> Judgement | None:
    """What the scores of one record come to; None where all is no evidence."""
    rows, indices = item.rows, item.indices
    decisions, p_values, unit = (of_all[part] for of_all in numbers[:3])
    budget = sample_budget(draft.rules.settings.alert_budget, len(rows))
    if isnan(sum(decisions)):
        evident = [at for at, decision in enumerate(decisions) if decision == decision]
        if not evident:
            return None
        rows, indices = rows[evident], indices[evident]
        decisions, p_values, unit = (
            [numbers[at] for at in evident] for numbers in (decisions, p_values, unit)
        )
    decision = min(decisions)
    worst = decisions.index(decision)
    anomaly = decision < 0
    spread = model.detector.calibration_.spread
    grade = severity(p_values[worst], budget, decision, spread) if anomaly else "none"
    return Judgement(rows, indices, decisions, p_values, unit, worst, grade, anomaly)
