"""river's anomaly detectors on the plain client: a model a profile, which judges and learns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from confluent_kafka import Message
from river import anomaly, time_series

from benchmarks.peers.loop import Answer, arguments, run
from benchmarks.peers.scikit import RECORDS_A_TRANSACTION, answered

THRESHOLD = 0.99


def half_space_trees() -> Callable[[float], float]:
    """Score of a value by half-space trees, which then learn it (Tan, Ting, Liu, 2011)."""
    model = anomaly.HalfSpaceTrees(seed=0)

    def judge(value: float) -> float:
        row = {"value": value}
        score = float(model.score_one(row))
        model.learn_one(row)
        return score

    return judge


def predictive() -> Callable[[float], float]:
    """Score of a value by the error of a forecast, which then learns it."""
    model = anomaly.PredictiveAnomalyDetection(time_series.SNARIMAX(p=3, d=1, q=3))

    def judge(value: float) -> float:
        score = float(model.score_one({}, value))
        model.learn_one({}, value)
        return score

    return judge


def once_a_record(
    make: Callable[[], Callable[[float], float]],
) -> Callable[[Sequence[Message]], Any]:
    models: dict[bytes, Callable[[float], float]] = defaultdict(make)

    def answer(batch: Sequence[Message]) -> list[Answer]:
        answers = []
        for message in batch:
            row = orjson.loads(message.value())["values"]
            score = max(map(models[message.key()], row))
            answers.append(answered(message, row, score, THRESHOLD - score))
        return answers

    return answer


if __name__ == "__main__":
    options = arguments()
    options.batch = RECORDS_A_TRANSACTION
    run(options, once_a_record(half_space_trees if options.detector == "trees" else predictive))
