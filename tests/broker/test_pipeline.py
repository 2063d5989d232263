"""The main job on a real broker: telemetry in, verdicts out, models that train themselves."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import AcceptedSample, LifecycleEvent, ModelRecord, Verdict
from tests.broker.harness import Telltale, by_profile

FEATURES = 17
COLD_START = 200


def takes_sigterm(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def vectors(
    profiles: int, count: int, seed: int, anomalies: float = 0.0
) -> tuple[list[tuple[str, Any]], dict[str, list[bool]]]:
    """Records of correlated vectors, and for each profile which of them are gross anomalies."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(50, 20, (profiles, FEATURES))
    mixing = rng.normal(0, 1, (profiles, FEATURES, FEATURES))
    records: list[tuple[str, Any]] = []
    truth: dict[str, list[bool]] = {f"p{p}": [] for p in range(profiles)}
    for index in range(count):
        for p in range(profiles):
            spread = np.sqrt((mixing[p] ** 2).sum(axis=1))
            value: NDArray[np.float64] = centres[p] + mixing[p] @ rng.normal(size=FEATURES)
            gross = index >= COLD_START and bool(rng.random() < anomalies)
            if gross:
                hit = rng.choice(FEATURES, 3, replace=False)
                value[hit] += 12 * spread[hit] * rng.choice([-1, 1], 3)
            truth[f"p{p}"].append(gross)
            values = {f"f{c}": round(float(v), 6) for c, v in enumerate(value)}
            records.append((f"p{p}", {"values": values}))
    return records, truth


def test_forty_profiles_learn_and_are_judged_and_a_restart_forgets_nothing(
    telltale: Telltale,
) -> None:
    records, truth = vectors(profiles=40, count=300, seed=5, anomalies=0.02)
    telltale.create_topics(4)
    first = len(records) // 2
    telltale.produce("telemetry.features", records[:first])
    roles = [telltale.start("score", "--slot", "0"), telltale.start("retrain", "--slot", "0")]
    telltale.wait_for(first)

    codes = [telltale.stop(process) for process in roles]
    telltale.produce("telemetry.features", records[first:])
    roles = [telltale.start("score", "--slot", "0"), telltale.start("retrain", "--slot", "0")]
    verdicts = by_profile(telltale.wait_for(len(records)))
    codes += [telltale.stop(process) for process in roles]

    assert codes == [0, 0, 0, 0]
    ids = [verdict["verdict_id"] for mine in verdicts.values() for verdict in mine]
    assert len(ids) == len(set(ids)) == len(records) == len(telltale.read("anomalies"))
    found = missed = false = normal = 0
    for profile, mine in verdicts.items():
        assert [v["samples_seen"] for v in mine] == [*range(1, 201), *[200] * 100]
        assert [v["status"] for v in mine] == ["learning"] * 200 + ["scored"] * 100
        for verdict, gross in zip(mine, truth[profile], strict=True):
            found += gross and verdict["anomaly"]
            missed += gross and not verdict["anomaly"]
            false += verdict["anomaly"] and not gross
            normal += not gross and verdict["status"] == "scored"
    assert found / (found + missed) >= 0.95
    assert false / normal <= 0.03
    trained = [e for e in telltale.values("lifecycle") if e["event"] == "trained"]
    assert len(trained) == 40


def test_every_record_written_is_what_the_schemas_say(telltale: Telltale) -> None:
    records, _ = vectors(profiles=2, count=40, seed=3)
    telltale.create_topics()
    telltale.produce("telemetry.features", records)
    telltale.start("score", TELLTALE_COLD_START_SAMPLES="30")
    telltale.wait_for(len(records))

    verdicts = [Verdict.model_validate(v) for v in telltale.values("anomalies")]
    accepted = [AcceptedSample.model_validate(v) for v in telltale.values("accepted-normal")]
    models = [ModelRecord.model_validate(v) for v in telltale.values("models")]
    events = [LifecycleEvent.model_validate(v) for v in telltale.values("lifecycle")]

    normal = {v.verdict_id for v in verdicts if v.status == "scored" and not v.anomaly}
    assert {sample.verdict_id for sample in accepted} == normal
    assert [(m.version, m.learned, m.trigger) for m in models] == [(1, 30, "cold-start")] * 2
    assert [e.event for e in events] == ["trained"] * 2


def test_a_scorer_killed_in_the_middle_of_learning_goes_on_with_the_next_sample(
    telltale: Telltale,
) -> None:
    records, _ = vectors(profiles=3, count=120, seed=4)
    telltale.create_topics()
    telltale.produce("telemetry.features", records[:150])
    scorer = telltale.start("score", "--slot", "0", TELLTALE_COLD_START_SAMPLES="100")
    telltale.wait_for(150)

    telltale.kill(scorer)
    telltale.produce("telemetry.features", records[150:])
    telltale.start("score", "--slot", "0", TELLTALE_COLD_START_SAMPLES="100")
    verdicts = by_profile(telltale.wait_for(len(records)))

    for mine in verdicts.values():
        assert [v["samples_seen"] for v in mine] == [*range(1, 101), *[100] * 20]
        assert [v["status"] for v in mine] == ["learning"] * 100 + ["scored"] * 20


def test_accepted_samples_lead_to_version_two_and_the_scorer_adopts_it(
    telltale: Telltale,
) -> None:
    records, _ = vectors(profiles=2, count=200, seed=6)
    settings = {"TELLTALE_COLD_START_SAMPLES": "40", "TELLTALE_RETRAIN_SAMPLES": "50"}
    telltale.create_topics()
    telltale.produce("telemetry.features", records[:320])
    telltale.start("score", "--slot", "0", **settings)
    telltale.start("retrain", "--slot", "0", **settings)
    telltale.wait_for(320)
    telltale.wait_until(
        lambda: {m["version"] for m in telltale.values("models")} >= {1, 2}, "version 2"
    )
    telltale.produce("telemetry.features", records[320:])
    verdicts = telltale.wait_for(len(records))

    assert max(v["model_version"] or 0 for v in verdicts) >= 2
    versions: dict[str, list[int]] = {}
    for record in telltale.values("models"):
        versions.setdefault(record["profile_id"], []).append(record["version"])
    for announced in versions.values():
        assert announced == list(range(1, len(announced) + 1))
    second = next(m for m in telltale.values("models") if m["version"] == 2)
    assert 40 < second["trained_on"] <= 40 + second["pool_count"]
    assert [entry["version"] for entry in second["history"]] == [1]


def test_bad_records_are_dead_letters_byte_for_byte_and_the_rest_is_answered(
    telltale: Telltale,
) -> None:
    bad: list[tuple[bytes, bytes | None]] = [
        (b"a", b'{"values": {"x": NaN}}'),
        (b"a", b"not json"),
        (b"a", None),
        (b"\xff", b'{"values": {"x": 1}}'),
        (b"a", b'{"values": {"x": true}}'),
        (b"a", b'{"values": {"x": 1}, "profile_id": "b"}'),
        (b"a", b'{"values": {"x": 1}, "kind": "series"}'),
        (b"a", b'{"values": [' + b"1," * 1000 + b"1]}"),
    ]
    telltale.create_topics(1)
    telltale.start("score")
    telltale.produce("telemetry.features", [("a", {"values": {"x": 1}}), *bad])
    telltale.produce("telemetry.features", [("a", {"values": {"x": 2}})])
    telltale.wait_for(2)

    letters = telltale.read("dead-letter")

    assert [(m.key(), m.value()) for m in letters] == bad
    headers = [dict(m.headers() or []) for m in letters]
    assert [h["telltale.reason"] for h in headers] == [
        b"invalid_json",
        b"invalid_json",
        b"invalid_json",
        b"invalid_key",
        b"invalid_record",
        b"key_mismatch",
        b"kind_mismatch",
        b"too_large",
    ]
    assert [int(h["telltale.offset"] or b"") for h in headers] == list(range(1, 9))
    assert [v["samples_seen"] for v in telltale.values("anomalies")] == [1, 2]


def test_a_role_without_its_topics_ends_with_1_and_says_how_to_create_them(
    telltale: Telltale,
) -> None:
    ended = telltale.run("score")

    assert ended.returncode == 1
    assert "telltale topics create" in ended.stderr


def test_signals_end_a_role_with_0_from_its_first_moment_on(telltale: Telltale) -> None:
    telltale.create_topics(1)
    process = telltale.start("run")
    telltale.wait_until(lambda: takes_sigterm(process.pid), "SIGTERM is taken")

    assert telltale.stop(process) == 0
