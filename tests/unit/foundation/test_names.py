"""The topics: their names under a prefix, and what each is created with."""

from itertools import chain

from models.features import KINDS
from processor.retrainer.role import RetrainerRole
from processor.scorer.role import ScorerRole
from processor.topics import Topics

MIB = 2**20
DAY_MS = str(24 * 3600 * 1000)
NAMES = {
    "telemetry.behavior",
    "telemetry.series",
    "telemetry.drowsiness",
    "telemetry.features",
    "anomalies",
    "accepted-normal",
    "candidates",
    "models",
    "cold-start",
    "profiles",
    "retrain-pool",
    "ingest-counters",
    "commands",
    "lifecycle",
    "dead-letter",
    "labels",
    "attributes",
}
COMPACTED = {"models", "cold-start", "profiles", "retrain-pool", "ingest-counters"} | {
    "labels",
    "attributes",
}


def test_are_those_of_the_design():
    assert set(Topics().configs()) == NAMES


def test_a_prefix_stands_before_each():
    assert set(Topics("eu.").configs()) == {f"eu.{name}" for name in NAMES}
    assert Topics("eu.").kinds() == {f"eu.telemetry.{kind}": kind for kind in KINDS}


def test_only_state_and_what_people_say_is_compacted():
    configs = Topics().configs()
    policies = {name: config["cleanup.policy"] for name, config in configs.items()}
    assert {name for name, policy in policies.items() if policy == "compact"} == COMPACTED
    assert {policy for name, policy in policies.items() if name not in COMPACTED} == {"delete"}


def test_compacted_topics_are_cleaned_within_a_day():
    for name in COMPACTED:
        config = Topics().configs()[name]
        for key in ("segment.ms", "max.compaction.lag.ms", "delete.retention.ms"):
            assert config[key] == DAY_MS


def test_verdicts_and_models_may_be_4_mib_and_dead_letters_8():
    configs = Topics().configs()
    for name in ("anomalies", "models"):
        assert configs[name]["max.message.bytes"] == str(4 * MIB)
    assert configs["dead-letter"]["max.message.bytes"] == str(8 * MIB)


def test_the_broker_measures_batches_of_inputs_unpacked():
    configs = Topics().configs()
    assert set(Topics().inputs()) == {
        *Topics().kinds(),
        "commands",
        "accepted-normal",
        "candidates",
    }
    for name in Topics().inputs():
        assert configs[name]["compression.type"] == "uncompressed"
        assert configs[name]["max.message.bytes"] == str(16 * MIB)


def test_whatever_a_role_writes_has_a_limit_that_its_topic_takes():
    limits, configs = Topics("eu.").limits(), Topics("eu.").configs()
    broker_default = str(1024 * 1024)
    for name, limit in limits.items():
        assert limit <= int(configs[name].get("max.message.bytes", broker_default))
    of_others = {*Topics("eu.").kinds(), "eu.commands", "eu.labels", "eu.attributes"}
    assert limits.keys() == configs.keys() - of_others


def test_roles_read_and_restore_from_topics_that_are_created(make_role):
    for role in (make_role(ScorerRole), make_role(RetrainerRole)):
        assert set(chain(role.inputs, role.priority_inputs, role.changelogs)) <= NAMES
        assert set(role.priority_inputs) <= set(role.inputs)


def test_the_scorer_subscribes_to_all_telemetry_commands_and_candidates(make_role):
    role = make_role(ScorerRole)
    assert set(role.inputs) == {*Topics().kinds(), "commands", "candidates"}
    assert set(role.priority_inputs) == {"commands"}
