"""Scoring of records that the fast path has read: thousands of profiles in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.batch_scoring import BatchScores
from models.calibration.drift import UNKNOWN, Drift
from models.detectors.forecast.batch import MetricPoints
from models.detectors.forecast.detector import Forecast
from models.explanation.reasons import Reasons, reasons
from models.features.vectors import Extracted
from models.kernels.text.byte_strings import Integers, StringColumn
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.fast_path import Divided, JudgedRows
from processor.columnar.profile_table import DriftUpdates
from processor.columnar.verdict_writer import NormalVerdictWriter
from processor.records import ProfileKey
from processor.scorer.decode import Decoded
from processor.scorer.judgement import (
    SAFE_BYTES,
    Judge,
    ProfileRecords,
    RowNumbers,
    answer_in_turn,
    build_verdict,
    defer_to_writer,
    judge_of_rows,
)
from processor.scorer.regime import followed, watch
from processor.scorer.sequential.answers import (
    judge_of_points,
    judge_point_columns,
    online_record,
)
from processor.scorer.step_builder import (
    SINGLE_ROW,
    AwaitingScore,
    StepBuilder,
)
from processor.state.profiles import DRIFT_KIND, ActiveProfile


def score_columns_of(
    builder: StepBuilder, runs: ColumnarRecords, writer: NormalVerdictWriter | None, begin: int
) -> tuple[BatchScores, StringColumn]:
    """Score and answer records that were read together.

    Args:
        begin: number of the first row for the writer.

    Returns:
        What the rows come to, and the rows as JSON without brackets.
    """
    fast_path, budget = builder.context.fast_path, builder.context.settings.alert_budget
    if runs.in_order:
        judged, states = judge_points_of(builder, runs, budget)
    else:
        states = []
        judged = fast_path.judge_rows(runs, budget, lambda at: model_of(builder, runs, at))
    fit = columnar_mask(builder, runs) if writer is not None else np.zeros(len(runs.rows), np.bool_)
    watched = runs.among([*builder.state.shifts, *builder.delta.shifts], builder.watched)
    found = fast_path.divide(runs, judged, fit, watched, begin)
    after = answer_others(builder, runs, judged, found, writer, begin)
    if runs.kind == DRIFT_KIND:
        builder.delta.drift_updates = found.changes
    else:
        after |= profiles_after(builder, runs, found.changes)
        builder.delta.touched_profiles |= after.keys()
    for at, state in enumerate(states):
        key = runs.key(at)
        if followed.is_watched(builder, key, after[key].drift):
            metric = metric_points(builder, runs, at)
            offsets = runs.batch.offsets[runs.positions[runs.profile == at]].tolist()
            followed.follow_level(builder, key, after[key], metric, offsets)
        after[key] = after[key]._replace(online=state)
        builder.emit(online_record(builder, key, after[key].record.generation, state))
    builder.delta.profiles |= after
    if writer is not None:
        defer_to_writer(builder, writer, runs.kind, found.normal)
    return judged.scores, runs.json_vectors()


def judge_points_of(
    builder: StepBuilder, runs: ColumnarRecords, budget: float
) -> tuple[JudgedRows, list[bytes]]:
    """What points come to, and the online state of each profile behind them."""
    online = list(map(builder.state.profiles.online, runs.rows.tolist()))
    return judge_point_columns(runs, online, lambda at: model_of(builder, runs, at), budget)


def metric_points(builder: StepBuilder, runs: ColumnarRecords, at: int) -> MetricPoints:
    """The points of one profile, with its model and the online state before them."""
    detector = cast(Forecast, model_of(builder, runs, at).detector)
    online, own = builder.state.profiles.online(int(runs.rows[at])), runs.profile == at
    return MetricPoints(detector, online, runs.times[own], runs.values[own])


def answer_others(
    builder: StepBuilder,
    runs: ColumnarRecords,
    judged: JudgedRows,
    found: Divided,
    writer: NormalVerdictWriter | None,
    begin: int,
) -> dict[ProfileKey, ActiveProfile]:
    """Answer what the writer does not: abnormal records, and profiles that need a closer look.

    Returns:
        Profiles that were answered record by record, behind their records, if they changed.
    """
    scores, firsts, begins, profile = judged.scores, runs.firsts, runs.begins, runs.profile
    abnormal = np.flatnonzero(scores.decisions < 0)
    explained = explain_abnormal(builder, runs, abnormal) if not runs.in_order else {}
    alert_budget = builder.context.settings.alert_budget

    def judge_of(at: int, part: slice) -> tuple[RowNumbers, Judge]:
        model = model_of(builder, runs, at)
        numbers = RowNumbers(*(of_all[part].tolist() for of_all in scores))
        if runs.in_order:
            return numbers, judge_of_points(judged.part(part), model, alert_budget)
        known = {row - part.start: explained[row] for row in range(part.start, part.stop)
                 if row in explained}  # fmt: skip
        return numbers, judge_of_rows(builder, numbers, model, known)

    after: dict[ProfileKey, ActiveProfile] = {}
    for at in found.one_by_one:
        part = slice(int(firsts[at]), int(firsts[at] + runs.counts[at]))
        group = records_of_profile(builder, runs, at, part, begins[part])
        numbers, judge = judge_of(at, part)
        drift = judged.drift[part].tolist()
        behind = answer_in_turn(builder, group, numbers, drift, judge, writer, begin + part.start)
        if behind != group.active or runs.in_order:
            after[group.key] = behind
    for row in found.abnormal:
        at = int(profile[row])
        item = pending(builder, runs, at, row, int(begins[row]))
        _, judge = judge_of(at, slice(row, row + 1))
        # The fast path leaves profiles whose anomalies are close to one another: no watch begins.
        before = item.active.after_verdict(None, item.active.drift)
        judgement, model = judge(item, slice(0, 1)), model_of(builder, runs, at)
        outputs, _ = build_verdict(builder, item, before, judgement, model)
        builder.answers[runs.positions[row]] = outputs
    for at in found.watched:
        count = int(runs.counts[at])
        active, _ = builder.state.profiles.at(int(runs.rows[at]))
        watch.follow_normal(builder, runs.key(at), active.record, count)
    return after


def profiles_after(
    builder: StepBuilder, runs: ColumnarRecords, changes: DriftUpdates
) -> Mapping[ProfileKey, ActiveProfile]:
    """The profiles of some rows with their new drift."""
    found = {}
    columns = (changes.rows, *changes.drifts, changes.since_anomaly)
    for row, gentle, bold, records, quiet, since in zip(
        *(numbers.tolist() for numbers in columns), strict=True
    ):
        active, _ = builder.state.profiles.at(row)
        drift = Drift(gentle, bold, int(records), int(quiet))
        last = None if since == UNKNOWN else since
        found[runs.profiles.keys[row]] = active.after_verdict(last, drift)
    return found


def pending(
    builder: StepBuilder, runs: ColumnarRecords, profile: int, at: int, begin: int
) -> AwaitingScore:
    """The record ``at`` of one profile as any other that waits for its score.

    Args:
        begin: where its sample begins in ``values``.
    """
    key, columns = runs.key(profile), runs.columns(profile)
    row = runs.values[begin : begin + len(columns)][np.newaxis]
    times = runs.times[at : at + 1] if runs.times.size else None
    extracted = Extracted(columns, row, False, True, times)
    decoded = Decoded(runs.kind, key[2], int(runs.observed[at]), extracted)
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
