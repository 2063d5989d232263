"""The metrics: names and labels that dashboards and alerts rely on."""

import re
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from processor.metrics.initial_series import series
from processor.metrics.metrics import COUNTERS, Metrics
from tests.unit import builders
from tests.unit.builders import (
    GROSS,
    Memory,
    Retrainer,
    Scorer,
    command,
    normal,
    proposed,
    record,
    stream,
    vector,
)

CONTRACT = {
    "records_total": {"kind", "outcome"},
    "dead_letters_total": {"reason"},
    "trainings_total": {"kind", "trigger", "outcome"},
    "transactions_total": {"outcome"},
    "batch_seconds": set(),
    "consumer_lag": {"topic", "partition"},
    "profiles": {"kind", "state"},
    "model_memory_bytes": set(),
    "restore_seconds": set(),
    "verdicts_total": {"kind", "status", "severity"},
    "end_to_end_seconds": set(),
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


@pytest.mark.parametrize(("name", "labels"), CONTRACT.items())
def test_each_metric_of_the_contract_has_its_labels_and_the_role(metrics, registry, name, labels):
    metrics.start("scorer", builders.settings(), "2.0.0")
    metrics.consumer_lag.labels("scorer", "t", "0")
    metrics.profiles.labels("scorer", "series", "active")
    metrics.model_memory_bytes.labels("scorer")
    metrics.restore_seconds.labels("scorer")
    family = next(
        f for f in registry.collect() if f.name == f"telltale_{name}".removesuffix("_total")
    )
    assert {tuple(sorted(set(s.labels) - {"le"})) for s in family.samples} == {
        tuple(sorted({"role", *labels}))
    }


def test_build_info_says_what_runs(metrics, registry):
    metrics.start("scorer", builders.settings(), "2.0.0")
    (family,) = [f for f in registry.collect() if f.name == "telltale_build_info"]
    (sample,) = family.samples
    assert sample.value == 1
    assert sample.labels["role"] == "scorer"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", sample.labels["version"])


def test_all_begin_with_the_prefix_and_have_a_role(metrics, registry):
    metrics.start("scorer", builders.settings(), "2.0.0")
    for family in registry.collect():
        assert family.name.startswith("telltale_")
        assert family.documentation
        assert all("role" in sample.labels for sample in family.samples)


def test_limits_that_settings_give_are_shown_for_alerts_to_compare_with(metrics, registry):
    metrics.start(
        "scorer",
        builders.settings(
            alert_budget=0.02, cold_start_samples__series=30, model_memory=5, cold_start_samples=7
        ),
        "2.0.0",
    )

    def shown(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"telltale_{name}", {"role": "scorer", **labels})

    assert shown("alert_budget", kind="series") == shown("alert_budget", kind="features") == 0.02
    assert shown("cold_start_samples", kind="series") == 30
    assert shown("cold_start_samples", kind="behavior") == 7
    assert shown("model_memory_limit_bytes") == 5


@pytest.mark.parametrize("role", ["scorer", "retrainer", "ingest"])
def test_series_of_known_labels_stand_at_0_before_anything_happens(metrics, registry, role):
    metrics.start(role, builders.settings(), "2.0.0")
    for name, values in series(role):
        labels = dict(zip(COUNTERS[name][1], values, strict=True))
        assert registry.get_sample_value(f"telltale_{name}_total", {"role": role, **labels}) == 0


def test_every_counter_has_a_series_from_the_start():
    begun = {name for role in ("scorer", "retrainer", "ingest") for name, _ in series(role)}
    # The series of ingest carry the names of its sources, which the role knows.
    assert set(COUNTERS) - begun == {"ingest_records", "ingest_observations"}


def test_counts_of_a_step_are_added_under_its_role(metrics, registry):
    counts = Counter({("records", ("features", "scored")): 3, ("dead_letters", ("too_large",)): 1})
    metrics.count("scorer", counts)
    metrics.count("scorer", counts)
    labels = {"role": "scorer", "kind": "features", "outcome": "scored"}
    assert registry.get_sample_value("telltale_records_total", labels) == 6
    labels = {"role": "scorer", "reason": "too_large"}
    assert registry.get_sample_value("telltale_dead_letters_total", labels) == 2


def test_latencies_are_seconds_and_never_below_0(metrics, registry):
    metrics.observe_latencies("scorer", [1_000, 1_000, 9_000], 3_000, late_seconds=60.0)
    labels = {"role": "scorer"}
    assert registry.get_sample_value("telltale_end_to_end_seconds_count", labels) == 3
    assert registry.get_sample_value("telltale_end_to_end_seconds_sum", labels) == 4.0


def test_a_late_record_is_counted_apart_and_leaves_the_latencies_alone(metrics, registry):
    metrics.start("scorer", builders.settings(), "2.0.0")
    now = 1_800_000_000_000
    of_1970, without, just_in_time, too_late = 0, -1, now - 60_000, now - 60_001

    for timestamps in ([of_1970, without, just_in_time, too_late, now], []):
        metrics.observe_latencies("scorer", timestamps, now, late_seconds=60.0)

    labels = {"role": "scorer"}
    assert registry.get_sample_value("telltale_late_records_total", labels) == 3
    assert registry.get_sample_value("telltale_end_to_end_seconds_count", labels) == 2
    assert registry.get_sample_value("telltale_end_to_end_seconds_sum", labels) == 60.0


def counted_as(role: str, registry: CollectorRegistry) -> set[tuple[str, tuple[str, ...]]]:
    """The series of a role's counters."""
    return {
        (name, tuple(sample.labels[label] for label in labels))
        for family in registry.collect()
        for name, (_, labels) in COUNTERS.items()
        for sample in family.samples
        if sample.name == f"telltale_{name}_total" and sample.labels["role"] == role
    }


def test_whatever_steps_count_is_declared_with_those_labels(metrics, registry):
    scorer = Scorer()
    batches = [
        stream(normal(6)),
        stream([GROSS, {}, vector(None, None, None), vector(1.0, 2.0, 3.0, 4.0)], first=6),
        [command(name, offset=i) for i, name in enumerate(["resume", "suppress", "retrain"])],
        [record(b"junk", topic=builders.TOPICS.commands, offset=9)],
    ]
    for batch in batches:
        metrics.count("scorer", scorer.step(batch).counts)
        scorer.feed(batch)
    metrics.count("scorer", scorer.step([proposed(scorer)]).counts)
    metrics.count("scorer", scorer.step([proposed(scorer, generation=9)]).counts)
    scorer.memory.lose(scorer.current((0, "features", "p")).sha256)
    metrics.count("scorer", scorer.step(stream(normal(1), first=20)).counts)
    junk = record(b"junk", topic=builders.TOPICS.accepted)
    metrics.count("retrainer", Retrainer(Memory()).step([junk]).counts)
    text = generate_latest(registry).decode()
    # What takes a local file, a commit, or hundreds of records, is counted in the tests of that.
    elsewhere = {"transactions", "drifts", "recalled", "spill_failures", "forgotten"}
    elsewhere |= {"late_records", "shifts", "ingest_records", "ingest_observations"}
    for name in set(COUNTERS) - elsewhere:
        assert f"telltale_{name}_total{{" in text
    assert counted_as("scorer", registry) <= set(series("scorer"))
    assert counted_as("retrainer", registry) <= set(series("retrainer"))


def test_no_label_ever_is_a_profile():
    scorer = Scorer()
    names = [f"profile-{i}" for i in range(3)]
    counted: Counter[object] = Counter()
    for name in names:
        step = scorer.step(stream([*normal(7), {}, GROSS], key=name))
        counted += step.counts
    assert not [key for key in counted if any(name in str(key) for name in names)]
