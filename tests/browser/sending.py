"""Telemetry for tests in a browser: a profile that learns, and records that are abnormal."""

import random

from tests.broker.consoles import Running

USUAL = {"memory": 140.0, "cpu": 0.3}


def learn(console: Running, profile_id: str, seed: int = 0) -> None:
    """Have a profile learn its normal; it is active afterwards."""
    draw = random.Random(seed)
    events = [
        {
            "kind": "features",
            "profile_id": profile_id,
            "values": {name: value * draw.uniform(0.97, 1.03) for name, value in USUAL.items()},
        }
        for _ in range(8)
    ]
    told = console.post("/api/v1/records", {"events": events})
    assert told.status_code == 200, told.text
    assert told.json()[-1]["status"] == "scored", told.text


def alarm(console: Running, profile_id: str, many: int = 1) -> list[str]:
    """Records that are far from normal; the ids of their verdicts."""
    events = [
        {
            "kind": "features",
            "profile_id": profile_id,
            "values": {"memory": 900.0 + n, "cpu": 7.0 + n / 10},
        }
        for n in range(many)
    ]
    told = console.post("/api/v1/records", {"events": events}).json()
    assert all(verdict["anomaly"] for verdict in told), told
    return [str(verdict["verdict_id"]) for verdict in told]
