"""Backup and restore as docs/operations.md has it: the brokers' volumes, then the directory."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.harness import Telltale, by_profile, on_a_broker_of_its_own
from tests.broker.test_pipeline import vectors
from tests.kafka.broker import JvmBroker

FEW = {"TELLTALE_COLD_START_SAMPLES": "30", "TELLTALE_RETRAIN_SAMPLES": "1000"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[JvmBroker, Telltale]]:
    """A broker whose volume the test may copy, and an application on it."""
    with on_a_broker_of_its_own(tmp_path, FEW) as made:
        yield made


def test_after_a_disaster_profiles_go_on_from_the_backup_and_a_model_it_lacks_is_learnt_anew(
    own: tuple[JvmBroker, Telltale], tmp_path: Path
) -> None:
    broker, telltale = own
    models, backup = tmp_path / "models", tmp_path / "backup"
    records, _ = vectors(profiles=3, count=60, seed=2)
    late = [record for record in records if record[0] == "p2"]
    early = [record for record in records if record[0] != "p2"]
    telltale.create_topics(1)
    scorer = telltale.start("score", "--slot", "0")
    telltale.produce("telemetry.features", [*early[:80], *late[:10]])
    telltale.wait_for(90)
    shutil.copytree(models, backup / "models")
    # p2 is trained after the directory was copied: the copy lacks what the topics announce.
    telltale.produce("telemetry.features", late[10:30])
    telltale.wait_for(110)
    telltale.kill(scorer)
    broker.stop()
    shutil.copytree(broker.data, backup / "data")
    broker.start()
    scorer = telltale.start("score", "--slot", "0")
    telltale.produce("telemetry.features", early[80:100])
    telltale.wait_for(130)

    telltale.kill(scorer)
    broker.kill()
    for lost, kept in ((models, backup / "models"), (broker.data, backup / "data")):
        shutil.rmtree(lost)
        shutil.copytree(kept, lost)
    broker.start()
    telltale.start("score", "--slot", "0")
    telltale.produce("telemetry.features", [*early[80:], *late[30:]])
    verdicts = by_profile(telltale.wait_for(len(records)))

    for profile in ("p0", "p1"):
        said = [(v["status"], v["samples_seen"]) for v in verdicts[profile]]
        assert said == [*(("learning", n) for n in range(1, 31)), *[("scored", 30)] * 30]
    again = [(v["status"], v["samples_seen"]) for v in verdicts["p2"][30:]]
    assert again == [("learning", n) for n in range(1, 31)]
    lost = [e for e in telltale.values("lifecycle") if e["event"] == "model_lost"]
    assert [(e["profile_id"], e["detail"].endswith("the profile learns anew")) for e in lost] == [
        ("p2", True)
    ]
