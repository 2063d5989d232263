"""False alarms of a range of time are accepted at once, and their like is normal afterwards."""

from __future__ import annotations

import re

import numpy as np

from tests.broker.harness import Telltale

LEARN = {
    "TELLTALE_COLD_START_SAMPLES": "100",
    "TELLTALE_ON_SHIFT": "hold",
    "TELLTALE_RETRAIN_SAMPLES": "100000",
}
NIGHT = 1_700_000_000_000


def records(mean: float, count: int, seed: int, observed: int) -> list[tuple[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        (
            "p",
            {
                "values": dict(zip("xyz", rng.normal(mean, 1.0, 3).tolist(), strict=True)),
                "observed_at": observed + at,
            },
        )
        for at in range(count)
    ]


def test_a_range_is_accepted_says_what_it_spares_and_teaches(telltale: Telltale) -> None:
    telltale.create_topics(1)
    telltale.start("run", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", records(10.0, 130, 1, NIGHT - 10_000))
    # Two of three records are of the night: no new normal, and many alarms.
    nights = [*records(18.0, 40, 2, NIGHT), *records(18.0, 12, 3, NIGHT + 100_000)]
    days = records(10.0, 26, 4, NIGHT)
    mixed = [each for at, day in enumerate(days) for each in (day, *nights[2 * at : 2 * at + 2])]
    sent += telltale.produce("telemetry.features", mixed)
    telltale.wait_for(sent)

    until = str(NIGHT + 50_000)
    done = telltale.run("profile", "accept", "p", "--since", str(NIGHT), "--until", until)
    none = telltale.run("profile", "accept", "p", "--since", str(NIGHT + 900_000))
    telltale.run("profile", "retrain", "p")
    telltale.wait_until(
        lambda: any(event["event"] == "adopted" for event in telltale.values("lifecycle")),
        "the next version",
    )
    sent += telltale.produce("telemetry.features", records(18.0, 60, 5, NIGHT + 200_000))
    later = telltale.wait_for(sent)[-60:]

    assert done.returncode == 0, done.stderr
    said = re.search(
        r"accepted (\d+) verdicts .*spared (\d+) of the last (\d+) alarms", done.stdout
    )
    assert said is not None, done.stdout
    accepted, spared, alarms = map(int, said.groups())
    assert accepted >= 40
    assert alarms >= 52
    assert spared >= 0.9 * 52
    samples = [
        each for each in telltale.values("accepted-normal") if each.get("source") == "analyst"
    ]
    assert len(samples) == accepted
    assert none.returncode == 1
    assert "no alarm of kind features" in none.stderr
    assert np.mean([verdict["anomaly"] for verdict in later]) <= 0.1
