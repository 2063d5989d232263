"""The model directory gone wrong, and records that no topic takes: refused, never a crash."""

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.broker.harness import PATIENCE, Telltale, by_profile
from tests.broker.test_pipeline import vectors

FEW = {"TELLTALE_COLD_START_SAMPLES": "20", "TELLTALE_RETRAIN_SAMPLES": "20"}
DAY = 24 * 3600


def limit(bootstrap: str, topic: str, size: int) -> None:
    """Set a topic's ``max.message.bytes`` as an operator would."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource_ = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource_])[resource_].result(120)


def assigned(telltale: Telltale, times: int = 1) -> Callable[[], bool]:
    return lambda: sum(line["event"] == "restored" for line in telltale.log_lines()) >= times


def full(pid: int, _: Path) -> Callable[[], None]:
    """A disk that takes only the first bytes of a file: writing breaks off in the middle."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))

    def mend() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return mend


def blocked(_: int, models: Path) -> Callable[[], None]:
    """A directory that cannot be made, as a file is in its way."""
    models.mkdir(exist_ok=True)
    (models / "features").write_text("in the way")
    return (models / "features").unlink


@pytest.mark.parametrize("trouble", [full, blocked])
def test_an_artefact_that_cannot_be_written_is_tried_again_and_learning_goes_on(
    telltale: Telltale, tmp_path: Path, trouble: Callable[[int, Path], Callable[[], None]]
) -> None:
    records, _ = vectors(profiles=1, count=30, seed=1)
    models = tmp_path / "models"
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(assigned(telltale), "the scorer has its partition")

    mend = trouble(scorer.pid, models)
    telltale.produce("telemetry.features", records[:21])
    telltale.wait_for(21)
    failed = [e for e in telltale.values("lifecycle") if e["event"] == "training_failed"]
    announced = telltale.values("models")
    left = [path for path in models.rglob("*") if path.suffix in (".joblib", ".tmp")]
    mend()
    telltale.produce("telemetry.features", records[21:])
    verdicts = telltale.wait_for(30)

    assert [(e["profile_id"], e["version"]) for e in failed] == [("p0", 1)]
    assert "could not be written" in failed[0]["detail"]
    assert (announced, left) == ([], [])
    assert [v["samples_seen"] for v in verdicts[:22]] == list(range(1, 23))
    assert [v["status"] for v in verdicts] == ["learning"] * 22 + ["scored"] * 8
    (model,) = telltale.values("models")
    assert (model["version"], model["trained_on"]) == (1, 20)
    assert (models / model["artifact"]).exists()
    assert telltale.stop(scorer) == 0


def test_an_announcement_without_its_artefact_falls_back_or_learns_anew_and_says_so(
    telltale: Telltale, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=2, count=90, seed=2)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:120])
    roles = [
        telltale.start("score", "--slot", "0", **FEW),
        telltale.start("retrain", "--slot", "0", **FEW),
    ]
    telltale.wait_for(120)
    telltale.wait_until(
        lambda: (
            {m["profile_id"] for m in telltale.values("models") if m["version"] == 2}
            == {"p0", "p1"}
        ),
        "both have version 2",
    )
    assert [telltale.stop(role) for role in roles] == [0, 0]
    mine: dict[str, list[dict[str, object]]] = {"p0": [], "p1": []}
    for record in telltale.values("models"):
        mine[record["profile_id"]].append(record)
    (tmp_path / "models" / str(mine["p0"][-1]["artifact"])).unlink()
    for record in mine["p1"]:
        (tmp_path / "models" / str(record["artifact"])).unlink(missing_ok=True)

    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.produce("telemetry.features", records[120:])
    verdicts = by_profile(telltale.wait_for(len(records)))

    lost = {
        e["profile_id"]: e["detail"]
        for e in telltale.values("lifecycle")
        if e["event"] == "model_lost"
    }
    last = len(mine["p0"])
    assert f"version {last + 1} is version {last - 1} again" in lost["p0"]
    assert "learns anew" in lost["p1"]
    assert {(v["status"], v["model_version"]) for v in verdicts["p0"][60:]} == {
        ("scored", last + 1)
    }
    returned = next(
        m for m in telltale.values("models") if m["profile_id"] == "p0" and m["version"] == last + 1
    )
    assert (returned["trigger"], returned["artifact"]) == ("rollback", mine["p0"][-2]["artifact"])
    anew = verdicts["p1"][60:]
    assert [v["samples_seen"] for v in anew] == [*range(1, 21), *[20] * 10]
    assert [v["status"] for v in anew] == ["learning"] * 20 + ["scored"] * 10
    assert {v["generation"] for v in anew} == {int(anew[0]["verdict_id"].rpartition("-")[2])}
    assert telltale.stop(scorer) == 0


def test_orphans_older_than_a_day_are_swept_and_what_is_announced_never(
    telltale: Telltale, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=2, count=25, seed=3)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records)
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(len(records))
    assert telltale.stop(scorer) == 0
    models = tmp_path / "models"
    announced = {models / m["artifact"] for m in telltale.values("models")}
    folder = next(iter(announced)).parent
    old, young = folder / f"0-{'0' * 16}.joblib", folder / f"0-{'1' * 16}.joblib"
    old.write_bytes(b"of a transaction that was aborted")
    young.write_bytes(b"of one that may still be committed")
    past = time.time() - DAY - 600
    for file in (old, *announced):
        os.utime(file, (past, past))

    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(lambda: not old.exists(), "the orphan is gone")
    telltale.produce("telemetry.features", records[:2])
    telltale.wait_for(len(records) + 2)

    assert set(models.rglob("*.joblib")) == {*announced, young}
    assert telltale.stop(scorer) == 0


def test_a_record_whose_output_fits_no_topic_is_a_dead_letter_and_the_rest_is_answered(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(1)
    limit(bootstrap, f"{prefix}telemetry.features", 8 * 2**20)
    telltale.start(
        "score", TELLTALE_MAX_RECORD_BYTES="8000000", TELLTALE_MAX_FEATURES="30000", **FEW
    )
    # Its names alone are more than the topic of learning samples takes.
    huge = {"values": {f"{number:05d}{'x' * 175}": 1.0 for number in range(25_000)}}
    assert len(json.dumps(huge)) > 4 * 2**20

    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 8 * 2**20})
    for key, value in (("a", {"values": {"x": 1.0}}), ("b", huge), ("a", {"values": {"x": 2.0}})):
        producer.produce(f"{prefix}telemetry.features", key=key, value=json.dumps(value))
    assert producer.flush(120) == 0
    verdicts = telltale.wait_for(2)
    (letter,) = telltale.read("dead-letter")

    assert [(v["profile_id"], v["samples_seen"]) for v in verdicts] == [("a", 1), ("a", 2)]
    assert (letter.key(), json.loads(letter.value() or b"")) == (b"b", huge)
    assert dict(letter.headers() or [])["telltale.reason"] == b"unanswerable"


def test_a_topic_that_takes_less_than_is_written_stops_the_start_and_names_the_remedy(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(1)
    limit(bootstrap, f"{prefix}anomalies", 100_000)

    stopped = telltale.run("score")
    checked = telltale.run("topics", "check")
    limit(bootstrap, f"{prefix}anomalies", 5 * 2**20)
    scorer = telltale.start("score")
    telltale.wait_until(assigned(telltale), "with a larger limit it starts")

    assert stopped.returncode == 1
    assert f"{prefix}anomalies: max.message.bytes is 100000" in stopped.stderr
    assert "kafka-configs" in stopped.stderr
    assert checked.returncode == 1
    assert telltale.stop(scorer) == 0


def test_a_limit_lowered_under_way_ends_the_scorer_instead_of_aborting_for_ever(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0")
    telltale.produce("telemetry.features", [("a", {"values": {"x": 1.0}})])
    telltale.wait_for(1)

    limit(bootstrap, f"{prefix}anomalies", 200)
    telltale.produce("telemetry.features", [("a", {"values": {"x": 2.0}})])
    code = scorer.wait(PATIENCE)
    limit(bootstrap, f"{prefix}anomalies", 4 * 2**20)
    telltale.start("score", "--slot", "0")
    verdicts = telltale.wait_for(2)

    assert code == 1
    ended = next(line for line in telltale.log_lines() if line["event"] == "ended")
    assert f"{prefix}anomalies [0] refused a record" in ended["reason"]
    assert [v["samples_seen"] for v in verdicts] == [1, 2]
