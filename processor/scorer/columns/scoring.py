"""Scoring of records that the fast path has read: thousands of profiles in one call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.batch_scoring import BatchScores
from models.explanation.reasons import Reasons, reasons
from models.features.vectors import Extracted
from models.kernels.text.byte_strings import Integers, StringColumn
from processor.columnar.feature_reader import ColumnarRecords
from processor.columnar.verdict_writer import NormalVerdictWriter
from processor.scorer.decode import Decoded
from processor.scorer.judgement import (
    SAFE_BYTES,
    ProfileRecords,
    RowNumbers,
    answer_profile,
    build_verdict,
    defer_to_writer,
    judgement_of,
)
from processor.scorer.regime import watch
from processor.scorer.step_builder import (
    SINGLE_ROW,
    AwaitingScore,
    StepBuilder,
)
from processor.state.profiles import COLUMNAR_KIND


def score_columns_of(
    builder: StepBuilder, runs: ColumnarRecords, writer: NormalVerdictWriter | None
) -> tuple[BatchScores, StringColumn]:
    """Score records that were read together; the first has the row 0.

    Returns:
        What the rows come to, and the rows as JSON without brackets.
    """
    budget = builder.context.settings.alert_budget
    fit = columnar_mask(builder, runs) if writer is not None else np.zeros(len(runs.rows), np.bool_)
    watched = runs.among([*builder.state.shifts, *builder.delta.shifts], builder.watched)
    found = builder.context.fast_path.score(
        runs, budget, lambda at: model_of(builder, runs, at), fit, watched
    )
    judged, firsts, begins, profile = found.judged, runs.firsts, runs.begins, runs.profile
    explained = explain_abnormal(builder, runs, np.flatnonzero(judged.decisions < 0))
    for at in found.one_by_one:
        part = slice(int(firsts[at]), int(firsts[at] + runs.counts[at]))
        of_profile = BatchScores(*(numbers[part] for numbers in judged))
        answer_profile(
            builder,
            records_of_profile(builder, runs, at, part, begins[part]),
            of_profile,
            writer,
            part.start,
            explained,
        )
    for row in found.abnormal:
        at = int(profile[row])
        item = pending(builder, runs, at, row, int(begins[row]))
        numbers = RowNumbers(*([float(of_all[row])] for of_all in judged))
        model = model_of(builder, runs, at)
        judgement = judgement_of(item, numbers, slice(0, 1), builder, model)
        if judgement is not None:
            judgement.explained = explained[row]
        # The fast path leaves profiles whose anomalies are close to one another: no watch begins.
        before = item.active.after_verdict(None, item.active.drift)
        outputs, _ = build_verdict(builder, item, before, judgement, model)
        builder.answers[runs.positions[row]] = outputs
    for at in found.watched:
        count = int(runs.counts[at])
        active, _ = builder.state.profiles.at(int(runs.rows[at]))
        watch.follow_normal(builder, runs.key(at), active.record, count)
    builder.delta.drift_updates = found.changes
    if writer is not None:
        defer_to_writer(builder, writer, COLUMNAR_KIND, found.normal)
    return judged, found.vectors


def pending(
    builder: StepBuilder, runs: ColumnarRecords, profile: int, at: int, begin: int
) -> AwaitingScore:
    """The record ``at`` of one profile as any other that waits for its score.

    Args:
        begin: where its sample begins in ``values``.
    """
    key, columns = runs.key(profile), runs.columns(profile)
    row = runs.values[begin : begin + len(columns)][np.newaxis]
    extracted = Extracted(columns, row, False, True)
    decoded = Decoded(COLUMNAR_KIND, key[2], int(runs.observed[at]), extracted)
    record = runs.batch[int(runs.positions[at])]
    active, _ = builder.state.profiles.at(int(runs.rows[profile]))
    return AwaitingScore(record, decoded, key, active, row, SINGLE_ROW)


def columnar_mask(builder: StepBuilder, runs: ColumnarRecords) -> NDArray[np.bool_]:
    """Of which profiles normal records may be answered together."""
    small = np.array([each.answer_bytes <= SAFE_BYTES for each in runs.names], dtype=np.bool_)
    fit: NDArray[np.bool_] = small[runs.name]
    state, delta = builder.state, builder.delta
    fit &= ~runs.among([*state.suppressions, *delta.suppressions], builder.suppressed)
    fit &= ~runs.among([*state.shifts, *delta.shifts], builder.shifted)
    return fit


def explain_abnormal(
    builder: StepBuilder, runs: ColumnarRecords, wanted: Integers
) -> dict[int, Reasons]:
    """Why some rows are abnormal, by their number, all at once."""
    profile, begins = runs.profile[wanted], runs.begins[wanted]
    widths = runs.widths[profile]
    found: dict[int, Reasons] = {}
    for width in np.unique(widths):
        those = widths == width
        rows = runs.values[begins[those, np.newaxis] + np.arange(width)]
        models = [model_of(builder, runs, at) for at in profile[those].tolist()]
        found |= zip(wanted[those].tolist(), reasons(models, rows), strict=True)
    return found


def model_of(builder: StepBuilder, runs: ColumnarRecords, at: int) -> Model:
    """The model of one profile."""
    row = runs.table[at]
    held = builder.models.get(runs.profiles.standings[runs.rows[at]].sha256)
    return held or builder.context.fast_path.cache.model(int(row["slot"]), int(row["serial"]))


def records_of_profile(
    builder: StepBuilder, runs: ColumnarRecords, at: int, rows: slice, begins: Integers
) -> ProfileRecords:
    """The records of one profile, which are those of some rows.

    Args:
        begins: where the sample of each begins.
    """
    count = rows.stop - rows.start
    return ProfileRecords(
        runs.key(at),
        *builder.state.profiles.at(int(runs.rows[at])),
        model_of(builder, runs, at),
        runs.positions[rows].tolist(),
        runs.observed[rows].tolist(),
        [1] * count,
        [False] * count,
        lambda number: pending(builder, runs, at, rows.start + number, int(begins[number])),
    )
