"""Simulated telemetry is valid, repeatable, and knows the truth about itself."""

from collections import defaultdict
from itertools import islice

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator

from models.features import KINDS
from processor.simulation.kinds import SIMULATIONS
from processor.simulation.simulator import Plan, Simulated, simulate
from schemas import json_schemas


def plan(**changes) -> Plan:
    given = {
        "profiles": 8,
        "kinds": tuple(KINDS),
        "records": 60,
        "anomaly_rate": 0.2,
        "learning": dict.fromkeys(KINDS, 30),
    }
    return Plan(**{**given, **changes})


def by_profile(records: list[Simulated]) -> dict[tuple[str, str], list[Simulated]]:
    found = defaultdict(list)
    for record in records:
        found[record.kind, record.profile_id].append(record)
    return found


def test_there_is_a_simulation_for_every_kind():
    assert list(SIMULATIONS) == list(KINDS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_record_is_valid_by_json_schema_and_by_model_and_gives_its_samples(kind):
    schema = json_schemas()[KINDS[kind].telemetry.__name__]
    valid = Draft202012Validator(schema)

    for record in simulate(plan(kinds=(kind,), profiles=3, records=25)):
        sent = orjson.loads(orjson.dumps(record.value))
        valid.validate(sent)
        rows = KINDS[kind].extract(KINDS[kind].telemetry.model_validate(sent)).rows
        assert rows.shape[0] == SIMULATIONS[kind].samples
        assert not np.isnan(rows).all(axis=1).any()


def test_a_seed_gives_the_same_records_again_and_another_seed_gives_others():
    assert list(simulate(plan(seed=7))) == list(simulate(plan(seed=7)))
    assert list(simulate(plan(seed=7))) != list(simulate(plan(seed=8)))


def test_profiles_take_turns_and_each_has_its_records_in_order():
    profiles = by_profile(list(simulate(plan())))

    assert len(profiles) == 8
    for records in profiles.values():
        assert [record.index for record in records] == list(range(60))


def test_the_samples_of_the_cold_start_stay_without_anomalies():
    for (kind, _), records in by_profile(list(simulate(plan(anomaly_rate=1.0)))).items():
        learning = -(-30 // SIMULATIONS[kind].samples)
        assert all(record.what is None for record in records[:learning])
        assert all(record.what is not None for record in records[learning:])


def test_every_anomaly_of_a_kind_comes_up_with_its_grade():
    seen = defaultdict(set)
    for record in simulate(plan(anomaly_rate=0.9, records=120)):
        if record.what is not None:
            seen[record.kind].add((record.what, record.grade))

    for kind, simulation in SIMULATIONS.items():
        assert seen[kind] == set(simulation.anomalies.items())
        assert {"gross", "subtle"} == set(simulation.anomalies.values())


def test_normal_moves_with_the_drift():
    def late_mean(drift: float) -> float:
        records = simulate(
            plan(kinds=("series",), profiles=1, anomaly_rate=0, drift=drift, records=400)
        )
        return float(np.mean([record.value["values"] for record in islice(records, 300, 400)]))

    assert late_mean(50.0) > late_mean(0.0)


def test_without_a_number_of_records_it_goes_on():
    assert len(list(islice(simulate(plan(records=None)), 1000))) == 1000


def test_the_truth_of_a_record_is_plain_json():
    record = next(simulate(plan()))

    assert orjson.loads(orjson.dumps(record.truth())) == {
        "kind": "behavior",
        "profile_id": "person-000",
        "index": 0,
        "anomaly": False,
        "what": None,
        "grade": None,
    }
