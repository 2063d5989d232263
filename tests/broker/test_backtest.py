"""Replay on a real broker: what was said is repeated bit for bit, and nothing is written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.broker.harness import Telltale, environment_of

PROFILES = 6
LEARNING = 40
RECORDS = 120
SETTINGS = {"TELLTALE_COLD_START_SAMPLES": str(LEARNING), "TELLTALE_RETRAIN_SAMPLES": "40"}
TOPIC = "telemetry.features"


@dataclass(frozen=True)
class Judged:
    """Profiles that learnt, were retrained, and were judged by two versions or more."""

    telltale: Telltale
    bootstrap: str
    prefix: str
    models: Path
    records: int
    bad: int

    def backtest(self, *arguments: str, **variables: str) -> Any:
        return self.telltale.run("backtest", *arguments, **(SETTINGS | variables))

    def report(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """The summary as JSON of a backtest that succeeds."""
        done = self.backtest(*arguments, "--json", **variables)
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def written(self) -> dict[str, Any]:
        """End offsets of every topic, committed offsets aside, and the artefacts."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"{self.prefix}ends"})
        topics = consumer.list_topics(timeout=60).topics
        ends: dict[str, Any] = {
            f"{name} {number}": consumer.get_watermark_offsets(TopicPartition(name, number))[1]
            for name, topic in topics.items()
            if name.startswith(self.prefix)
            for number in topic.partitions
        }
        consumer.close()
        files = sorted(path for path in self.models.rglob("*") if path.is_file())
        return ends | {str(path): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def judged(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    directory = tmp_path_factory.mktemp("backtest")
    environment = environment_of(bootstrap, directory)
    prefix = environment["TELLTALE_TOPIC_PREFIX"]
    application = Telltale(environment, directory)
    application.create_topics(2)
    rng = np.random.default_rng(4)

    def values(count: int) -> list[tuple[str, Any]]:
        return [
            (f"p{p}", {"values": {f"f{c}": float(v) for c, v in enumerate(rng.normal(p, 1, 6))}})
            for _ in range(count)
            for p in range(PROFILES)
        ]

    roles = application.start("run", "--slot", "0", **SETTINGS)
    application.produce(TOPIC, values(RECORDS - 20))
    application.wait_for(PROFILES * (RECORDS - 20))
    application.wait_until(
        lambda: (
            {m["profile_id"] for m in application.values("models") if m["version"] == 2}
            == {f"p{p}" for p in range(PROFILES)}
        ),
        "version 2 of all profiles",
    )
    bad: list[tuple[str, Any]] = [("p0", b"not json"), ("p1", {"values": {"unknown": 1.0}})]
    application.produce(TOPIC, [*bad, *values(20)])
    application.wait_for(PROFILES * RECORDS)
    assert application.stop(roles) == 0
    yield Judged(application, bootstrap, prefix, directory / "models", PROFILES * RECORDS, len(bad))
    application.close()


def test_every_verdict_is_repeated_bit_for_bit_and_nothing_is_written(judged: Judged) -> None:
    before = judged.written()

    report = judged.report(TOPIC, "--check")
    text = judged.backtest("--topic", f"{judged.prefix}{TOPIC}")
    other_cuts = judged.report(TOPIC, TELLTALE_BATCH_RECORDS="7")

    assert (report["same"], report["changed"], report["not_compared"]) == (
        judged.records + judged.bad,
        0,
        0,
    )
    assert report["trained_again"] == {"same": PROFILES, "other": 0}
    assert report["dead_letters"] == {"invalid_json": 1, "feature_mismatch": 1}
    assert other_cuts == report
    assert text.returncode == 0
    assert "same" in text.stdout
    assert judged.written() == before


def test_another_budget_changes_decisions_and_says_why(judged: Judged, tmp_path: Path) -> None:
    told = tmp_path / "differences.jsonl"

    report = judged.report(TOPIC, "--alert-budget", "0.2", "--differences", str(told))
    checked = judged.backtest(TOPIC, "--alert-budget", "0.2", "--check")

    scored = judged.records - PROFILES * LEARNING
    assert (report["changed"], report["not_compared"]) == (scored, 0)
    assert report["why"] == [
        {"result": "changed", "why": "alert budget is 0.2 now, 0.01 then", "records": scored}
    ]
    assert report["kinds"]["features"]["newly_flagged"] > 0
    assert report["kinds"]["features"]["no_longer_flagged"] == 0
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert len(lines) == scored
    assert all(line["then"]["score"] == line["now"]["score"] for line in lines)
    assert checked.returncode == 1
    assert f"{scored} verdicts changed" in checked.stderr


def test_another_detector_learns_anew_and_a_table_shows_the_differences(judged: Judged) -> None:
    before = judged.written()

    report = judged.report(TOPIC, "--detector", "gaussian")
    text = judged.backtest(TOPIC, "--detector", "gaussian").stdout

    scored = judged.records - PROFILES * LEARNING
    assert report["changed"] == scored
    assert {line["why"] for line in report["why"]} == {"detector is gaussian now, blend then"}
    assert report["kinds"]["features"]["scored_now"] == scored
    for word in ("detector is gaussian now", "newly", "no longer"):
        assert word in text
    assert judged.written() == before


def test_a_part_is_judged_like_the_whole(judged: Judged, tmp_path: Path) -> None:
    (first,) = [m for m in judged.telltale.read(TOPIC) if m.key() == b"p2"][20:21]
    told = tmp_path / "verdicts.jsonl"

    report = judged.report(
        "features", "--profile", "p2", "--since", str(first.timestamp()[1]),
        "--verdicts", str(told), "--check",
    )  # fmt: skip

    verdicts = [json.loads(line) for line in told.read_text().splitlines()]
    assert {v["profile_id"] for v in verdicts} == {"p2"}
    assert report["same"] == len(verdicts) >= RECORDS - 20
    assert report["changed"] == report["not_compared"] == 0


def test_versions_without_an_artefact_are_said_to_be_gone(judged: Judged, tmp_path: Path) -> None:
    report = judged.report(TOPIC, TELLTALE_MODEL_DIR=str(tmp_path))

    gone = [line for line in report["why"] if "is gone: its artefact" in line["why"]]
    assert "model version 2 is gone" in gone[0]["why"]
    assert report["changed"] == 0
    assert report["same"] + sum(line["records"] for line in gone) == judged.records + judged.bad


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["telemetry.nothing"], "neither a file nor one of the topics"),
        (["--topic", "anomalies"], "expected one of"),
        ([TOPIC, "--model-version", "1", "--detector", "forest"], "by which profiles learn again"),
        ([TOPIC, "--since", "yesterday"], "expected epoch milliseconds"),
        (["-", "--kind", "features", "--check"], "expected a topic, not a file"),
    ],
)
def test_wrong_usage_says_what_is_expected(judged: Judged, arguments: list[str], why: str) -> None:
    done = judged.backtest(*arguments)

    assert done.returncode == 2
    assert why in " ".join(done.stderr.replace("│", " ").split())
