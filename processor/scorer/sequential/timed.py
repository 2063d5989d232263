"""Scores records of kinds whose samples have times, whatever their detector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from models.batch_scoring import BatchScores
from models.detectors.forecast.batch import followed_by, judge_in_order
from models.detectors.forecast.detector import Forecast
from models.features import KINDS
from models.kernels.text.byte_strings import StringColumn
from processor.columnar.fast_path import encode_rows
from processor.columnar.json_columns import encode_numbers
from processor.columnar.verdict_writer import NormalVerdictWriter
from processor.records import ProducerRecord
from processor.scorer.judgement import write_normal
from processor.scorer.regime import followed
from processor.scorer.scoring import by_profile, normal_templates, score_records
from processor.scorer.sequential.answers import (
    PointScores,
    answer_points,
    judged_points,
    online_record,
    points_of,
    sample_offsets,
    sample_times,
)
from processor.scorer.step_builder import StepBuilder, Waiting

timed_templates = partial(normal_templates, timed=True)


def score_timed(builder: StepBuilder) -> Sequence[Sequence[ProducerRecord]]:
    """Score and answer the waiting records of kinds with times; these wait no longer.

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
    in_order: list[tuple[Forecast, Waiting]] = []
    others: list[Waiting] = []
    for items in by_profile(waiting):
        detector = builder.models[items[0][1].active.record.sha256].detector
        if isinstance(detector, Forecast):
            in_order.append((detector, items))
        else:
            others.append(items)
    parts = [score_in_order(builder, in_order, writer)] if in_order else []
    if others:
        begin = sum(len(part.decisions) for part, _ in parts)
        parts.append(score_records(builder, others, writer, begin))
    if writer is None:
        return write_normal(builder, writer, parts)
    times = [sample_times(items) for items in (*(items for _, items in in_order), *others)]
    return write_normal(builder, writer, parts, encode_numbers(np.concatenate(times)))


def score_in_order(
    builder: StepBuilder,
    groups: Sequence[tuple[Forecast, Waiting]],
    writer: NormalVerdictWriter | None,
) -> tuple[BatchScores, StringColumn]:
    """Score and answer records of sequential detectors; the first row has the number 0.

    The online states behind them are part of the delta and of the changelog ``cold-start``, one
    record a profile.

    Returns:
        What the points come to, and the points as JSON.
    """
    points = [points_of(builder, detector, items) for detector, items in groups]
    states, columns = judge_in_order(points)
    sizes = [len(item.rows) for _, items in groups for _, item in items]
    judged = judged_points(columns, sizes, builder.context.settings.alert_budget)
    end = 0
    for (_, items), group, state in zip(groups, points, states, strict=True):
        begin, end = end, end + group.values.size
        scores = BatchScores(*(numbers[begin:end] for numbers in judged))
        trained_on = items[0][1].active.record.trained_on
        own = PointScores(scores, followed_by(group, columns[begin:end], trained_on))
        after = answer_points(builder, items, group, own, writer, begin)
        key = items[0][1].key
        if followed.is_watched(builder, key, after.drift):
            followed.follow_level(builder, key, after, group, sample_offsets(items))
        builder.delta.profiles[key] = after._replace(online=state)
        builder.emit(online_record(builder, key, after.record.generation, state))
    values = np.concatenate([group.values for group in points])
    return judged, encode_rows(values, np.ones(values.size, dtype=np.int64))
