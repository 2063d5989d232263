"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from models.calibration import sample_budget
from models.drifting import UNKNOWN, Followed, follow_all
from models.judging import Judged, judge
from models.texts import Integers, Texts, together
from processor.answering import Group, Numbers, answer, fits, judgement_of, leave, one
from processor.draft import Draft, Floats, Pending
from processor.normals import Normals, filling_of, filling_of_vectors
from processor.records import ProfileKey
from processor.runs import Runs
from processor.state import Active


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
    profile, ends = runs.profile, np.cumsum(counts)
    widths = runs.widths[profile]
    begins = np.cumsum(widths) - widths
    for at in np.flatnonzero(~plain).tolist():
        part = slice(int(ends[at] - counts[at]), int(ends[at]))
        of_profile = Judged(*(numbers[part] for numbers in judged))
        answer(draft, group_of(runs, at, part, begins[part]), of_profile, normals, part.start)
    normal, usual = judged.decisions >= 0, plain[profile]
    for row in np.flatnonzero(usual & ~normal).tolist():
        at = int(profile[row])
        item = runs.pending(at, row, int(begins[row]))
        numbers = Numbers(*([float(of_all[row])] for of_all in judged))
        judgement = judgement_of(item, numbers, slice(0, 1), draft, runs.models[at])
        outputs, _ = one(draft, item, runs.actives[at], judgement, runs.models[at])
        draft.answers[runs.positions[row]] = outputs
    told = np.bincount(profile[judged.decisions == judged.decisions], minlength=len(plain)) > 0
    draft.step.profiles |= known_after(runs, followed, (plain & told).tolist())
    answer_normal(draft, runs, profile, followed.each, normals, normal & usual)
    vectors = runs.vectors
    missing = vectors.starts == vectors.ends
    if missing.any():
        written = written_rows(runs.values[np.repeat(missing, widths)], widths[missing])
        which = np.arange(rows)
        which[missing] = rows + np.arange(len(written.ends))
        vectors = together(vectors, written).at(which)
    return judged, vectors


def known_after(runs: Runs, followed: Followed, wanted: Sequence[bool]) -> dict[ProfileKey, Active]:
    """Some of the profiles as they are behind their records."""
    columns = zip(
        runs.keys, runs.actives, runs.standings,
        followed.since_anomaly.tolist(), followed.states, wanted, strict=True,
    )  # fmt: skip
    return {
        key: Active(active.record, None if since == UNKNOWN else since, state, standing)
        for key, active, standing, since, state, fine in columns
        if fine
    }


def group_of(runs: Runs, at: int, rows: slice, begins: Integers) -> Group:
    """The records of one profile, which are those of some rows.

    Args:
        begins: where the sample of each begins.
    """
    count = rows.stop - rows.start
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
        lambda number: runs.pending(at, rows.start + number, int(begins[number])),
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
