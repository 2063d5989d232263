"""Which records of ``anomalies`` a backtest takes for verdicts."""

import orjson
import pytest

from processor.backtest.history import COMPARED, verdict_of

VERDICT = {
    "verdict_id": "telemetry.features-0-1",
    "profile_id": "p",
    "status": "scored",
    "anomaly": True,
    "suppressed": False,
    "generation": None,
    "model_version": 3,
    "samples_needed": 200,
}


def test_a_verdict_is_one_with_everything_that_is_compared():
    assert verdict_of(orjson.dumps(VERDICT | {"score": 0.5})) == VERDICT | {"score": 0.5}


@pytest.mark.parametrize("name", COMPARED)
def test_what_lacks_a_field_or_holds_another_type_there_is_none(name):
    lacking = {field: value for field, value in VERDICT.items() if field != name}

    assert verdict_of(orjson.dumps(lacking)) is None
    assert verdict_of(orjson.dumps(VERDICT | {name: [7]})) is None


@pytest.mark.parametrize("value", [b"", b"7", b"[]", b"{", b"\xff", b'{"verdict_id": NaN}'])
def test_what_is_no_json_object_is_none(value):
    assert verdict_of(value) is None
