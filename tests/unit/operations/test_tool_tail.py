"""How verdicts look on a terminal, and which of them are shown."""

import pytest

from processor.operations import tail
from processor.records import ConsumerRecord

ANOMALY = {
    "kind": "features",
    "profile_id": "machine-1",
    "status": "scored",
    "anomaly": True,
    "severity": "high",
    "score": 0.91234,
    "suppressed": False,
    "scored_at": 1_700_000_000_000,
    "reasons": [
        {"feature": "cpu", "value": 97.5, "typical": [10.0, 40.0], "contribution": 0.7},
        {"feature": "disk", "value": None, "typical": [1.0, 2.0], "contribution": 0.2},
        {"feature": "net", "value": 3.0, "typical": [None, None], "contribution": 0.05},
        {"feature": "fan", "value": 5.0, "typical": [4.0, 6.0], "contribution": 0.05},
    ],
}


def record(key: bytes, anomaly: bytes) -> ConsumerRecord:
    return ConsumerRecord("anomalies", 0, 0, key, b"{}", (("telltale.anomaly", anomaly),), 0)


def test_an_anomaly_is_one_line_with_severity_score_and_its_first_reasons():
    assert tail.line(ANOMALY).plain == (
        "22:13:20 features   machine-1  high  score 0.912  "
        "cpu 97.5 outside [10, 40]; disk absent; net 3, never seen before"
    )


def test_a_value_inside_its_usual_range_is_not_called_outside():
    assert tail.reason(ANOMALY["reasons"][3]) == "fan 5 in [4, 6]"


def test_a_learning_profile_shows_how_far_it_is():
    verdict = ANOMALY | {
        "status": "learning",
        "anomaly": False,
        "samples_seen": 7,
        "samples_needed": 200,
    }

    assert tail.line(verdict).plain == "22:13:20 features   machine-1  learning 7 of 200"


def test_a_maintenance_window_shows():
    assert "suppressed" in tail.line(ANOMALY | {"suppressed": True}).plain


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234567.0, "1,234,567"), (0.012345, "0.01235"), (-3.0, "-3"), (1e12, "1e+12")],
)
def test_numbers_have_four_significant_digits(value, text):
    assert tail.format_number(value) == text


def test_only_what_is_wanted_is_shown():
    anomaly, normal = record(b"a", b"true"), record(b"b", b"false")

    assert [tail.VerdictFilter()(r) for r in (anomaly, normal)] == [True, True]
    assert [tail.VerdictFilter(anomalies=True)(r) for r in (anomaly, normal)] == [True, False]
    assert [tail.VerdictFilter(profile="b")(r) for r in (anomaly, normal)] == [False, True]


def test_a_window_without_an_end_is_said_to_last_until_resumed():
    assert tail.moment(253_402_300_799_999) == "resumed"
    assert tail.moment(1_700_000_000_000) == "2023-11-14 22:13:20 UTC"
