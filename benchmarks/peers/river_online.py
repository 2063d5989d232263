"""river's anomaly detectors on the plain client: a model a profile, which judges and learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Message
from river import anomaly, preprocessing, time_series

from benchmarks.peers.loop import LESSONS, Answer, arguments, run
from benchmarks.peers.scikit import RECORDS_A_TRANSACTION, answered

TAUGHT = 300
"""Points that a model has seen before it judges: more than the first window of the trees, 250
points, in which they score nothing."""

JUDGED = 50
"""The last of those, whose scores the threshold is taken from."""

BUDGET = 0.01

Judge = Callable[[float], float]
"""The score of a value, which the model then learns."""


def half_space_trees() -> Judge:
    """Half-space trees (Tan, Ting, Liu, 2011), on values scaled to the 0 to 1 that they expect."""
    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=0)

    def judge(value: float) -> float:
        row = {"value": value}
        score = float(model.score_one(row))
        model.learn_one(row)
        return score

    return judge


def predictive() -> Judge:
    """The error of a forecast; parameters as in river's own example."""
    model = anomaly.PredictiveAnomalyDetection(
        time_series.SNARIMAX(p=3, d=1, q=3), n_std=3.5, warmup_period=15
    )

    def judge(value: float) -> float:
        score = float(model.score_one({}, value))
        model.learn_one({}, value)
        return score

    return judge


def taught(make: Callable[[], Judge], lessons: Path) -> dict[bytes, tuple[Judge, float]]:
    """A model of each profile that has learnt its points, and the threshold of its scores."""
    models = {}
    for profile, points in orjson.loads(lessons.read_bytes()).items():
        judge = make()
        scores = [judge(point) for point in (*points, *points[: TAUGHT - len(points)])]
        models[profile.encode()] = judge, float(np.quantile(scores[-JUDGED:], 1.0 - BUDGET))
    return models


def once_a_record(
    models: Mapping[bytes, tuple[Judge, float]],
) -> Callable[[Sequence[Message]], Any]:
    def answer(batch: Sequence[Message]) -> list[Answer]:
        answers = []
        for message in batch:
            row = orjson.loads(message.value())["values"]
            judge, threshold = models[message.key()]
            score = max(map(judge, row))
            # As scikit-learn's scores: the higher, the more normal.
            answers.append(answered(message, row, -score, threshold - score))
        return answers

    return answer


if __name__ == "__main__":
    options = arguments()
    options.batch = RECORDS_A_TRANSACTION
    make = half_space_trees if options.detector == "trees" else predictive
    run(options, once_a_record(taught(make, options.models / LESSONS)))
