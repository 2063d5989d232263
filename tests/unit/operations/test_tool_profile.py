"""Where a profile stands, from what the compacted topics hold; verdict ids taken apart."""

import numpy as np
import pytest

from processor.kafka.reading import ToolError
from processor.operations import profile_state
from processor.operations.profile_accept import parse_verdict_id
from processor.operations.profile_command import unconfirmed_roles
from processor.operations.profile_state import ChangelogView, ProfileStatus
from processor.records import ConsumerRecord
from processor.settings import Settings
from processor.state.profile_codec import encode_note
from processor.state.profiles import PendingDeletion
from processor.state.ring_codec import Slot
from processor.topics import Topics
from schemas import LifecycleEvent, ModelRecord

SETTINGS = Settings.model_construct(cold_start_samples=200)
KEY = (1, "features", "a")


def slot(generation: int, number: int) -> Slot:
    return Slot(generation, number, number, 10 + number, np.ones((1, 2)), ("x", "y"))


def model(generation: int) -> ModelRecord:
    return ModelRecord(
        profile_id="a",
        kind="features",
        generation=generation,
        version=3,
        detector="blend",
        artifact="features/a/x.joblib",
        sha256="0" * 64,
        features=["x", "y"],
        trained_on=500,
        learned=180,
        alert_budget=0.01,
        trigger="samples",
        trained_at=0,
    )


def test_a_profile_with_slots_alone_learns_and_says_how_far_it_is():
    found = ChangelogView({}, {KEY: {0: slot(10, 0), 1: slot(10, 1)}}, {})

    standing = profile_state.profile_status(SETTINGS, found, KEY)

    assert (standing.state, standing.seen, standing.needed) == ("learning", 2, 200)
    assert standing.generation == 10


def test_a_profile_with_a_model_is_active_and_says_what_it_learnt_on():
    standing = profile_state.profile_status(SETTINGS, ChangelogView({KEY: model(10)}, {}, {}), KEY)

    assert (standing.state, standing.seen, standing.needed) == ("active", 180, 180)


def test_slots_that_are_newer_than_the_model_mean_that_it_learns_anew():
    found = ChangelogView({KEY: model(10)}, {KEY: {0: slot(50, 0)}}, {})

    standing = profile_state.profile_status(SETTINGS, found, KEY)

    assert (standing.state, standing.seen, standing.generation) == ("learning", 1, 50)


def test_a_profile_that_is_being_forgotten_has_no_window_and_is_no_error():
    found = ChangelogView({}, {}, {})
    place = (1, b"features:a")

    profile_state.decode_into(
        found, Topics(), "profiles", place, encode_note(PendingDeletion("c", 7, 0, None, {}))
    )

    assert list(found.profiles()) == []


@pytest.mark.parametrize("value", [b"{}", b"[]", b"{", b"7"])
def test_what_cannot_be_read_is_named_with_its_topic_and_partition(value):
    with pytest.raises(ToolError, match=r"profiles \[1\]: b'features:a' cannot be read"):
        profile_state.decode_into(
            ChangelogView({}, {}, {}), Topics(), "profiles", (1, b"features:a"), value
        )


def test_the_last_verdicts_are_the_newest_of_its_own_kind_and_partition():
    def verdict(partition: int, offset: int, kind: str) -> ConsumerRecord:
        value = f'{{"kind":"{kind}","n":{offset}}}'.encode()
        return ConsumerRecord("anomalies", partition, offset, b"a", value, (), 0)

    recent = [
        verdict(1, 0, "features"),
        verdict(1, 1, "series"),
        verdict(1, 2, "features"),
        verdict(2, 3, "features"),
        verdict(1, 4, "features"),
    ]
    standing = ProfileStatus(1, "features", "a", None, None, 1, 200, None)

    shown = profile_state.with_verdicts(standing, recent, 2)

    assert [v["n"] for v in shown.verdicts] == [4, 2]


def test_a_verdict_id_is_taken_apart_although_topics_hold_dots_and_dashes():
    place, offset = parse_verdict_id("a-1.b-telemetry.series-12-345", Topics("a-1.b-"))

    assert place == ("a-1.b-telemetry.series", 12)
    assert offset == 345


@pytest.mark.parametrize(
    "verdict_id", ["", "x", "telemetry.series-1", "anomalies-0-1", "telemetry.series-0--1"]
)
def test_what_is_no_verdict_id_is_refused_with_what_was_expected(verdict_id):
    with pytest.raises(ToolError, match=r"<topic>-<partition>-<offset>.*telemetry\.behavior"):
        parse_verdict_id(verdict_id, Topics())


def forgotten(role: str, kind: str) -> LifecycleEvent:
    return LifecycleEvent(event="forgotten", profile_id="p", kind=kind, role=role, at=1)


@pytest.mark.parametrize(
    ("receipts", "missing"),
    [
        ([], []),
        ([("scorer", "series")], ["retrainer"]),
        ([("retrainer", "series")], ["scorer"]),
        ([("scorer", "series"), ("retrainer", "series")], []),
        ([("scorer", "series"), ("scorer", "features"), ("retrainer", "series")], ["retrainer"]),
    ],
)
def test_a_profile_is_forgotten_once_both_roles_say_so(
    receipts: list[tuple[str, str]], missing: list[str]
) -> None:
    assert unconfirmed_roles([forgotten(role, kind) for role, kind in receipts]) == missing
