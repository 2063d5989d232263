"""Answers records of profiles whose detector judges points in their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from models.batch_scoring import BatchScores
from models.calibration.conformal import sample_budget
from models.calibration.severity import severity
from models.detectors.base import Floats
from models.detectors.forecast.batch import MetricPoints, explain_last
from models.detectors.forecast.detector import Forecast
from models.kernels.forecast import layout
from processor.columnar.verdict_writer import NormalVerdictWriter
from processor.records import ProducerRecord, ProfileKey
from processor.scorer.judgement import RowNumbers, answer_in_turn
from processor.scorer.scoring import group_records
from processor.scorer.step_builder import AwaitingScore, StepBuilder, Waiting
from processor.scorer.verdicts import Judgement
from processor.state import ring_codec
from processor.state.profiles import ActiveProfile
from processor.state.ring_codec import HEAD


class PointScores(NamedTuple):
    """What points come to, one entry each.

    Attributes:
        scores: decisions at the budget of their record, p-values among the recent points, and unit.
        drift: p-values by which drift is followed.
    """

    scores: BatchScores
    drift: Floats


def judged_points(columns: Floats, sizes: Sequence[int], alert_budget: float) -> BatchScores:
    """Decisions, p-values and unit by the kernel's columns of points.

    Args:
        columns: shape (points, COLUMNS).
        sizes: points of each record, in order.
    """
    budgets = np.repeat([sample_budget(alert_budget, size) for size in sizes], sizes)
    surprise, rarity = columns[:, layout.SURPRISE], columns[:, layout.RARITY]
    return BatchScores(-surprise - np.log(budgets), np.exp(-surprise), Forecast.unit(-rarity))


def points_of(builder: StepBuilder, detector: Forecast, items: Waiting) -> MetricPoints:
    """The points of a profile's records, with its model and online state."""
    active = items[0][1].active
    values = np.concatenate([item.rows[:, 0] for _, item in items])
    # A model that learnt without times counts its points.
    timed = builder.models[active.record.sha256].times is not None
    return MetricPoints(detector, active.online, sample_times(items) if timed else None, values)


def sample_times(items: Waiting) -> Floats:
    """Times of the samples of some records of a kind whose samples have times."""
    found = ((item.decoded.extracted.times, item.indices) for _, item in items)
    return np.concatenate([times[indices] for times, indices in found if times is not None])


def sample_offsets(items: Waiting) -> list[int]:
    """Offset of the record of each sample."""
    return [item.record.offset for _, item in items for _ in range(len(item.rows))]


def answer_points(
    builder: StepBuilder,
    items: Waiting,
    group: MetricPoints,
    judged: PointScores,
    writer: NormalVerdictWriter | None,
    begin: int,
) -> ActiveProfile:
    """Answer the records of one profile, the normal ones of one point by the writer.

    Args:
        judged: of the profile's points, the first of which has the row ``begin``.

    Returns:
        The profile behind the records, with the online state of before.
    """
    numbers = RowNumbers(*(of_all.tolist() for of_all in judged.scores))
    followed = judged.drift.tolist()

    def judge(item: AwaitingScore, part: slice) -> Judgement:
        return judgement_of_points(builder, item, group, numbers, followed, part)

    records = group_records(builder, items)
    return answer_in_turn(builder, records, numbers, followed, judge, writer, begin)


def judgement_of_points(
    builder: StepBuilder,
    item: AwaitingScore,
    group: MetricPoints,
    numbers: RowNumbers,
    followed: Sequence[float],
    part: slice,
) -> Judgement:
    """What the points of one record come to.

    Args:
        numbers, followed: of all points of this profile in the batch.
        part: which of them are this record's.
    """
    budget = sample_budget(builder.context.settings.alert_budget, part.stop - part.start)
    decisions, p_values, unit = (of_all[part] for of_all in numbers)
    worst = decisions.index(min(decisions))
    anomaly = decisions[worst] < 0.0
    return Judgement(
        item.rows,
        item.indices,
        decisions,
        p_values,
        unit,
        worst,
        # By the p-value alone: there is no spread of scores.
        severity(p_values[worst], budget, decisions[worst], math.inf),
        anomaly,
        # Neighbours tell hardly more than one of them.
        drift_p=followed[part.stop - 1],
        explained=reasons_in_order(group, part.start + worst) if anomaly else None,
    )


def reasons_in_order(group: MetricPoints, place: int) -> list[dict[str, Any]]:
    """Why a point is abnormal, as a verdict's reasons: it is judged again with those before it."""
    times = None if group.times is None else group.times[: place + 1]
    band, reasons = explain_last(group._replace(times=times, values=group.values[: place + 1]))
    return [
        {
            "feature": "value",
            "value": float(group.values[place]),
            "typical": list(band),
            "contribution": reason.share,
            "text": reason.text,
        }
        for reason in reasons
    ]


def online_record(
    builder: StepBuilder, key: ProfileKey, generation: int, state: bytes | None
) -> ProducerRecord:
    """The record that stores a profile's online state; None clears it."""
    partition, kind, profile_id = key
    value = None if state is None else ring_codec.encode_online(generation, state)
    name = ring_codec.key(kind, profile_id, HEAD)
    return ProducerRecord(builder.context.topics.cold_start, value, name, partition)
