"""A metric judged by `forecast`: its online state survives a kill, and nothing is judged twice."""

import numpy as np

from tests.broker.harness import Telltale

LEARNT, MORE = 60, 240
SETTINGS = {
    "TELLTALE_DETECTOR__SERIES": "forecast",
    "TELLTALE_COLD_START_SAMPLES": str(LEARNT),
    "TELLTALE_RETRAIN_SAMPLES": "100000",
    "TELLTALE_BATCH_RECORDS": "20",
}
WAVE = 50.0 + 10.0 * np.sin(np.arange(LEARNT + MORE) / 6.0)
WAVE += np.random.default_rng(1).normal(0.0, 0.5, WAVE.size)


def telemetry(profile: str, first: int, end: int) -> list[tuple[str, object]]:
    return [
        (profile, {"timestamps": [1_700_000_000 + 60 * at], "values": [float(WAVE[at])]})
        for at in range(first, end)
    ]


def judged(telltale: Telltale, profile: str) -> list[tuple[float, float, float]]:
    """What each scored point of a profile came to, in order."""
    return [
        (verdict["decision"], verdict["p_value"], verdict["score"])
        for verdict in telltale.values("anomalies")
        if verdict["profile_id"] == profile and verdict["status"] == "scored"
    ]


def test_a_killed_scorer_goes_on_where_the_committed_state_stands(telltale: Telltale) -> None:
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0", **SETTINGS)
    sent = telltale.produce("telemetry.series", telemetry("killed", 0, LEARNT + 30))
    telltale.wait_for(sent)
    for begin in range(LEARNT + 30, LEARNT + MORE, 70):
        telltale.kill(scorer)
        end = min(begin + 70, LEARNT + MORE)
        sent += telltale.produce("telemetry.series", telemetry("killed", begin, end))
        scorer = telltale.start("score", "--slot", "0", **SETTINGS)
        telltale.wait_for(sent)
    sent += telltale.produce("telemetry.series", telemetry("steady", 0, LEARNT + MORE))
    telltale.wait_for(sent)

    assert telltale.stop(scorer) == 0
    models = {model["profile_id"]: model for model in telltale.values("models")}
    assert {model["detector"] for model in models.values()} == {"forecast"}
    killed, steady = judged(telltale, "killed"), judged(telltale, "steady")
    assert len(killed) == MORE
    # Both learnt the same points, and detectors of metrics draw no random numbers.
    assert killed == steady
    assert sum(decision < 0 for decision, *_ in killed) <= 0.03 * MORE
