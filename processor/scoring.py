"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from math import isnan
from typing import NamedTuple

import numpy as np

from models import drift
from models.artifacts import Model
from models.calibration import sample_budget
from models.drift import Drift
from models.drifting import follow_all
from models.judging import Judged, judge
from models.severity import severity
from processor import drifts, verdicts
from processor.answers import rejection, tell, unscored
from processor.draft import Draft, Floats, Pending
from processor.names import OUTPUT_LIMIT
from processor.normals import Normals, filling_of, filling_of_vectors
from processor.records import DeadLetter, Incoming, Outgoing, ProfileKey
from processor.runs import Run
from processor.state import Active
from processor.verdicts import Judgement

SMALL = OUTPUT_LIMIT // 2
"""A value up to here fits, whatever its key (256 bytes) and the headers of a verdict add."""

NUMBER_BYTES, OTHER_BYTES = 25, 16_384
"""At most: a number as JSON and what parts it from the next, and all of an answer but the names."""


class Group(NamedTuple):
    """Records of one profile in their order.

    Attributes:
        items: the records; those of a run are made when they are asked for.
        values: their samples one after another, flat.
        sizes: samples of each record.
    """

    key: ProfileKey
    active: Active
    model: Model
    positions: list[int]
    items: Sequence[Pending] | Run
    values: Floats
    sizes: list[int]

    @property
    def plain(self) -> bool:
        """Whether each has one sample, and no severity by rule."""
        return isinstance(self.items, Run) or (max(self.sizes) == 1 and not any(self.ruled()))

    def item(self, at: int) -> Pending:
        return self.items.pending(at) if isinstance(self.items, Run) else self.items[at]

    def columns(self) -> tuple[list[Incoming], list[int]]:
        """The records as they were polled, and when each was observed."""
        if isinstance(self.items, Run):
            return self.items.records, self.items.observed
        records = [item.record for item in self.items]
        return records, [item.decoded.observed_at for item in self.items]

    def ruled(self) -> list[bool]:
        """Which records have a severity by rule."""
        if isinstance(self.items, Run):
            return [False] * len(self.positions)
        return [item.decoded.rule_severity is not None for item in self.items]


def score(draft: Draft, runs: Sequence[Run]) -> None:
    """Score all rows of active profiles, those of one profile together, and write the verdicts."""
    groups = grouped(draft, runs)
    if not groups:
        return
    judged = judge_all(groups, draft.rules.settings.alert_budget)
    normals = Normals(draft.rules.topics, draft.now)
    begin = 0
    for group, after in zip(groups, followed(groups, judged), strict=True):
        end = begin + sum(group.sizes)
        if after is not None and fits(draft, group):
            answer_normal(draft, group, after, normals, begin)
        else:
            part = Judged(*(numbers[begin:end] for numbers in judged))
            answer(draft, group, part, normals, begin)
        begin = end
    vectors = filling_of_vectors(tables(groups))
    numbers = (*map(filling_of, (judged.unit, judged.decisions, judged.p_values)), vectors)
    for position, outputs in normals.write(numbers):
        # What is there already comes behind the accepted sample.
        outputs += draft.answers[position]
        draft.answers[position] = outputs


def grouped(draft: Draft, runs: Sequence[Run]) -> list[Group]:
    """The records that wait for a score by profile, profiles of one width together."""
    groups = [
        Group(
            run.key, run.active, run.model, run.positions, run,
            run.rows.reshape(-1), [1] * len(run.positions),
        )
        for run in runs
        if run.positions
    ]  # fmt: skip
    waiting: dict[int, list[tuple[int, Pending]]] = defaultdict(list)
    for position, pending in draft.waiting.items():
        waiting[id(pending.active)].append((position, pending))
    for held in waiting.values():
        positions, items = [position for position, _ in held], [item for _, item in held]
        first, sizes = items[0], [len(item.rows) for item in items]
        groups.append(
            Group(
                first.key, first.active, draft.models[first.active.record.sha256], positions,
                items, np.concatenate([item.rows for item in items], axis=None), sizes,
            )
        )  # fmt: skip
    return sorted(groups, key=lambda group: len(group.model.features))


def judge_all(groups: Sequence[Group], budget: float) -> Judged:
    """Judge the samples of all groups in one call, each group by its model."""
    sizes = [size for group in groups for size in group.sizes]
    return judge(
        [group.model.bench for group in groups],
        np.array([sum(group.sizes) for group in groups]),
        np.concatenate([group.values for group in groups]),
        np.repeat([sample_budget(budget, size) for size in sizes], sizes),
    )


def tables(groups: Sequence[Group]) -> list[Floats]:
    """The samples of all groups, one array for those of one width."""
    widths = groupby(groups, lambda group: len(group.model.features))
    return [
        np.concatenate([group.values for group in alike]).reshape(-1, width)
        for width, alike in widths
    ]


def followed(groups: Sequence[Group], judged: Judged) -> list[Drift | None]:
    """What is known of each profile's drift afterwards; None where not all its records are plain.

    Plain are those of one sample that are normal, where no drift is to be told.
    """
    found = follow_all(
        [group.active.drift for group in groups],
        [group.active.since_anomaly for group in groups],
        [group.active.record.trained_on for group in groups],
        [sum(group.sizes) for group in groups],
        judged.decisions,
        judged.p_values,
    )
    return [after if group.plain else None for group, after in zip(groups, found, strict=True)]


def fits(draft: Draft, group: Group) -> bool:
    """Whether normal records of one sample may be answered together."""
    most = OTHER_BYTES + NUMBER_BYTES * len(group.model.features) + group.model.name_bytes
    return most <= SMALL and not draft.suppressed(group.key)


def answer_normal(draft: Draft, group: Group, after: Drift, normals: Normals, begin: int) -> None:
    """Answer a profile's records that are all normal; the first has the row ``begin``."""
    active, count = group.active, len(group.positions)
    before = active.since_anomaly
    since: Sequence[int | None] = (
        [None] * count if before is None else range(before + 1, before + 1 + count)
    )
    records, observed = group.columns()
    rows = range(begin, begin + count)
    leave(draft, group, normals, group.positions, records, since, observed, rows)
    draft.step.profiles[group.key] = active.judged(since[-1], after)


def leave(
    draft: Draft,
    group: Group,
    normals: Normals,
    positions: Sequence[int],
    records: Sequence[Incoming],
    since: Sequence[int | None],
    observed: Sequence[int],
    rows: Sequence[int],
) -> None:
    """Have normal records of one sample answered together; the columns are those of ``normals``."""
    normals.add(group.active.record, positions, records, since, observed, rows)
    draft.step.timestamps += [record.timestamp for record in records]
    draft.told[group.key[1], "scored", "none"] += len(records)
    draft.step.heard.add(group.key)


def answer(draft: Draft, group: Group, judged: Judged, normals: Normals, begin: int) -> None:
    """Answer the records of one profile one by one, the normal ones of one sample but for the text.

    Args:
        judged: of the group's rows, the first of which has the number ``begin``.
    """
    key, known = group.key, group.active
    together = fits(draft, group)
    suppressed = draft.suppressed(key)
    numbers = Numbers(*(of_all.tolist() for of_all in judged))
    mean = drift.least_mean(known.record.trained_on)
    since, wealth = known.since_anomaly, known.drift
    end = 0
    taken: list[Taken] = []
    records, observed = group.columns()
    ruled = group.ruled()
    for at, position in enumerate(group.positions):
        start, end = end, end + group.sizes[at]
        outputs: list[Outgoing] = []
        if together and not ruled[at] and end - start == 1 and numbers.decisions[start] >= 0:
            since = None if since is None else since + 1
            if drift.counted(since):
                wealth = drift.update(wealth, numbers.p_values[start], mean)
            taken.append((position, records[at], since, observed[at], begin + start))
        else:
            item = group.item(at)
            judgement = judgement_of(item, numbers, slice(start, end), draft, group.model)
            before = known.judged(since, wealth)
            outputs, after = one(draft, item, before, judgement, group.model)
            since, wealth = after.since_anomaly, after.drift
        draft.answers[position] = outputs
        if drift.due(wealth) and not suppressed:
            asked, told = drifts.tell(draft, key, known.judged(since, wealth))
            outputs.append(asked)
            wealth = told.drift
    if taken:
        leave(draft, group, normals, *zip(*taken, strict=True))
    if taken or (since, wealth) != (known.since_anomaly, known.drift):
        draft.step.profiles[key] = known.judged(since, wealth)


class Numbers(NamedTuple):
    """What the samples of a group come to, as Python's numbers; in the order of ``Judged``."""

    decisions: list[float]
    p_values: list[float]
    unit: list[float]


Taken = tuple[int, Incoming, int | None, int, int]
"""A normal record, in the order of ``leave``."""


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
