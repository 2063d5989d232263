"""Forgetting, provably: what is left of a profile after compaction, and a crash on the way."""

import json
from pathlib import Path

import numpy as np
from confluent_kafka import Message
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.broker.harness import Telltale

COMPACTED = ("models", "cold-start", "profiles", "retrain-pool")
LEARN = {"TELLTALE_COLD_START_SAMPLES": "20", "TELLTALE_RETRAIN_SAMPLES": "30"}


def telemetry(profiles: list[str], count: int, seed: int) -> list[tuple[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        (name, {"values": dict(zip("abc", rng.normal(0, 1, 3).tolist(), strict=True))})
        for _ in range(count)
        for name in profiles
    ]


def kept(telltale: Telltale, profile: str) -> list[Message]:
    """Records of compacted topics that still say something of a profile."""
    return [
        message
        for topic in COMPACTED
        for message in telltale.read(topic)
        if message.value() is not None and profile in (message.key() or b"").decode()
    ]


def compact_at_once(bootstrap: str, prefix: str) -> None:
    """Have the broker compact all that is not the newest segment, and roll segments often."""
    wanted = {
        "segment.ms": "200",
        "min.cleanable.dirty.ratio": "0.0001",
        "max.compaction.lag.ms": "500",
        "delete.retention.ms": "100",
    }
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            prefix + topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in wanted.items()
            ],
        )
        for topic in COMPACTED
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for answer in admin.incremental_alter_configs(resources).values():
        answer.result()


def test_after_compaction_no_topic_and_no_file_holds_a_forgotten_profile(
    telltale: Telltale, bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    telltale.create_topics(1)
    telltale.start("score", "--slot", "0", **LEARN)
    telltale.start("retrain", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(["gone", "stays"], 80, seed=1))
    telltale.wait_for(sent)
    telltale.wait_until(lambda: len(kept(telltale, "gone")) > 30, "the profile has a pool")
    done = telltale.run("profile", "forget", "gone", "--kind", "features")
    compact_at_once(bootstrap, prefix)

    assert done.returncode == 0, done.stderr
    sent += telltale.produce("telemetry.features", telemetry(["stays", "late"], 30, seed=2))
    telltale.wait_for(sent)

    def rolled() -> bool:
        # Compaction spares the newest segment: something has to come after the tombstones.
        telltale.produce("telemetry.features", telemetry(["stays", "late"], 1, seed=3))
        telltale.run("profile", "suppress", "stays", "--until", "1h")
        return kept(telltale, "gone") == []

    telltale.wait_until(rolled, "compaction has removed what was said of the profile")
    assert list((tmp_path).rglob("gone-*")) == []
    assert list((tmp_path).rglob("stays-*")) != []
    receipts = [e for e in telltale.values("lifecycle") if e["event"] == "forgotten"]
    assert sorted(e["role"] for e in receipts) == ["retrainer", "scorer"]
    figures = next(e["figures"] for e in receipts if e["role"] == "scorer")
    assert figures["versions"]
    assert figures["ages_out_ms"][f"{prefix}anomalies"] > 0


def test_a_scorer_killed_while_it_forgets_is_finished_by_the_next_one(
    telltale: Telltale, tmp_path: Path
) -> None:
    telltale.create_topics(1)
    first = telltale.start("score", "--slot", "0", **LEARN)
    sent = telltale.produce("telemetry.features", telemetry(["gone"], 30, seed=1))
    telltale.wait_for(sent)
    asked = telltale.run("profile", "forget", "gone", "--timeout", "0")
    telltale.wait_until(lambda: len(telltale.read("profiles")) > 0, "the first transaction")
    telltale.kill(first)
    assert asked.returncode == 1

    telltale.start("score", "--slot", "0", **LEARN)
    telltale.start("retrain", "--slot", "0", **LEARN)
    telltale.wait_until(
        lambda: sum(e["event"] == "forgotten" for e in telltale.values("lifecycle")) == 2,
        "both receipts",
    )
    sent += telltale.produce("telemetry.features", telemetry(["gone"], 1, seed=2))
    (*_, verdict) = telltale.wait_for(sent)

    assert (verdict["status"], verdict["samples_seen"]) == ("learning", 1)
    commands = {json.loads(m.value() or b"")["command_id"] for m in telltale.read("commands")}
    assert {e["command_id"] for e in telltale.values("lifecycle") if e["command_id"]} == commands
    assert list(tmp_path.rglob("*.joblib")) == []
