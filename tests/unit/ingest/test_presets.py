"""Presets: a recorded sample of each format becomes telemetry that learns and is scored."""

from itertools import islice

import orjson
import pytest
import yaml

from processor.ingest import presets
from processor.ingest.pipeline import compute
from processor.ingest.rehearsal import rehearse
from processor.records import ConsumerRecord
from schemas import Verdict
from tests.unit.builders import Scorer
from tests.unit.ingest.builders import DATA, TOPICS, context, record, source

PROFILES = {
    "telegraf": {"cpu/cpu-total/web-1", "cpu/cpu-total/web-2", "mem/web-1", "mem/web-2"},
    "metricbeat": {"db-1/system.cpu", "db-2/system.cpu"},
    "otlp": {"node-a", "node-b"},
    "prometheus": {"node/node-1:9100/node_load1", "node/node-2:9100/node_load1"},
    "prometheus-remote-write": {"node-1:9100/node_load1", "node-2:9100/node_load1"},
    "debezium": {"accounts/1001", "accounts/1002"},
    "cloudevents": {"meter-7", "meter-8"},
}
FEATURES = {
    "telegraf": {"usage_idle", "usage_user", "used_percent", "available"},
    "metricbeat": {"cpu.user.pct", "cpu.total.norm.pct"},
    "otlp": {
        "system.cpu.utilization{cpu=cpu0,state=user}",
        "system.processes.count",
        "http.server.duration",
    },
    "prometheus": {"value"},
    "prometheus-remote-write": {"value"},
    "debezium": {"balance", "open_orders"},
    "cloudevents": {"temperature", "humidity.percent"},
}


def recorded(name: str) -> list[ConsumerRecord]:
    lines = (DATA / f"{name}.jsonl").read_bytes().splitlines()
    return [record(line, offset=at) for at, line in enumerate(lines)]


def test_every_preset_has_a_sample_a_summary_and_is_yaml():
    assert presets.names() == sorted(PROFILES)
    for name in presets.names():
        assert isinstance(yaml.safe_load(presets.preset_text(name)), dict)
        assert presets.preset_summary(name).endswith(".")


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_recorded_sample_maps_without_a_dead_letter(name):
    one = source(preset=name)

    found = rehearse(one, recorded(name), context(one))

    assert found.dead == {}
    assert found.mapped + found.filtered == found.records
    assert found.mapped >= 0.9 * found.records
    assert set(found.first_seen) == PROFILES[name]
    assert FEATURES[name] <= set(found.features)
    assert min(found.times) == 1_700_000_000_000 or name == "metricbeat"


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_what_a_preset_maps_learns_and_is_scored(name):
    one = source(preset=name)
    scorer = Scorer(cold_start_samples=15)
    held = context(one)
    telemetry = []
    for offset, out in enumerate(_outputs(name, held)):
        telemetry.append(
            ConsumerRecord(out.topic, 0, offset, out.key, out.value, tuple(out.headers or ()), 0)
        )

    scorer.feed(telemetry)

    written = [out for out in scorer.outputs if out.topic == TOPICS.anomalies]
    verdicts = [Verdict.model_validate_json(out.value or b"") for out in written]
    assert {verdict.status for verdict in verdicts} == {"learning", "scored"}
    assert len(verdicts) == len(telemetry)
    assert all(verdict.source is not None for verdict in verdicts)


def _outputs(name, held):
    step = compute({}, recorded(name), held)
    return [out for out in step.outputs if out.topic.startswith("telemetry.")]


def test_the_deletes_and_heartbeats_of_debezium_are_filtered():
    one = source(preset="debezium")

    found = rehearse(one, recorded("debezium"), context(one))

    assert found.filtered == 3


def test_an_otlp_value_is_that_of_its_kind():
    one = source(preset="otlp")

    found = rehearse(one, islice(recorded("otlp"), 1), context(one))

    values = orjson.loads(orjson.dumps(found.first))["value"]["values"]
    assert values["system.processes.count"] == int(values["system.processes.count"])
    assert 10 < values["http.server.duration"] < 40
