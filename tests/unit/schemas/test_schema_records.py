"""The records that Telltale and its operators write."""

import pytest
from pydantic import BaseModel, ValidationError

from schemas import AcceptedSample, Command, LifecycleEvent, Mark, ModelRecord, Verdict, explain
from schemas.base import id_fault

VERDICT = {
    "verdict_id": "telemetry.features-0-7",
    "profile_id": "p",
    "kind": "features",
    "status": "scored",
    "anomaly": True,
    "score": 0.9,
    "decision": -0.2,
    "p_value": 0.0,
    "severity": "high",
    "model_version": 1,
    "generation": 0,
    "samples_seen": 200,
    "samples_needed": 200,
    "reasons": [{"feature": "a", "value": None, "typical": [0, 1.5], "contribution": 1}],
    "suppressed": False,
    "observed_at": 1,
    "scored_at": 2,
}
LEARNING = {
    "verdict_id": "telemetry.features-0-7",
    "profile_id": "p",
    "kind": "features",
    "status": "learning",
    "anomaly": False,
    "samples_seen": 1,
    "samples_needed": 200,
    "observed_at": 1,
    "scored_at": 2,
}
ACCEPTED = {
    "profile_id": "p",
    "kind": "features",
    "generation": 0,
    "model_version": 1,
    "features": ["a", "b"],
    "vectors": [[1, None], [2.5, 3]],
    "p_values": [0.5, 1],
    "since_anomaly": None,
    "observed_at": 1,
    "source": "scorer",
    "verdict_id": "telemetry.features-0-7",
}
MARK = {"mark": "forget", "profile_id": "p", "kind": "features", "generation": 4}
MODEL = {
    "profile_id": "p",
    "kind": "features",
    "generation": 0,
    "version": 2,
    "detector": "blend",
    "artifact": "features/p-0123456789abcdef/0-0123456789abcdef.joblib",
    "sha256": "0" * 64,
    "features": ["a", "b"],
    "trained_on": 700,
    "learned": 200,
    "pool_count": 500,
    "alert_budget": 0.01,
    "decision_offset": -0.55,
    "trigger": "samples",
    "trained_at": 5,
    "source_offset": 900,
    "history": [
        {
            "version": 1,
            "artifact": "features/p-0123456789abcdef/0-fedcba9876543210.joblib",
            "sha256": "f" * 64,
            "decision_offset": None,
            "trained_at": 3,
        }
    ],
}
COMMAND = {
    "command_id": "c1",
    "command": "forget",
    "profile_id": "p",
    "kind": None,
    "version": None,
    "until": None,
    "reason": None,
    "issued_at": 1,
}
EVENT = {"event": "trained", "profile_id": "p", "kind": "features", "version": 1, "at": 1}
ALL = [
    (Verdict, VERDICT),
    (Verdict, LEARNING),
    (AcceptedSample, ACCEPTED),
    (Mark, MARK),
    (ModelRecord, MODEL),
    (Command, COMMAND),
    (LifecycleEvent, EVENT),
]


def refusal(model: type[BaseModel], value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return explain(caught.value)


@pytest.mark.parametrize(("model", "value"), ALL)
def test_a_record_is_the_same_after_json_and_back(model: type[BaseModel], value):
    record = model.model_validate(value)
    assert model.model_validate_json(record.model_dump_json()) == record
    assert record.model_dump(mode="json", include=set(value), exclude_unset=True) == value


@pytest.mark.parametrize(("model", "value"), ALL)
def test_unknown_fields_are_ignored_and_records_are_frozen(model: type[BaseModel], value):
    record = model.model_validate(value | {"of_a_later_release": {"x": [1]}})
    assert record == model.model_validate(value)
    with pytest.raises(ValidationError, match="frozen"):
        record.profile_id = "q"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "learning"}, "with status learning"),
        ({"decision": 0.0}, "decision below 0 exactly for an anomaly"),
        ({"decision": None}, "decision below 0 exactly for an anomaly"),
        ({"anomaly": False}, "decision below 0 exactly for an anomaly"),
        ({"severity": "none"}, "severity none exactly without"),
        ({"status": "unsure"}, "$.status"),
        ({"score": 1.1}, "$.score"),
        ({"p_value": True}, "$.p_value"),
        ({"samples_seen": -1}, "$.samples_seen"),
        ({"scored_at": 1.0}, "$.scored_at"),
        (
            {"reasons": [{"feature": "a", "value": 1, "typical": [0], "contribution": 1}]},
            "$.reasons[0].typical",
        ),
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused(change, words: str):
    assert words in refusal(Verdict, VERDICT | change)


def test_a_verdict_without_a_score_has_nulls_in_its_place():
    verdict = Verdict.model_validate(LEARNING)
    assert verdict.score is verdict.decision is verdict.p_value is verdict.model_version is None
    assert (verdict.severity, verdict.reasons, verdict.suppressed) == ("none", [], False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vectors": [[1, 2], [1]]}, "vectors[1] has 1"),
        ({"p_values": [0.5]}, "one p-value a row"),
        ({"vectors": [[1, "2"], [1, 2]]}, "$.vectors[0][1]"),
        ({"source": "someone"}, "$.source"),
    ],
)
def test_accepted_samples_are_a_table(change, words: str):
    assert words in refusal(AcceptedSample, ACCEPTED | change)


def test_a_candidate_has_no_version_and_a_digest_is_64_hex_digits():
    candidate = {name: value for name, value in MODEL.items() if name != "version"}
    assert ModelRecord.model_validate(candidate).version is None
    assert "$.sha256" in refusal(ModelRecord, MODEL | {"sha256": "0" * 63})
    assert "$.version" in refusal(ModelRecord, MODEL | {"version": 0})


@pytest.mark.parametrize("name", ["forget", "retrain", "rollback", "suppress", "resume"])
def test_the_five_commands_are_known(name: str):
    assert Command.model_validate(COMMAND | {"command": name}).command == name


def test_any_other_command_is_refused():
    assert "$.command" in refusal(Command, COMMAND | {"command": "delete"})


def test_an_event_of_a_later_release_is_read():
    assert LifecycleEvent.model_validate(EVENT | {"event": "moved"}).event == "moved"


@pytest.mark.parametrize(
    "text", ["p", "a b", "x" * 256, "ü" * 128, "家" * 85, "a:b/../c", "\u202e"]
)
def test_an_id_is_what_a_key_may_be(text):
    assert id_fault(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "got none"),
        ("x" * 257, "got 257"),
        ("ü" * 129, "got 258"),
        ("a\x00b", "U+0000 at character 1"),
        ("ab\n", "U+000A at character 2"),
        ("\x7f", "U+007F at character 0"),
        ("家\x9b", "U+009B at character 1"),
        ("a\ud800", "not UTF-8 at character 1"),
    ],
)
def test_what_is_wrong_with_an_id_is_said_in_ascii(text, fault):
    said = id_fault(text)
    assert said is not None
    assert fault in said
    assert said.isascii()
