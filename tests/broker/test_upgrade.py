"""A rolling upgrade: records of a release to come are in every topic, and nothing is lost by it."""

import json
from typing import Any

from confluent_kafka import Producer

from tests.broker.harness import Telltale, by_profile
from tests.broker.test_pipeline import vectors

SETTINGS = {
    "TELLTALE_COLD_START_SAMPLES": "30",
    "TELLTALE_RETRAIN_SAMPLES": "1000",
    "TELLTALE_ALERT_BUDGET": "0.02",
}
LATER = {"of_a_later_release": {"x": [1, None]}}
SUPPRESSED_UNTIL = 253_402_300_000_000


class Future:
    """A process of a later release, as far as its records go."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap})
        self._prefix = prefix

    def writes(self, topic: str, key: str, value: Any, partition: int = 0) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value | LATER).encode()
        self._producer.produce(self._prefix + topic, key=key, value=raw, partition=partition)

    def done(self) -> None:
        assert self._producer.flush(120) == 0


def newest(telltale: Telltale, topic: str) -> dict[str, bytes]:
    """Key → newest value of a compacted topic."""
    return {(m.key() or b"").decode(): m.value() or b"" for m in telltale.read(topic)}


def test_what_a_newer_release_wrote_is_read_or_told_and_no_record_is_lost(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    records, _ = vectors(profiles=3, count=60, seed=1)
    active = [record for record in records if record[0] != "p1"]
    learning = [record for record in records if record[0] == "p1"]
    telltale.create_topics(1)
    telltale.produce("telemetry.features", [*active[:80], *learning[:10]])
    roles = [telltale.start(role, "--slot", "0", **SETTINGS) for role in ("score", "retrain")]
    telltale.wait_for(90)
    telltale.wait_until(
        lambda: any(b'"accepted"' in value for value in newest(telltale, "retrain-pool").values()),
        "the retrainer has pools",
    )
    assert [telltale.stop(role) for role in roles] == [0, 0]

    model = json.loads(newest(telltale, "models")["features:p0"])
    window = {"format": 1, "until": SUPPRESSED_UNTIL, "reason": "tyres"}
    same = {"profile_id": "p0", "kind": "features"}
    generation = {"generation": model["generation"]}
    candidate = model | {"version": None, "base_version": 1, "trigger": "full-moon"}
    accepted = next(v for v in telltale.values("accepted-normal") if v["profile_id"] == "p0")
    slot = newest(telltale, "cold-start")["features:p1:3"]
    heads = {k: v for k, v in newest(telltale, "retrain-pool").items() if k.endswith(":-1")}
    command = {"profile_id": "p0", "issued_at": 1}
    future = Future(bootstrap, prefix)
    future.writes("models", "features:p0", model)
    future.writes("profiles", "features:p2", window)
    future.writes("profiles", "features:stranger", {"format": 2, "wave": 3})
    future.writes("candidates", "p0", candidate)
    future.writes("candidates", "p0", {"format": 2})
    future.writes("accepted-normal", "p0", accepted | {"verdict_id": "telemetry.features-0-9999"})
    future.writes("accepted-normal", "p0", {"mark": "archive", **same, **generation})
    future.writes("commands", "p0", {"command_id": "c1", "command": "archive", **command})
    future.writes("commands", "p0", {"command_id": "c2", "command": "suppress", **command})
    future.writes("commands", "p0", {"command_id": "c3", "command": "resume", **command})
    future.writes("lifecycle", "p0", {"event": "archived", "at": 1, **same})
    future.writes("cold-start", "features:stranger:0", b"\x63" + slot[1:])
    future.writes("retrain-pool", "features:stranger:-1", {"format": 2})
    for key, head in heads.items():
        future.writes("retrain-pool", key, json.loads(head))
    future.done()
    rest = [(key, value | LATER) for key, value in [*active[80:], *learning[10:]]]
    roles = [telltale.start(role, "--slot", "0", **SETTINGS) for role in ("score", "retrain")]
    telltale.wait_until(
        lambda: any(e.get("command_id") == "c3" for e in telltale.values("lifecycle")), "c3 is done"
    )
    telltale.produce("telemetry.features", rest)
    verdicts = by_profile(telltale.wait_for(len(records)))
    letters = telltale.wait_for(2, "dead-letter")
    receipt = telltale.run("profile", "resume", "p2", "--kind", "features")
    telltale.wait_until(
        lambda: json.loads(newest(telltale, "retrain-pool")["features:p0:-1"])["accepted"] > 20,
        "the pool grows",
    )
    codes = [telltale.stop(role) for role in roles]

    assert codes == [0, 0]
    assert receipt.returncode == 0, receipt.stderr
    said = [v for mine in verdicts.values() for v in mine]
    assert len({v["verdict_id"] for v in said}) == len(said) == len(telltale.read("anomalies"))
    assert [v["samples_seen"] for v in verdicts["p1"]] == [*range(1, 31), *[30] * 30]
    for profile in ("p0", "p2"):
        assert [v["status"] for v in verdicts[profile]] == ["learning"] * 30 + ["scored"] * 30
        assert {v["generation"] for v in verdicts[profile]} == {verdicts[profile][0]["generation"]}
    assert {v["model_version"] for v in verdicts["p0"][40:]} == {2}
    assert [v["suppressed"] for v in verdicts["p2"]] == [False] * 40 + [True] * 20
    announced = json.loads(newest(telltale, "models")["features:p0"])
    assert (announced["version"], announced["trigger"]) == (2, "full-moon")
    reasons = [dict(m.headers() or [])["telltale.reason"] for m in telltale.read("dead-letter")]
    assert sorted(reasons) == [b"invalid_accepted_sample", b"invalid_candidate"]
    assert {"mark": "archive", **same, **generation, **LATER} in letters
    told = {e["command_id"]: e["event"] for e in telltale.values("lifecycle") if "command_id" in e}
    assert (told["c2"], told["c3"]) == ("suppressed", "resumed")
    rejected = [e for e in telltale.values("lifecycle") if e["event"] == "command_rejected"]
    assert len(rejected) == 1
    assert "$.command" in rejected[0]["detail"]
    unread = {line["event"] for line in telltale.log_lines() if "unreadable" in line["event"]}
    assert unread == {"slot_unreadable", "pool_unreadable", "profile_unreadable"}
    kept = newest(telltale, "cold-start") | newest(telltale, "retrain-pool")
    assert {"features:stranger:0", "features:stranger:-1"} <= set(kept)
