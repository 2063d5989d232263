"""Scores records of kinds whose samples have times, whatever their detector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from models.batch_scoring import BatchScores
from models.calibration.conformal import sample_budget
from models.detectors.base import Floats
from models.detectors.forecast.batch import MetricPoints, followed_by, judge_in_order
from models.detectors.forecast.detector import Forecast
from models.features import KINDS
from models.kernels.text.byte_strings import StringColumn
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.fast_path import JudgedRows
from processor.columnar.json_columns import encode_numbers, encode_rows
from processor.columnar.verdict_writer import NormalVerdictWriter
from processor.records import ProducerRecord
from processor.scorer.columns.scoring import score_columns_of
from processor.scorer.judgement import RowNumbers, answer_in_turn, write_normal
from processor.scorer.regime import followed
from processor.scorer.scoring import by_profile, group_records, normal_templates, score_records
from processor.scorer.sequential.answers import (
    judge_of_points,
    online_record,
    scores_of,
)
from processor.scorer.step_builder import StepBuilder, Waiting

timed_templates = partial(normal_templates, timed=True)


def score_timed(
    builder: StepBuilder, runs: Sequence[ColumnarRecords]
) -> Sequence[Sequence[ProducerRecord]]:
    """Score and answer records of kinds with times: those that were read in columns, and those
    that wait, which wait no longer.

    Returns:
        What the writer answers normal records with, by their position in the batch.
    """
    waiting = {at: item for at, item in builder.waiting.items() if KINDS[item.key[1]].timed}
    for position in waiting:
        del builder.waiting[position]
    fast_path, topics = builder.context.fast_path, builder.context.topics
    writer = fast_path.writer(
        builder.telemetry, topics, builder.now, timed_templates, builder.late_before
    )
    parts: list[tuple[BatchScores, StringColumn]] = []
    times: list[Floats] = []
    begin = 0
    for read in runs:
        parts.append(score_columns_of(builder, read, writer, begin))
        times.append(read.times)
        begin += len(read.positions)
    in_order: list[tuple[Forecast, Waiting]] = []
    others: list[Waiting] = []
    for items in by_profile(waiting):
        detector = builder.models[items[0][1].active.record.sha256].detector
        if isinstance(detector, Forecast):
            in_order.append((detector, items))
        else:
            others.append(items)
    if in_order:
        parts.append(score_in_order(builder, in_order, writer, begin))
        begin += len(parts[-1][0].decisions)
    if others:
        parts.append(score_records(builder, others, writer, begin))
    if writer is None:
        return write_normal(builder, writer, parts)
    times += [sample_times(items) for items in (*(items for _, items in in_order), *others)]
    return write_normal(builder, writer, parts, encode_numbers(np.concatenate(times)))


def score_in_order(
    builder: StepBuilder,
    groups: Sequence[tuple[Forecast, Waiting]],
    writer: NormalVerdictWriter | None,
    begin: int,
) -> tuple[BatchScores, StringColumn]:
    """Score and answer records of sequential detectors; the first row has the number ``begin``.

    The online states behind them are part of the delta and of the changelog ``cold-start``, one
    record a profile.

    Returns:
        What the points come to, and the points as JSON.
    """
    alert_budget = builder.context.settings.alert_budget
    points = [points_of(builder, detector, items) for detector, items in groups]
    states, columns = judge_in_order(points)
    sizes = [len(item.rows) for _, items in groups for _, item in items]
    budgets = np.repeat([sample_budget(alert_budget, size) for size in sizes], sizes)
    scores = scores_of(columns, budgets)
    end = 0
    for (_, items), metric, state in zip(groups, points, states, strict=True):
        part = slice(end, end := end + metric.values.size)
        group = group_records(builder, items)
        drift = followed_by(metric, columns[part], group.active.record.trained_on)
        own = BatchScores(*(numbers[part] for numbers in scores))
        judge = judge_of_points(JudgedRows(own, drift, columns[part]), group.model, alert_budget)
        numbers = RowNumbers(*(of_all.tolist() for of_all in own))
        after = answer_in_turn(
            builder, group, numbers, drift.tolist(), judge, writer, begin + part.start
        )
        if followed.is_watched(builder, group.key, after.drift):
            followed.follow_level(builder, group.key, after, metric, sample_offsets(items))
        builder.delta.profiles[group.key] = after._replace(online=state)
        builder.emit(online_record(builder, group.key, after.record.generation, state))
    values = np.concatenate([metric.values for metric in points])
    return scores, encode_rows(values, np.ones(values.size, dtype=np.int64))


def points_of(builder: StepBuilder, detector: Forecast, items: Waiting) -> MetricPoints:
    """The points of a profile's records, with its model and online state."""
    active = items[0][1].active
    values = np.concatenate([item.rows[:, 0] for _, item in items])
    # A model that learnt without times counts its points.
    timed = builder.models[active.record.sha256].times is not None
    return MetricPoints(detector, active.online, sample_times(items) if timed else None, values)


def sample_offsets(items: Waiting) -> list[int]:
    """Offset of the record of each sample."""
    return [item.record.offset for _, item in items for _ in range(len(item.rows))]


def sample_times(items: Waiting) -> Floats:
    """Times of the samples of some records of a kind whose samples have times."""
    found = ((item.decoded.extracted.times, item.indices) for _, item in items)
    return np.concatenate([times[indices] for times, indices in found if times is not None])
