"""Profiles that fall silent, and more profiles in learning than memory holds, on a real broker."""

import itertools
from pathlib import Path

import numpy as np

from tests.broker.harness import Telltale, by_profile

TTL_SECONDS = 12
LEARN = {
    "TELLTALE_COLD_START_SAMPLES": "20",
    "TELLTALE_RETRAIN_SAMPLES": "30",
    "TELLTALE_PROFILE_TTL_DAYS": f"{TTL_SECONDS / 86_400:.9f}",
}


def telemetry(profiles: list[str], count: int, seed: int) -> list[tuple[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        (name, {"values": dict(zip("abc", rng.normal(0, 1, 3).tolist(), strict=True))})
        for _ in range(count)
        for name in profiles
    ]


def test_a_profile_that_falls_silent_is_forgotten_and_one_that_is_heard_is_not(
    telltale: Telltale, tmp_path: Path
) -> None:
    telltale.create_topics(1)
    telltale.start("score", "--slot", "0", **LEARN)
    telltale.start("retrain", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(["active", "stays"], 60, seed=1))
    sent += telltale.produce("telemetry.features", telemetry(["learning"], 5, seed=2))
    telltale.wait_for(sent)
    seeds = itertools.count(3)

    def both_confirmed() -> bool:
        # One that is heard all the while.
        telltale.produce("telemetry.features", telemetry(["stays"], 1, seed=next(seeds)))
        receipts = [e for e in telltale.values("lifecycle") if e["event"] == "forgotten"]
        return {(e["profile_id"], e["role"]) for e in receipts} >= {
            (name, role) for name in ("active", "learning") for role in ("scorer", "retrainer")
        }

    telltale.wait_until(both_confirmed, "the silent ones are forgotten by both roles")
    telltale.produce("telemetry.features", telemetry(["active"], 1, seed=0))
    telltale.wait_until(
        lambda: telltale.values("anomalies")[-1]["profile_id"] == "active", "its next verdict"
    )

    receipts = [e for e in telltale.values("lifecycle") if e["event"] == "forgotten"]
    assert sorted((e["profile_id"], e["role"]) for e in receipts) == [
        (name, role) for name in ("active", "learning") for role in ("retrainer", "scorer")
    ]
    assert {e["figures"]["trigger"] for e in receipts if e["role"] == "scorer"} == {"ttl"}
    last = telltale.values("anomalies")[-1]
    assert (last["status"], last["samples_seen"]) == ("learning", 1)
    assert list(tmp_path.rglob("active-*/*.joblib")) == []
    assert list(tmp_path.rglob("stays-*/*.joblib")) != []
    assert by_profile(telltale.values("anomalies"))["stays"][-1]["status"] == "scored"


def test_rings_beyond_the_limit_learn_on_after_a_kill_as_if_they_had_been_in_memory(
    telltale: Telltale,
) -> None:
    limited = {"TELLTALE_COLD_START_SAMPLES": "10", "TELLTALE_MAX_LEARNING_PROFILES": "3"}
    names = [f"p{number}" for number in range(40)]
    telltale.create_topics(2)
    first = telltale.start("score", "--slot", "0", **limited)
    sent = telltale.produce("telemetry.features", telemetry(names, 6, seed=1))
    telltale.wait_for(sent)
    telltale.kill(first)

    telltale.start("score", "--slot", "0", **limited)
    sent += telltale.produce("telemetry.features", telemetry(names, 6, seed=2))
    said = by_profile(telltale.wait_for(sent))

    assert set(said) == set(names)
    for verdicts in said.values():
        learning, scored = verdicts[:10], verdicts[10:]
        assert [v["samples_seen"] for v in learning] == list(range(1, 11))
        assert [v["status"] for v in scored] == ["scored"] * 2
