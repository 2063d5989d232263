"""Judges points in their order, and answers the records that hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from models.artifacts import Model
from models.batch_scoring import BatchScores
from models.calibration.conformal import sample_budget
from models.calibration.severity import severity
from models.detectors.base import Floats
from models.detectors.forecast.batch import explain_point, judge_columns, states_before
from models.detectors.forecast.departures import drift_p_values
from models.detectors.forecast.detector import Forecast
from models.kernels.forecast import layout
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.fast_path import JudgedRows
from processor.columnar.profile_table import column
from processor.records import ProducerRecord, ProfileKey
from processor.scorer.judgement import Judge, RowNumbers
from processor.scorer.step_builder import AwaitingScore, StepBuilder
from processor.scorer.verdicts import Judgement
from processor.state import ring_codec
from processor.state.ring_codec import HEAD


def scores_of(columns: Floats, budgets: Floats) -> BatchScores:
    """Decisions, p-values and unit by the kernel's columns of points.

    Args:
        columns: shape (points, COLUMNS).
        budgets: share that may be called anomalous, 0–1, of each.
    """
    surprise, rarity = columns[:, layout.SURPRISE], columns[:, layout.RARITY]
    return BatchScores(-surprise - np.log(budgets), np.exp(-surprise), Forecast.unit(-rarity))


def judge_point_columns(
    runs: ColumnarRecords,
    online: Sequence[bytes | None],
    model: Callable[[int], Model],
    budget: float,
) -> tuple[JudgedRows, list[bytes]]:
    """What records of one point each come to, and the online state of each profile behind them.

    Args:
        online: state of each profile before.
        model: of one of the profiles.
        budget: share that may be called anomalous, 0–1.
    """
    place = column(runs.table, "place")
    blocks, references = place[:, 0].copy(), place[:, 2].copy()
    states = states_before(blocks, lambda at: cast(Forecast, model(at).detector), online)
    points = runs.counts, runs.times, runs.values
    after, columns = judge_columns(blocks, states, *points)
    means, fits = column(runs.table, "mean"), column(runs.table, "fits")
    drift = drift_p_values(blocks, references, means, fits, *points)
    budgets = np.full(len(columns), sample_budget(budget, 1))
    return JudgedRows(scores_of(columns, budgets), drift, columns), after


def judge_of_points(judged: JudgedRows, model: Model, alert_budget: float) -> Judge:
    """What judges the records of one profile whose detector judges points in their order.

    Args:
        judged: of the profile's points.
    """
    detector = cast(Forecast, model.detector)
    numbers = RowNumbers(*(of_all.tolist() for of_all in judged.scores))

    def judge(item: AwaitingScore, part: slice) -> Judgement:
        decisions, p_values, unit = (of_all[part] for of_all in numbers)
        budget = sample_budget(alert_budget, part.stop - part.start)
        worst = decisions.index(min(decisions))
        anomaly = decisions[worst] < 0.0
        explained = None
        if anomaly:
            told = judged.columns[part.start + worst]
            explained = point_reasons(detector, told, float(item.rows[worst, 0]))
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
            drift_p=float(judged.drift[part.stop - 1]),
            explained=explained,
        )

    return judge


def point_reasons(model: Forecast, columns: Floats, value: float) -> list[dict[str, Any]]:
    """Why a point is abnormal, as a verdict's reasons.

    Args:
        columns: what the kernel gave for it, shape (COLUMNS,).
    """
    band, reasons = explain_point(model, columns)
    return [
        {
            "feature": "value",
            "value": value,
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
