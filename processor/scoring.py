"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import compress
from math import isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import drift
from models.artifacts import Model
from models.calibration import sample_budget
from models.drifting import UNKNOWN, Followed, follow_all
from models.judging import Judged, judge
from models.severity import severity
from models.texts import Integers, Texts, together
from processor import drifts, verdicts
from processor.answers import rejection, tell, unscored
from processor.draft import Draft, Floats, Pending
from processor.names import OUTPUT_LIMIT
from processor.normals import Normals, filling_of, filling_of_vectors
from processor.records import TIMESTAMP, DeadLetter, Incoming, Outgoing, ProfileKey
from processor.runs import Runs
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
    records: Sequence[Incoming]
    observed: Sequence[int]
    sizes: Sequence[int]
    ruled: Sequence[bool]
    pending: Callable[[int], Pending]


def score(draft: Draft, runs: Runs) -> None:
    """Score all rows of active profiles, those of one profile together, and write the verdicts."""
    normals = Normals(draft.rules.topics, draft.now)
    parts: list[Scored] = []
    if runs.keys:
        parts.append(score_runs(draft, runs, normals))
    if draft.waiting:
        parts.append(score_waiting(draft, normals, len(runs.records)))
    if not parts:
        return
    judged = Judged(*map(np.concatenate, zip(*(part for part, _ in parts), strict=True)))
    vectors = reduce(together, (texts for _, texts in parts))
    numbers = (*map(filling_of, (judged.unit, judged.decisions, judged.p_values)), vectors)
    for position, outputs in normals.write(numbers):
        # What is there already comes behind the accepted sample.
        outputs += draft.answers[position]
        draft.answers[position] = outputs


Scored = tuple[Judged, Texts]
"""What rows come to, and the rows as JSON without brackets."""


def score_runs(draft: Draft, runs: Runs, normals: Normals) -> Scored:
    """Score records that were read together; the first has the row 0.

    Of nearly every profile no drift is to be told: its normal records are answered at once, with
    those of all others, and only what is not normal one by one.
    """
    counts, rows = runs.counts, len(runs.records)
    budget = sample_budget(draft.rules.settings.alert_budget, 1)
    benches = [model.bench for model in runs.models]
    judged = judge(benches, counts, runs.values, np.full(rows, budget))
    followed = follow_all(
        [active.drift for active in runs.actives],
        [active.since_anomaly for active in runs.actives],
        [standing.mean for standing in runs.standings],
        counts,
        judged.decisions,
        judged.p_values,
    )
    plain = followed.plain & [
        fits(draft, key, standing) for key, standing in zip(runs.keys, runs.standings, strict=True)
    ]
    profile = np.repeat(np.arange(len(runs.keys)), counts)
    ends = np.cumsum(counts)
    for at in np.flatnonzero(~plain).tolist():
        part = slice(int(ends[at] - counts[at]), int(ends[at]))
        of_profile = Judged(*(numbers[part] for numbers in judged))
        answer(draft, group_of(runs, at, part), of_profile, normals, part.start)
    normal, usual = judged.decisions >= 0, plain[profile]
    for row in np.flatnonzero(usual & ~normal).tolist():
        at = int(profile[row])
        item = group_of(runs, at, slice(row, row + 1)).pending(0)
        numbers = Numbers(*([float(of_all[row])] for of_all in judged))
        judgement = judgement_of(item, numbers, slice(0, 1), draft, runs.models[at])
        outputs, _ = one(draft, item, runs.actives[at], judgement, runs.models[at])
        draft.answers[runs.positions[row]] = outputs
    told = np.bincount(profile[judged.decisions == judged.decisions], minlength=len(plain)) > 0
    draft.step.profiles |= after(runs, followed, (plain & told).tolist())
    answer_normal(draft, runs, profile, followed.each, normals, normal & usual)
    vectors, widths = runs.vectors, runs.widths[profile]
    missing = vectors.starts == vectors.ends
    if missing.any():
        written = written_rows(runs.values[np.repeat(missing, widths)], widths[missing])
        which = np.arange(rows)
        which[missing] = rows + np.arange(len(written.ends))
        vectors = together(vectors, written).at(which)
    return judged, vectors


def after(
    runs: Runs, followed: Followed, wanted: Sequence[bool]
) -> Iterable[tuple[ProfileKey, Active]]:
    """Some of the profiles as they are behind their records."""
    columns = zip(
        runs.keys, runs.actives, runs.standings,
        followed.since_anomaly.tolist(), followed.states, wanted, strict=True,
    )  # fmt: skip
    return [
        (key, Active(active.record, None if since == UNKNOWN else since, state, standing))
        for key, active, standing, since, state, fine in columns
        if fine
    ]


def group_of(runs: Runs, at: int, rows: slice) -> Group:
    """The records of one profile, or some of them, which are those of some rows."""
    width, count = int(runs.widths[at]), rows.stop - rows.start
    first = int(runs.counts[:at] @ (runs.widths[:at] - width)) + rows.start * width
    samples = runs.values[first : first + count * width].reshape(count, width)
    return Group(
        runs.keys[at],
        runs.actives[at],
        runs.standings[at],
        runs.models[at],
        runs.positions[rows],
        runs.records[rows],
        runs.observed[rows].tolist(),
        [1] * count,
        [False] * count,
        lambda number: runs.pending(at, rows.start + number, samples[number : number + 1]),
    )


def score_waiting(draft: Draft, normals: Normals, begin: int) -> Scored:
    """Score the records that wait one by one; the first row has the number ``begin``."""
    waiting: dict[int, list[tuple[int, Pending]]] = defaultdict(list)
    for position, pending in draft.waiting.items():
        waiting[id(pending.active)].append((position, pending))
    held = sorted(waiting.values(), key=lambda items: items[0][1].rows.shape[1])
    groups = [grouped(draft, items) for items in held]
    rows = [item.rows for items in held for _, item in items]
    sizes = [len(sample) for sample in rows]
    budget = draft.rules.settings.alert_budget
    values = np.concatenate(rows, axis=None)
    judged = judge(
        [group.model.bench for group in groups],
        np.array([sum(group.sizes) for group in groups]),
        values,
        np.repeat([sample_budget(budget, size) for size in sizes], sizes),
    )
    start = 0
    for group in groups:
        end = start + sum(group.sizes)
        part = Judged(*(numbers[start:end] for numbers in judged))
        answer(draft, group, part, normals, begin + start)
        start = end
    widths = np.repeat([sample.shape[1] for sample in rows], sizes)
    return judged, written_rows(values, widths)


def grouped(draft: Draft, items: Sequence[tuple[int, Pending]]) -> Group:
    """The records of one profile, with their places in the batch."""
    waiting = [item for _, item in items]
    active, standing = waiting[0].active.stood()
    return Group(
        waiting[0].key,
        active,
        standing,
        draft.models[active.record.sha256],
        [position for position, _ in items],
        [item.record for item in waiting],
        [item.decoded.observed_at for item in waiting],
        [len(item.rows) for item in waiting],
        [item.decoded.rule_severity is not None for item in waiting],
        waiting.__getitem__,
    )


def written_rows(values: Floats, widths: Integers) -> Texts:
    """Rows that stand flat one after another, as JSON without brackets.

    Args:
        widths: of each row, ascending.
    """
    found, begin = [], 0
    for width, count in zip(*np.unique(widths, return_counts=True), strict=True):
        end = begin + int(width) * int(count)
        found.append(values[begin:end].reshape(-1, width))
        begin = end
    return filling_of_vectors(found)


def fits(draft: Draft, key: ProfileKey, standing: Standing) -> bool:
    """Whether normal records of one sample may be answered together."""
    return standing.names.answer_bytes <= SMALL and not draft.suppressed(key)


def answer_normal(
    draft: Draft,
    runs: Runs,
    profile: Integers,
    since: Integers,
    normals: Normals,
    wanted: NDArray[np.bool_],
) -> None:
    """Answer the normal records of many profiles.

    Args:
        profile: which one each record is of.
        since: records since the last anomaly, of each.
        wanted: which of the records are normal.
    """
    counts = np.bincount(profile[wanted], minlength=len(runs.keys))
    held, normal = (counts > 0).tolist(), wanted.tolist()
    leave(
        draft, normals,
        list(compress(runs.keys, held)), list(compress(runs.standings, held)), counts[counts > 0],
        list(compress(runs.positions, normal)), list(compress(runs.records, normal)),
        since[wanted], runs.observed[wanted], np.flatnonzero(wanted),
    )  # fmt: skip


def leave(
    draft: Draft,
    normals: Normals,
    keys: Sequence[ProfileKey],
    standings: Sequence[Standing],
    counts: Sequence[int] | Integers,
    positions: Sequence[int],
    records: Sequence[Incoming],
    since: Sequence[int] | Integers,
    observed: Sequence[int] | Integers,
    rows: Sequence[int] | Integers,
) -> None:
    """Have normal records of one sample answered together.

    Args:
        keys: profiles of one kind; the other columns are those of ``Normals.add``.
    """
    if not keys:
        return
    normals.add(standings, counts, positions, records, since, observed, rows)
    draft.step.timestamps += map(TIMESTAMP, records)
    draft.told[keys[0][1], "scored", "none"] += len(records)
    draft.step.heard.update(keys)


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
            taken.append((position, group.records[at], count, group.observed[at], begin + start))
        else:
            item = group.pending(at)
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
        leave(draft, normals, [key], [group.standing], [len(taken)], *zip(*taken, strict=True))
    if taken or (since, wealth) != (known.since_anomaly, known.drift):
        draft.step.profiles[key] = known.judged(since, wealth)


class Numbers(NamedTuple):
    """What the samples of a group come to, as Python's numbers; in the order of ``Judged``."""

    decisions: list[float]
    p_values: list[float]
    unit: list[float]


Taken = tuple[int, Incoming, int, int, int]
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
