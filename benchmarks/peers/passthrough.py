"""A transactional pass-through: each record is parsed, and two of the usual sizes are written."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from confluent_kafka import Message

from benchmarks.peers.loop import Answer, arguments, run

_OBSERVED = 1_790_000_000_000
_VERDICT = orjson.dumps(
    {
        "verdict_id": "benchmark.telemetry.features-0-1234567",
        "profile_id": "profile-123",
        "kind": "features",
        "status": "scored",
        "anomaly": False,
        "score": 0.4123456789012345,
        "decision": 0.1234567890123456,
        "p_value": 0.5223880597014925,
        "severity": "none",
        "model_version": 1,
        "generation": 123456,
        "samples_seen": 200,
        "samples_needed": 200,
        "reasons": [],
        "rule_severity": None,
        "suppressed": False,
        "observed_at": _OBSERVED,
        "scored_at": 1_780_000_000_000,
    }
)
_BEFORE, _BEHIND = _VERDICT.split(b"%d" % _OBSERVED)


def answer(batch: Sequence[Message]) -> list[Answer]:
    """A verdict that is the same but for its time, and the record itself as accepted sample."""
    answers = []
    for message in batch:
        value = message.value()
        orjson.loads(value)
        answers.append((b"%b%d%b" % (_BEFORE, message.timestamp()[1], _BEHIND), value))
    return answers


if __name__ == "__main__":
    run(arguments(), answer)
