"""A new normal on a real broker: told once, kept through kills, adopted once, held by kind."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from tests.broker.harness import Telltale

LEARN = {
    "TELLTALE_COLD_START_SAMPLES": "60",
    "TELLTALE_SHIFT_SAMPLES": "90",
    "TELLTALE_RETRAIN_SAMPLES": "100000",
}
PROFILES = ("a", "b", "c")


def telemetry(mean: float, count: int, seed: int) -> list[tuple[str, object]]:
    """Records of each profile near a mean, with a standard deviation of 1."""
    rng = np.random.default_rng(seed)
    return [
        (name, {"values": dict(zip("xyz", rng.normal(mean, 1.0, 3).tolist(), strict=True))})
        for _ in range(count)
        for name in PROFILES
    ]


def test_a_step_for_good_is_told_once_and_adopted_once_though_the_scorer_is_killed(
    telltale: Telltale,
) -> None:
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(10.0, 100, seed=1))
    telltale.wait_for(sent)

    # Before it is told, while it is kept, and while it is adopted.
    for part in range(6):
        sent += telltale.produce("telemetry.features", telemetry(18.0, 20, seed=10 + part))
        telltale.wait_until(
            lambda least=sent - 30: len(telltale.read("anomalies")) >= least, "half of them"
        )
        telltale.kill(scorer)
        scorer = telltale.start("score", "--slot", "0", **LEARN)
    telltale.wait_for(sent)
    sent += telltale.produce("telemetry.features", telemetry(18.0, 100, seed=50))
    verdicts = telltale.wait_for(sent)

    events = telltale.values("lifecycle")
    told = Counter((event["event"], event["profile_id"]) for event in events)
    assert told == {
        (event, name): 1 for event in ("trained", "shifted", "adopted") for name in PROFILES
    }
    announced = [model for model in telltale.values("models") if model]
    of_shift = [model for model in announced if model["trigger"] == "shift"]
    assert sorted(model["profile_id"] for model in of_shift) == list(PROFILES)
    assert {model["version"] for model in of_shift} == {2}
    assert len({verdict["verdict_id"] for verdict in verdicts}) == len(verdicts) == sent
    last = verdicts[-90:]
    assert {verdict["regime"] for verdict in last} == {"usual"}
    assert np.mean([verdict["anomaly"] for verdict in last]) < 0.1
    assert any(verdict["regime"] == "shifted" for verdict in verdicts)


def test_an_operator_holds_shows_and_adopts(telltale: Telltale) -> None:
    telltale.create_topics(1)
    telltale.start("score", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(10.0, 70, seed=1))
    telltale.wait_for(sent)

    held = telltale.run("profile", "hold", "a", "--until", "2h", "--reason", "a fault")
    sent += telltale.produce("telemetry.features", telemetry(18.0, 120, seed=2))
    telltale.wait_for(sent)
    shown = json.loads(telltale.run("profile", "show", "a", "--json").stdout)[0]
    view = telltale.run("profile", "show", "a")
    adopted = telltale.run("profile", "adopt", "a")
    again = telltale.run("profile", "adopt", "a")

    assert held.returncode == 0, held.stderr
    assert "held" in held.stdout
    assert shown["regime"] == "shifted"
    assert "telemetry.features-0-" in shown["shifted_since"]
    assert shown["shift_samples"] >= 60
    assert shown["held_until"] > 0
    assert "shifted" in view.stdout
    assert "held" in view.stdout
    assert adopted.returncode == 0, adopted.stderr
    assert "adopted: version 2, shift" in adopted.stdout
    assert again.returncode == 1
    assert "the profile is not shifted" in again.stderr + again.stdout
    events = Counter((e["event"], e["profile_id"]) for e in telltale.values("lifecycle"))
    assert events["adopted", "a"] == events["adopted", "b"] == 1


def metric(mean: float, first: int, count: int) -> list[tuple[str, object]]:
    """Points of each profile near a mean, one a minute, with a standard deviation of 1."""
    drawn = np.random.default_rng(first).normal(mean, 1.0, (count, len(PROFILES)))
    return [
        (name, {"timestamps": [1_790_000_000_000 + 60_000 * (first + at)], "values": [value]})
        for at, row in enumerate(drawn.tolist())
        for name, value in zip(PROFILES, row, strict=True)
    ]


def test_a_level_that_the_detector_follows_is_told_once_though_the_scorer_is_killed(
    telltale: Telltale,
) -> None:
    telltale.create_topics(1)
    wanted = {"TELLTALE_COLD_START_SAMPLES": "60", "TELLTALE_DETECTOR__SERIES": "forecast"}
    scorer = telltale.start("score", "--slot", "0", **wanted)
    sent, first = 0, 0
    # Killed before it is told, behind that, and behind its end.
    for mean, count in ((20.0, 160), (30.0, 60), (30.0, 200), (30.0, 20), (20.0, 200), (20.0, 20)):
        sent += telltale.produce("telemetry.series", metric(mean, first, count))
        first += count
        telltale.wait_for(sent)
        telltale.kill(scorer)
        scorer = telltale.start("score", "--slot", "0", **wanted)
    verdicts = telltale.wait_for(sent)
    shown = telltale.run("profile", "show", "a", "--json")

    told = Counter((e["event"], e["profile_id"]) for e in telltale.values("lifecycle"))
    for name in PROFILES:
        assert (told["shifted", name], told["shift_ended", name]) == (1, 1)
    regimes = [[v["regime"] for v in verdicts if v["profile_id"] == name] for name in PROFILES]
    for regime in regimes:
        assert set(regime[420:440]) == {"shifted"}
        assert regime[-1] == "usual"
    assert json.loads(shown.stdout)[0]["regime"] == "usual"


def test_train_ends_the_learning_of_a_profile(telltale: Telltale) -> None:
    telltale.create_topics(1)
    telltale.start("score", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(10.0, 20, seed=1))
    telltale.wait_for(sent)

    trained = telltale.run("profile", "train", "a")
    sent += telltale.produce("telemetry.features", telemetry(10.0, 5, seed=2))
    last = telltale.wait_for(sent)[-15:]

    assert trained.returncode == 0, trained.stderr
    assert "trained: version 1" in trained.stdout
    assert {v["status"] for v in last if v["profile_id"] == "a"} == {"scored"}
    assert {v["status"] for v in last if v["profile_id"] == "b"} == {"learning"}
