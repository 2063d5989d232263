"""Schema evolution: each record of the oldest release, and of one to come, is read by this one.

`golden/` holds an example of every record: `oldest`, with nothing but what the first release wrote,
and `today`, with every field. A field may be added, as optional; none may go or become required.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import structlog
from jsonschema import Draft202012Validator
from pydantic import BaseModel

import schemas
from models.features import KINDS
from processor.ingest import rates
from processor.records import ConsumerRecord
from processor.retrainer import pool as pools
from processor.state import profile_codec, ring, ring_codec
from processor.state.changelog import LoadedSlots
from processor.state.profile_codec import ShiftNote
from processor.state.profiles import PendingDeletion
from processor.state.ring_codec import SlotError
from processor.topics import Topics

GOLDEN = Path(__file__).parent / "golden"
TOPICS = Topics()
OPEN = ("values", "provenance", "figures", "last")
"""Objects whose names are data: there is no unknown one."""


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


RECORDS = {
    file.stem: found
    for file in sorted(GOLDEN.glob("*.json"))
    if "model" in (found := golden(file.stem))
}
EXAMPLES = [
    pytest.param(found["model"], value, id=f"{name}-{index}")
    for name, found in RECORDS.items()
    for index, value in enumerate([*found["oldest"], found["today"]])
]


def model_of(name: str) -> type[BaseModel]:
    found: type[BaseModel] = getattr(schemas, name)
    return found


def from_the_future(value: Any) -> Any:
    """The same with unknown fields in every object, however deep."""
    if isinstance(value, list):
        return [from_the_future(item) for item in value]
    if not isinstance(value, dict):
        return value
    grown = {name: item if name in OPEN else from_the_future(item) for name, item in value.items()}
    return grown | {"of_a_later_release": {"x": [1, None]}, "another": "y"}


def names_of(model: type[BaseModel]) -> list[set[str]]:
    """The names that each field goes by on the wire."""
    return [
        {name, *getattr(field.validation_alias, "choices", ())}
        for name, field in model.model_fields.items()
    ]


def test_every_topic_of_json_records_has_its_example():
    named = {found.get("topic") for found in map(golden, [f.stem for f in GOLDEN.glob("*.json")])}

    # A dead letter is the original, and slots are no JSON.
    compacted = {TOPICS.cold_start}
    assert named - {None} == set(TOPICS.configs()) - {TOPICS.dead_letter} - compacted
    assert set(golden("slots")["topics"]) == {TOPICS.cold_start, TOPICS.pool}


def test_counters_of_the_first_release_are_read():
    found = golden("ingest_counters")

    key, counters = rates.decode_counters(
        json.dumps(found["key"]).encode(), json.dumps(from_the_future(found["oldest"])).encode()
    )

    assert key == ("hosts", "telegraf", 3, "web-1")
    assert counters == rates.Counters(99, {"bytes_in": (1795255202316, 812377)})


def test_every_model_of_a_record_has_its_example():
    records = {found["model"] for found in RECORDS.values()}
    parts = {"HistoryEntry", "Reason", "SampleVerdict", "Telemetry"}

    exported = {
        name
        for name in schemas.__all__
        if isinstance(item := getattr(schemas, name), type) and issubclass(item, BaseModel)
    }
    assert records == exported - parts


@pytest.mark.parametrize("name", RECORDS)
def test_the_example_of_today_has_every_field(name: str):
    model = model_of(RECORDS[name]["model"])
    optional = {"ear_value", "is_drowsy", "duration_ms"}  # the other form of its record

    shown = set(RECORDS[name]["today"])

    assert [sorted(n) for n in names_of(model) if not n & shown and not n & optional] == []
    assert shown <= set.union(*names_of(model))


@pytest.mark.parametrize(("model", "value"), EXAMPLES)
def test_a_record_of_any_release_so_far_is_read_and_nothing_of_it_is_lost(model: str, value: Any):
    read = model_of(model).model_validate_json(json.dumps(value))

    kept = same_names(json.loads(read.model_dump_json(exclude_unset=True)))
    given = same_names(value)
    assert {name: kept[name] for name in given} == given


def same_names(value: Any) -> Any:
    """The same with names in one spelling: on the wire some may be in camelCase or snake_case."""
    if isinstance(value, list):
        return [same_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name.replace("_", "").lower(): same_names(item) for name, item in value.items()}


@pytest.mark.parametrize(("model", "value"), EXAMPLES)
def test_a_record_of_a_release_to_come_is_read_as_if_it_were_of_today(model: str, value: Any):
    read = model_of(model).model_validate_json(json.dumps(from_the_future(value)))

    assert read == model_of(model).model_validate_json(json.dumps(value))


@pytest.mark.parametrize("name", RECORDS)
def test_readers_elsewhere_that_go_by_the_json_schema_take_both(name: str):
    found = RECORDS[name]
    schema = Draft202012Validator(schemas.json_schemas()[found["model"]])

    for value in (found["oldest"][0], found["today"]):
        assert list(schema.iter_errors(value)) == []
        assert list(schema.iter_errors(from_the_future(value))) == []


def test_words_that_may_grow_are_open_and_those_that_rule_are_closed():
    event = golden("lifecycle")["today"] | {"event": "moved"}
    record = golden("model_record")["today"] | {"trigger": "full-moon", "detector": "oracle"}

    assert schemas.LifecycleEvent.model_validate(event).event == "moved"
    assert schemas.ModelRecord.model_validate(record).trigger == "full-moon"
    for model, value, field in (
        ("Command", golden("command")["today"], "command"),
        ("Mark", golden("mark")["today"], "mark"),
        ("AcceptedSample", golden("accepted_sample")["today"], "source"),
    ):
        with pytest.raises(ValueError, match=field):
            model_of(model).model_validate(value | {field: "of_a_later_release"})
    assert set(get_args(schemas.MarkName)) == {m["mark"] for m in golden("mark")["oldest"]}
    assert set(schemas.CommandName) == {c["command"] for c in golden("command")["oldest"]}


class TestSlots:
    @pytest.mark.parametrize("stored", golden("slots")["slots"])
    def test_of_the_first_format_are_read_and_written_to_the_byte(self, stored: dict[str, Any]):
        value = bytes.fromhex(stored["hex"])

        slot = ring_codec.decode_slot(value)

        expected = np.array(stored["rows"], dtype=np.float64)
        np.testing.assert_array_equal(slot.rows, expected)
        assert (slot.generation, slot.number, slot.before, slot.offset) == tuple(
            stored[name] for name in ("generation", "number", "before", "offset")
        )
        assert slot.names == (None if stored["names"] is None else tuple(stored["names"]))
        assert ring_codec.encode_slot(slot) == value

    def test_of_any_other_format_are_refused_by_their_first_byte(self):
        first = bytes.fromhex(golden("slots")["slots"][0]["hex"])

        for version in (0, *range(3, 256)):
            with pytest.raises(SlotError, match=f"format {version:02x}, expected 1 or 2"):
                ring_codec.decode_slot(bytes([version]) + first[1:])

    def test_of_an_unknown_format_are_told_and_their_ring_goes_on_with_the_others(self):
        known, unknown = (bytes.fromhex(slot["hex"]) for slot in golden("slots")["slots"])
        loaded = LoadedSlots(2**20, structlog.get_logger())
        stored = {b"features:p:0": known, b"features:p:1": b"\x03" + unknown[1:]}
        for offset, (key, value) in enumerate(stored.items()):
            loaded.load(ConsumerRecord(TOPICS.cold_start, 0, offset, key, value, (), 0))

        with structlog.testing.capture_logs() as told:
            (stored_ring,) = loaded.rings(0)

        assert stored_ring.identity == ("features", "p")
        held = ring.restored(stored_ring.slots, 200)
        assert held is not None
        assert (held.generation, held.names, held.seen) == (14, ("a", "b"), 1)
        assert [(line["event"], line["log_level"]) for line in told] == [
            ("slot_unreadable", "error")
        ]
        assert told[0]["key_sha256"] == hashlib.sha256(b"features:p:1").hexdigest()[:16]


class TestPoolHeads:
    def test_of_today_are_read_whole(self):
        found = golden("pool_head")["today"]

        assert pools.read_head(json.dumps(found).encode()) == {
            **{name: value for name, value in found.items() if name != "format"},
            "obeyed": tuple(found["obeyed"]),
            "vouched": tuple(found["vouched"]),
        }

    def test_of_the_oldest_release_lack_what_came_later(self):
        counters = pools.read_head(json.dumps(golden("pool_head")["oldest"]).encode())

        assert counters["accepted"] == 30
        assert (counters["asked"], counters["tried"], counters["refused"]) == (None, 0, 0)
        assert (counters["rolled_back"], counters["obeyed"]) == (0, ())
        assert (counters["vouched"], counters["alarmed"]) == ((), 0)

    def test_of_a_release_to_come_are_read_as_if_they_were_of_today(self):
        found = golden("pool_head")["today"]

        assert pools.read_head(json.dumps(from_the_future(found)).encode()) == pools.read_head(
            json.dumps(found).encode()
        )

    def test_of_another_format_are_refused_and_the_pool_goes_on_with_its_samples(self):
        head = golden("pool_head")["today"] | {"format": 2}
        first = bytes.fromhex(golden("slots")["slots"][0]["hex"])

        with pytest.raises(SlotError, match="format 2, expected 1"):
            pools.read_head(json.dumps(head).encode())
        pool = pools.restored_pool({0: ring_codec.decode_slot(first)}, None, 1000)

        assert pool is not None
        assert (pool.generation, pool.accepted, pool.offset) == (14, 1, 14)


def test_a_note_of_forgetting_is_read_with_and_without_unknown_fields():
    note = golden("profiles")["forgetting"]["today"]
    later = {"forgetting": note["forgetting"] | {"of_a_later_release": 1}} | {"format": 1, "x": 2}

    read = profile_codec.decode_note(b"features:p", json.dumps(note).encode())

    assert read == profile_codec.decode_note(b"features:p", json.dumps(later).encode())
    assert isinstance(read, PendingDeletion)
    assert (read.command_id, read.command_offset, read.generation, read.version) == ("c1", 3, 14, 2)


def test_a_note_of_a_shift_is_read_with_and_without_unknown_fields():
    note = golden("profiles")["shift"]["today"]
    later = {"shift": note["shift"] | {"of_a_later_release": 1}} | {"format": 1, "x": 2}

    read = profile_codec.decode_note(b"shift:features:p", json.dumps(note).encode())

    assert read == profile_codec.decode_note(b"shift:features:p", json.dumps(later).encode())
    assert read == ShiftNote(14, 3, None, "telemetry.features-3-7998", 1795255302316, False)
    assert json.loads(profile_codec.encode_note(read)) == note


def test_kinds_of_telemetry_have_examples():
    assert {f"telemetry_{kind}" for kind in KINDS} <= set(RECORDS)
