"""Batches computed ahead of the commit before them: each on what that one has changed."""

from collections import Counter

from tests.broker.harness import Telltale, by_profile
from tests.broker.test_pipeline import vectors

TAUGHT, PROFILES = 40, 6
SMALL_BATCHES = {"TELLTALE_COLD_START_SAMPLES": "30", "TELLTALE_BATCH_RECORDS": "50"}
"""Of a backlog every batch is full, and so the next one is computed ahead of its commit."""


def test_in_a_backlog_every_record_counts_from_the_last_anomaly_of_its_profile(
    telltale: Telltale,
) -> None:
    records, _ = vectors(profiles=PROFILES, count=500, seed=9, anomalies=0.02)
    taught(telltale, records[: PROFILES * TAUGHT])
    telltale.produce("telemetry.features", records[PROFILES * TAUGHT :])

    scorer = telltale.start("score", "--slot", "0", **SMALL_BATCHES)
    verdicts = telltale.wait_for(len(records))
    assert telltale.stop(scorer) == 0

    accepted = accepted_samples(telltale)
    anomalies = 0
    for mine in by_profile(verdicts).values():
        since = None
        for verdict in mine[TAUGHT:]:
            since = 0 if verdict["anomaly"] else None if since is None else since + 1
            anomalies += verdict["anomaly"]
            if not verdict["anomaly"]:
                assert accepted[verdict["verdict_id"]]["since_anomaly"] == since
    assert anomalies >= 20


def test_killed_between_two_batches_it_answers_each_record_once(telltale: Telltale) -> None:
    records, _ = vectors(profiles=PROFILES, count=1500, seed=4, anomalies=0.02)
    taught(telltale, records[: PROFILES * TAUGHT])
    telltale.produce("telemetry.features", records[PROFILES * TAUGHT :])

    for count in (800, 2500, 5000):
        scorer = telltale.start("score", "--slot", "0", **SMALL_BATCHES)
        telltale.wait_for(count)
        telltale.kill(scorer)
    telltale.start("score", "--slot", "0", **SMALL_BATCHES)
    verdicts = telltale.wait_for(len(records))

    assert set(Counter(v["verdict_id"] for v in telltale.values("anomalies")).values()) == {1}
    assert len(verdicts) == len(records)
    normal = {v["verdict_id"] for v in verdicts if v["status"] == "scored" and not v["anomaly"]}
    assert accepted_samples(telltale).keys() == normal


def taught(telltale: Telltale, records: list) -> None:
    """Have the profiles learn, and the scorer stop."""
    telltale.create_topics()
    telltale.produce("telemetry.features", records)
    scorer = telltale.start("score", "--slot", "0", **SMALL_BATCHES)
    telltale.wait_for(len(records))
    assert telltale.stop(scorer) == 0


def accepted_samples(telltale: Telltale) -> dict[str, dict]:
    """The accepted samples by the verdict that accepted them, each of which there is once."""
    samples = [s for s in telltale.values("accepted-normal") if "mark" not in s]
    found = {sample["verdict_id"]: sample for sample in samples}
    assert len(found) == len(samples)
    return found
