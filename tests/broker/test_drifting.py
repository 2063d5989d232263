"""A profile that moves, through both roles: told, retrained with that trigger, and counted."""

import re
import urllib.request

import numpy as np

from tests.broker.harness import Telltale
from tests.kafka.broker import HOST, free_ports

LEARN = {
    "TELLTALE_COLD_START_SAMPLES": "100",
    "TELLTALE_RETRAIN_SAMPLES": "100000",
    "TELLTALE_DETECTOR": "gaussian",
}


def telemetry(means: dict[str, float], count: int, seed: int) -> list[tuple[str, object]]:
    """Records of profiles near their means, with a standard deviation of 1."""
    rng = np.random.default_rng(seed)
    return [
        (name, {"values": dict(zip("abc", rng.normal(mean, 1.0, 3).tolist(), strict=True))})
        for _ in range(count)
        for name, mean in means.items()
    ]


def counted(port: int, series: str) -> float:
    """The sum of the series that a pattern of their names and labels finds."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(rf"^{series} (\S+)$", text, re.M))


def test_a_profile_that_moves_is_told_retrained_and_counted_and_one_that_stays_is_not(
    telltale: Telltale,
) -> None:
    telltale.create_topics(1)
    scorer, retrainer = free_ports(2)
    telltale.start("score", "--slot", "0", TELLTALE_HTTP_PORT=str(scorer), **LEARN)
    telltale.start("retrain", "--slot", "0", TELLTALE_HTTP_PORT=str(retrainer), **LEARN)
    sent = telltale.produce(
        "telemetry.features", telemetry({"moves": 10.0, "stays": 10.0}, 500, seed=1)
    )
    telltale.wait_for(sent)
    assert {event["event"] for event in telltale.values("lifecycle")} == {"trained"}

    sent += telltale.produce(
        "telemetry.features", telemetry({"moves": 11.0, "stays": 10.0}, 600, seed=2)
    )
    telltale.wait_for(sent)
    outcome = r'telltale_trainings_total{.*trigger="drift".*}'
    telltale.wait_until(lambda: counted(retrainer, outcome) > 0, "it is retrained")

    events = telltale.values("lifecycle")
    drifts = [event for event in events if event["event"] == "drifting"]
    assert {(event["profile_id"], event["role"]) for event in drifts} == {("moves", "scorer")}
    assert drifts[0]["version"] == 1
    assert drifts[0]["figures"]["wealth"] >= drifts[0]["figures"]["bound"]
    marks = [said for said in telltale.values("accepted-normal") if "mark" in said]
    assert {(mark["mark"], mark["trigger"], mark["profile_id"]) for mark in marks} == {
        ("retrain", "drift", "moves")
    }
    assert len(marks) == len(drifts)
    flags = r'telltale_drifts_total{kind="features",role="scorer"}'
    telltale.wait_until(lambda: counted(scorer, flags) == len(drifts), "it is counted")
    judged = {"adopted", "refused"}
    telltale.wait_until(
        lambda: any(
            event["event"] in judged and event["profile_id"] == "moves"
            for event in telltale.values("lifecycle")
        ),
        "the candidate is judged",
    )
    adopted = [model for model in telltale.values("models") if (model or {}).get("version") == 2]
    assert {(model["profile_id"], model["trigger"]) for model in adopted} <= {("moves", "drift")}


def test_what_a_profile_was_made_of_is_shown_for_each_version(telltale: Telltale) -> None:
    telltale.create_topics(1)
    settings = LEARN | {"TELLTALE_RETRAIN_SAMPLES": "150"}
    telltale.start("score", "--slot", "0", **settings)
    telltale.start("retrain", "--slot", "0", **settings)
    telltale.wait_for(telltale.produce("telemetry.features", telemetry({"p": 10.0}, 400, seed=3)))
    telltale.wait_until(
        lambda: any(event["event"] == "adopted" for event in telltale.values("lifecycle")),
        "version 2",
    )

    here = telltale.run("profile", "show", "p")
    elsewhere = telltale.run("profile", "show", "p", TELLTALE_MODEL_DIR="nowhere")

    assert (here.returncode, elsewhere.returncode) == (0, 0), here.stderr + elsewhere.stderr
    for word in ("version 2", "version 1", "policy grow", "scikit-learn ", "held_back_alarms="):
        assert word in here.stdout
    assert here.stdout.count("calibration") == 2
    assert "not opened" not in here.stdout
    assert elsewhere.stdout.count("artefacts not opened") == 1
    assert elsewhere.stdout.count("calibration") == 0
