"""Installations that share a cluster or a store, and a store that is not where it is expected."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from processor.artifacts.owner import decode_owner
from tests.broker.harness import COMMAND, Telltale, by_profile
from tests.broker.test_pipeline import vectors

FEW = {"TELLTALE_COLD_START_SAMPLES": "20", "TELLTALE_RETRAIN_SAMPLES": "20"}


def events(telltale: Telltale, event: str) -> list[dict[str, Any]]:
    return [said for said in telltale.values("lifecycle") if said["event"] == event]


def after(verdicts: list[dict[str, Any]], count: int) -> set[str]:
    """What the verdicts on each profile say behind its first ones."""
    return {v["status"] for mine in by_profile(verdicts).values() for v in mine[count:]}


def started(telltale: Telltale, event: str = "restored", times: int = 1) -> None:
    telltale.wait_until(
        lambda: sum(line["event"] == event for line in telltale.log_lines()) >= times, event
    )


@pytest.fixture
def two(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[Telltale, Telltale]]:
    """Two installations that share the application, and differ in prefix and directory."""
    found = []
    for name in ("prod", "staging"):
        logs = tmp_path / name / "logs"
        logs.mkdir(parents=True)
        own = {
            "TELLTALE_TOPIC_PREFIX": f"{environment['TELLTALE_TOPIC_PREFIX']}{name}.",
            "TELLTALE_MODEL_DIR": str(tmp_path / name / "models"),
        }
        found.append(Telltale(environment | FEW | own, logs))
    yield found[0], found[1]
    for installation in found:
        installation.close()


def test_two_installations_with_the_same_application_and_slot_run_beside_each_other(
    two: tuple[Telltale, Telltale],
) -> None:
    records, _ = vectors(profiles=3, count=30, seed=1)
    roles = []
    for installation in two:
        installation.create_topics(2)
        installation.produce("telemetry.features", records[:60])
        roles += [installation.start(role, "--slot", "0") for role in ("score", "retrain")]
        installation.wait_for(60)
    for installation in two:
        installation.produce("telemetry.features", records[60:])
    verdicts = [by_profile(installation.wait_for(len(records))) for installation in two]

    assert [role.poll() for role in roles] == [None] * 4
    for installation, mine in zip(two, verdicts, strict=True):
        for each in mine.values():
            assert [v["status"] for v in each] == ["learning"] * 20 + ["scored"] * 10
        assert len(installation.read("anomalies")) == len(records)
        assert "fenced" not in installation.log().lower()


def test_the_store_of_another_installation_stops_the_start_and_stays_as_it_is(
    two: tuple[Telltale, Telltale], tmp_path: Path
) -> None:
    prod, staging = two
    records, _ = vectors(profiles=2, count=22, seed=2)
    for installation in two:
        installation.create_topics(1)
    prod.produce("telemetry.features", records)
    roles = [prod.start(role, "--slot", "0") for role in ("score", "retrain")]
    prod.wait_for(len(records))
    theirs = tmp_path / "prod/models"
    before = {file: file.read_bytes() for file in theirs.rglob("*") if file.is_file()}

    stopped = [
        staging.run(role, "--slot", "0", TELLTALE_MODEL_DIR=str(theirs))
        for role in ("score", "retrain", "run")
    ]

    for done in stopped:
        assert done.returncode == 1
        assert f"model directory {theirs} belongs to another installation" in done.stderr
        for part in ("prod.'", "staging.'", "TELLTALE_MODEL_DIR", "remove owner.json"):
            assert part in done.stderr
    assert {file: file.read_bytes() for file in theirs.rglob("*") if file.is_file()} == before
    assert [role.poll() for role in roles] == [None] * 2
    owner = decode_owner((theirs / "owner.json").read_bytes())
    assert owner.topic_prefix.endswith("prod.")
    assert None not in (owner.cluster_id, owner.models_topic_id)


def test_both_roles_started_at_once_share_a_new_store(telltale: Telltale, tmp_path: Path) -> None:
    telltale.create_topics(2)
    roles = [telltale.start("score", "--slot", str(slot)) for slot in (0, 1)]
    roles += [telltale.start("retrain", "--slot", str(slot)) for slot in (0, 1)]
    started(telltale, times=4)

    assert [role.poll() for role in roles] == [None] * 4
    held = {file.name for file in (tmp_path / "models").iterdir()}
    assert held - {"marks.key"} == {"owner.json"}
    assert [telltale.stop(role) for role in roles] == [0] * 4


class TestStartedFromAnotherDirectory:
    @pytest.fixture
    def away(self, telltale: Telltale, environment: dict[str, str], tmp_path: Path) -> Any:
        """Twenty profiles that were trained at home; starts a command elsewhere, and returns it."""
        self.records, _ = vectors(profiles=20, count=30, seed=3)
        telltale.create_topics(2)
        telltale.produce("telemetry.features", self.records[:440])
        scorer = self.at(tmp_path / "home", environment, "score")
        telltale.wait_for(440)
        scorer.terminate()
        assert scorer.wait(10) == 0, scorer.communicate()
        assert len(list((tmp_path / "home/var/models").rglob("*.joblib"))) == 20
        return lambda *arguments: self.at(tmp_path / "elsewhere", environment, *arguments)

    def at(
        self, place: Path, environment: dict[str, str], *arguments: str
    ) -> subprocess.Popen[str]:
        """A command with the default model directory and this working directory."""
        place.mkdir(exist_ok=True)
        own = {k: v for k, v in environment.items() if k != "TELLTALE_MODEL_DIR"}
        log = (place / f"{len(list(place.iterdir()))}.log").open("w")
        return subprocess.Popen(
            [COMMAND, *arguments, "--slot", "0"],
            env=os.environ | own | FEW,
            cwd=place,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    @pytest.mark.parametrize("role", ["score", "retrain"])
    def test_the_start_stops_and_no_model_is_lost(
        self, telltale: Telltale, environment: dict[str, str], tmp_path: Path, away: Any, role: str
    ) -> None:
        telltale.produce("telemetry.features", self.records[440:500])
        codes = [away(role).wait(60) for _ in range(2)]
        said = "".join(file.read_text() for file in (tmp_path / "elsewhere").glob("*.log"))

        assert codes == [1, 1]
        assert said.count(f"{tmp_path}/elsewhere/var/models lacks 20 of the 20 announced") == 2
        assert "--model-dir" in said
        assert "TELLTALE_LOST_MODELS=relearn" in said
        assert not list((tmp_path / "elsewhere").rglob("owner.json"))
        assert events(telltale, "model_lost") == []

        scorer = self.at(tmp_path / "home", environment, "score")
        verdicts = telltale.wait_for(500)
        assert after(verdicts, 22) == {"scored"}
        scorer.terminate()
        assert scorer.wait(10) == 0

    def test_they_learn_anew_where_that_is_wanted_and_that_is_said_once(
        self, telltale: Telltale, away: Any
    ) -> None:
        telltale.produce("telemetry.features", self.records[440:450])
        scorer = away("score", "--lost-models", "relearn")
        telltale.wait_for(450)
        scorer.terminate()
        assert scorer.wait(10) == 0

        telltale.produce("telemetry.features", self.records[450:500])
        scorer, retrainer = away("score"), away("retrain")
        verdicts = telltale.wait_for(500)

        assert after(verdicts, 22) == {"learning"}
        assert len(events(telltale, "model_lost")) == 20
        assert (scorer.poll(), retrainer.poll()) == (None, None)
        for process in (scorer, retrainer):
            process.terminate()
            assert process.wait(10) == 0


WRONG = {
    "NUL": "features/p0\0/1-0000000000000000.joblib",
    "5,000 characters": "features/" + "x" * 5000,
    "a symbolic link to itself": "features/loop",
    "the name of another profile": None,
}


def test_candidates_of_other_names_are_refused_and_scoring_goes_on(
    telltale: Telltale, bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=2, count=30, seed=4)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:44])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(44)
    announced = {model["profile_id"]: model for model in telltale.values("models")}
    base = announced["p0"]
    (tmp_path / "models/features/loop").symlink_to("loop")
    copied = tmp_path / "models/features/copied"
    copied.mkdir()
    other = copied / base["artifact"].rpartition("/")[2]
    other.write_bytes((tmp_path / "models" / base["artifact"]).read_bytes())
    producer = Producer({"bootstrap.servers": bootstrap})
    for name in WRONG.values():
        candidate = base | {
            "version": None,
            "base_version": 1,
            "artifact": name or str(other.relative_to(tmp_path / "models")),
        }
        for generation in (base["generation"], base["generation"] + 1):
            value = candidate | {"generation": generation}
            producer.produce(
                f"{prefix}candidates", key="p0", value=orjson.dumps(value), partition=0
            )
    assert producer.flush(30) == 0

    telltale.wait_until(
        lambda: len(events(telltale, "refused")) == 2 * len(WRONG), "each is refused"
    )
    telltale.produce("telemetry.features", records[44:])
    verdicts = telltale.wait_for(len(records))

    assert {v["status"] for v in verdicts[44:]} == {"scored"}
    assert {v["model_version"] for v in verdicts[44:]} == {1}
    of_the_name = [e for e in events(telltale, "refused") if "artifact: expected" in e["detail"]]
    assert len(of_the_name) == len(WRONG)
    assert max(len(e["detail"]) for e in of_the_name) < 500
    assert other.exists()
    assert (tmp_path / "models" / base["artifact"]).exists()
    assert telltale.stop(scorer) == 0


def test_an_announcement_of_another_name_is_a_lost_model_and_not_waited_for(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    records, _ = vectors(profiles=6, count=25, seed=5)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:126])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(126)
    assert telltale.stop(scorer) == 0
    announced = {model["profile_id"]: model for model in telltale.values("models")}
    producer = Producer({"bootstrap.servers": bootstrap})
    wrong = {"p0": "features/\0", "p1": announced["p2"]["artifact"]}
    for profile, name in wrong.items():
        value = orjson.dumps(announced[profile] | {"artifact": name})
        producer.produce(f"{prefix}models", key=f"features:{profile}", value=value, partition=0)
    assert producer.flush(30) == 0

    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.produce("telemetry.features", records[126:])
    verdicts = by_profile(telltale.wait_for(len(records)))

    for profile, mine in verdicts.items():
        assert {v["status"] for v in mine[21:]} == {"learning" if profile in wrong else "scored"}
    assert {e["profile_id"] for e in events(telltale, "model_lost")} == set(wrong)
    assert telltale.stop(scorer) == 0
