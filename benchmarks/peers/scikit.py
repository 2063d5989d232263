"""scikit-learn on the plain client: a model a profile, asked once a record or once a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Message

from benchmarks.peers.behavior import Window, extract
from benchmarks.peers.loop import Answer, arguments, load_models, run

RECORDS_A_TRANSACTION = 100


def vector(kind: str, value: bytes) -> list[float]:
    """A record's numbers."""
    if kind == "behavior":
        return extract(Window.model_validate_json(value))
    values = orjson.loads(value)["values"]
    return list(values.values()) if isinstance(values, dict) else values


def answered(message: Message, row: Sequence[float], score: float, decision: float) -> Answer:
    """Verdict and accepted sample of a record."""
    place = f"{message.topic()}-{message.partition()}-{message.offset()}"
    profile = message.key().decode()
    observed = message.timestamp()[1]
    anomaly = decision < 0
    verdict = {
        "verdict_id": place,
        "profile_id": profile,
        "anomaly": anomaly,
        "score": -score,
        "decision": decision,
        "observed_at": observed,
        "scored_at": time_ns() // 1_000_000,
    }
    sample = {"profile_id": profile, "vectors": [row], "observed_at": observed}
    # What numpy extracts from a window are numpy's own numbers.
    return orjson.dumps(verdict), None if anomaly else orjson.dumps(
        sample, option=orjson.OPT_SERIALIZE_NUMPY
    )


def once_a_record(models: dict[bytes, Any], kind: str) -> Callable[[Sequence[Message]], Any]:
    def answer(batch: Sequence[Message]) -> list[Answer]:
        answers = []
        for message in batch:
            row, model = vector(kind, message.value()), models[message.key()]
            # score_samples alone: decision_function would walk the trees a second time.
            (score,) = model.score_samples([row]).tolist()
            answers.append(answered(message, row, score, score - model.offset_))
        return answers

    return answer


def once_a_batch(models: dict[bytes, Any], kind: str) -> Callable[[Sequence[Message]], Any]:
    def answer(batch: Sequence[Message]) -> list[Answer]:
        rows = [vector(kind, message.value()) for message in batch]
        places: dict[bytes, list[int]] = {}
        for place, message in enumerate(batch):
            places.setdefault(message.key(), []).append(place)
        scores = np.empty(len(batch))
        offsets = np.empty(len(batch))
        for key, held in places.items():
            scores[held] = models[key].score_samples([rows[place] for place in held])
            offsets[held] = models[key].offset_
        return [
            answered(message, row, score, decision)
            for message, row, score, decision in zip(
                batch, rows, scores.tolist(), (scores - offsets).tolist(), strict=True
            )
        ]

    return answer


if __name__ == "__main__":
    options = arguments()
    each = once_a_record if options.each == "record" else once_a_batch
    if options.each == "record":
        options.batch = RECORDS_A_TRANSACTION
    run(options, each(load_models(options.models), options.kind))
