"""What goes wrong around the processes: the broker, the group, the offsets, a twin."""

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.broker.harness import Telltale, by_profile, on_a_broker_of_its_own
from tests.broker.test_pipeline import vectors

FEW = {"TELLTALE_COLD_START_SAMPLES": "30"}


def test_a_twin_with_the_same_slot_fences_the_older_process(telltale: Telltale) -> None:
    records, _ = vectors(profiles=12, count=10, seed=1)
    telltale.create_topics()
    older = telltale.start("score", "--slot", "0", **FEW)
    telltale.produce("telemetry.features", records[:40])
    telltale.wait_for(40)

    newer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(
        lambda: sum(line["event"] == "assigned" for line in telltale.log_lines()) >= 3,
        "both have partitions",
    )
    telltale.produce("telemetry.features", records[40:])
    verdicts = telltale.wait_for(len(records))

    assert older.wait(30) == 1
    assert any("fenced" in line.get("reason", "") for line in telltale.log_lines())
    assert len({v["verdict_id"] for v in verdicts}) == len(verdicts) == len(records)
    assert telltale.stop(newer) == 0


def test_offsets_that_are_gone_stop_the_start_and_the_policy_goes_on_without_learning_twice(
    telltale: Telltale, bootstrap: str, environment: dict[str, str]
) -> None:
    records, _ = vectors(profiles=2, count=25, seed=2)
    telltale.create_topics()
    telltale.produce("telemetry.features", records[:30])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(30)
    assert telltale.stop(scorer) == 0
    group = f"{environment['TELLTALE_APPLICATION']}-scorer"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_consumer_groups([group])[group].result(120)

    stopped = telltale.run("score", "--slot", "0", **FEW)
    telltale.produce("telemetry.features", records[30:])
    telltale.start("score", "--slot", "0", "--lost-offsets", "earliest", **FEW)
    verdicts = by_profile(telltale.wait_for(len(records)))

    assert stopped.returncode == 1
    assert "--lost-offsets earliest" in stopped.stderr
    for mine in verdicts.values():
        assert [v["samples_seen"] for v in mine] == list(range(1, 26))


def test_telemetry_that_retention_ate_unread_stops_the_start(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    records, _ = vectors(profiles=1, count=40, seed=2)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:10])
    scorer = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(10)
    assert telltale.stop(scorer) == 0
    telltale.produce("telemetry.features", records[10:])
    cut = TopicPartition(f"{prefix}telemetry.features", 0, 20)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_records([cut])[cut].result(120)

    stopped = telltale.run("score", "--slot", "0", **FEW)

    assert stopped.returncode == 1
    assert "records 10 to 19 were deleted before they were read" in stopped.stderr


def test_topics_with_different_partition_counts_stop_the_start(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    odd = f"{prefix}commands"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    telltale.create_topics(2)
    admin.create_partitions([NewPartitions(odd, 3)])[odd].result(120)

    stopped = telltale.run("score")
    checked = telltale.run("topics", "check")

    assert stopped.returncode == 1
    assert f"{odd} 3" in stopped.stderr
    assert checked.returncode == 1
    assert f"{odd}: 3 partitions" in checked.stderr


@pytest.mark.timeout(400)
def test_a_broker_that_dies_and_comes_back_loses_and_doubles_nothing(tmp_path: Path) -> None:
    records, _ = vectors(profiles=5, count=120, seed=3)
    variables = FEW | {"TELLTALE_RETRAIN_SAMPLES": "40"}
    with on_a_broker_of_its_own(tmp_path, variables) as (broker, telltale):
        telltale.create_topics()
        roles = [telltale.start("score", "--slot", "0"), telltale.start("retrain")]
        telltale.produce("telemetry.features", records[:300])
        telltale.wait_for(150)

        broker.kill()
        telltale.wait_until(
            lambda: any(
                line["event"] in ("lost", "transaction_lost", "waiting")
                and line["role"] == "scorer"
                for line in telltale.log_lines()[-3:]
            ),
            "the scorer notices",
            90,
        )
        broker.start()
        telltale.produce("telemetry.features", records[300:])
        verdicts = by_profile(telltale.wait_for(len(records)))

        ids = [v["verdict_id"] for mine in verdicts.values() for v in mine]
        assert len(ids) == len(set(ids)) == len(records) == len(telltale.read("anomalies"))
        for mine in verdicts.values():
            assert [v["samples_seen"] for v in mine] == [*range(1, 31), *[30] * 90]
        assert [telltale.stop(role) for role in roles] == [0, 0]
