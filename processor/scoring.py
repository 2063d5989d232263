"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.calibration import sample_budget
from models.drift import Drifts
from models.drifting import follow_all
from models.judging import Judged, judge, judge_at
from models.texts import Integers, Texts, together
from processor.answering import SMALL, Group, Numbers, answer, judgement_of, leave, one
from processor.draft import Draft, Floats, Pending
from processor.normals import Normals, Part, filling_of, filling_of_vectors
from processor.records import Outgoing, ProfileKey
from processor.rows import Changes, column, drifts_of
from processor.runs import Runs
from processor.state import ROWS_KIND


def score(draft: Draft, runs: Runs) -> Sequence[Sequence[Outgoing]]:
    """Score all rows of active profiles, those of one profile together.

    What normal records are answered with, of others nothing, by their place in the batch: other
    verdicts are among the draft's answers.
    """
    normals = Normals(runs.batch, draft.rules.topics, draft.now)
    parts: list[Scored] = []
    if len(runs.positions):
        parts.append(score_runs(draft, runs, normals))
    if draft.waiting:
        parts.append(score_waiting(draft, normals, len(runs.positions)))
    if not parts:
        return [()] * len(runs.batch)
    judged = Judged(*map(np.concatenate, zip(*(part for part, _ in parts), strict=True)))
    vectors = reduce(together, (texts for _, texts in parts))
    numbers = filling_of(np.array([judged.unit, judged.decisions, judged.p_values]))
    return normals.write((numbers, vectors))


Scored = tuple[Judged, Texts]
"""What rows come to, and the rows as JSON without brackets."""


def score_runs(draft: Draft, runs: Runs, normals: Normals) -> Scored:
    """Score records that were read together; the first has the row 0.

    Of nearly every profile no drift is to be told: its normal records are answered at once, with
    those of all others, and only what is not normal one by one.
    """
    counts, rows = runs.counts, len(runs.positions)
    budget = sample_budget(draft.rules.settings.alert_budget, 1)
    judged = judge_at(
        column(runs.table, "place"),
        runs.sorts,
        runs.sort,
        counts,
        runs.values,
        np.full(rows, budget),
        lambda at: model_of(draft, runs, at).bench,
    )
    followed = follow_all(
        drifts_of(runs.table),
        column(runs.table, "since_anomaly"),
        column(runs.table, "mean"),
        counts,
        judged.decisions,
        judged.p_values,
    )
    plain = followed.plain & fitting(draft, runs)
    profile, ends = runs.profile, np.cumsum(counts)
    widths = runs.widths[profile]
    begins = np.cumsum(widths) - widths
    for at in np.flatnonzero(~plain).tolist():
        part = slice(int(ends[at] - counts[at]), int(ends[at]))
        of_profile = Judged(*(numbers[part] for numbers in judged))
        group = group_of(draft, runs, at, part, begins[part])
        answer(draft, group, of_profile, normals, part.start)
    normal, usual = judged.decisions >= 0, plain[profile]
    for row in np.flatnonzero(usual & ~normal).tolist():
        at = int(profile[row])
        item = runs.pending(at, row, int(begins[row]))
        numbers = Numbers(*([float(of_all[row])] for of_all in judged))
        model = model_of(draft, runs, at)
        judgement = judgement_of(item, numbers, slice(0, 1), draft, model)
        outputs, _ = one(draft, item, item.active, judgement, model)
        draft.answers[runs.positions[row]] = outputs
    told = np.bincount(profile[judged.decisions == judged.decisions], minlength=len(plain)) > 0
    changed = plain & told
    draft.step.changes = Changes(
        runs.rows[changed],
        Drifts(*(numbers[changed] for numbers in followed.drifts)),
        followed.since_anomaly[changed],
    )
    answer_normal(draft, runs, profile, followed.each, normals, normal & usual)
    vectors = runs.vectors
    missing = vectors.starts == vectors.ends
    if missing.any():
        written = written_rows(runs.values[np.repeat(missing, widths)], widths[missing])
        which = np.arange(rows)
        which[missing] = rows + np.arange(len(written.ends))
        vectors = together(vectors, written).at(which)
    return judged, vectors


def fitting(draft: Draft, runs: Runs) -> NDArray[np.bool_]:
    """Of which profiles normal records may be answered together."""
    small = np.array([each.answer_bytes <= SMALL for each in runs.names], dtype=np.bool_)
    fit: NDArray[np.bool_] = small[runs.name]
    if not draft.windows:
        return fit
    keys = map(runs.key, range(len(fit)))
    return fit & ~np.fromiter(map(draft.suppressed, keys), np.bool_, len(fit))


def model_of(draft: Draft, runs: Runs, at: int) -> Model:
    """The model of one profile."""
    row = runs.table[at]
    held = draft.models.get(runs.profiles.rows.standings[runs.rows[at]].sha256)
    return held or draft.rules.cache.model(int(row["slot"]), int(row["serial"]))


def group_of(draft: Draft, runs: Runs, at: int, rows: slice, begins: Integers) -> Group:
    """The records of one profile, which are those of some rows.

    Args:
        begins: where the sample of each begins.
    """
    count = rows.stop - rows.start
    return Group(
        runs.key(at),
        *runs.active(at),
        model_of(draft, runs, at),
        runs.positions[rows].tolist(),
        runs.observed[rows].tolist(),
        [1] * count,
        [False] * count,
        lambda number: runs.pending(at, rows.start + number, int(begins[number])),
    )


def score_waiting(draft: Draft, normals: Normals, begin: int) -> Scored:
    """Score the records that wait one by one; the first row has the number ``begin``."""
    waiting: dict[ProfileKey, list[tuple[int, Pending]]] = defaultdict(list)
    for position, pending in draft.waiting.items():
        waiting[pending.key].append((position, pending))
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
    counts = np.bincount(profile[wanted], minlength=len(runs.rows))
    held = counts > 0
    part = Part(
        runs.names,
        runs.name[held],
        list(map(runs.profiles.rows.texts.__getitem__, runs.rows[held].tolist())),
        runs.table["ends"][held],
        counts[held],
        runs.positions[wanted],
        since[wanted],
        runs.observed[wanted],
        np.flatnonzero(wanted),
    )
    leave(draft, normals, ROWS_KIND, part)
