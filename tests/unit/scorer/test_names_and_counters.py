"""Names of `features` while a profile learns and afterwards, and features that only grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processor.records import ProfileKey
from processor.state import ring
from processor.state.profiles import LearningProfile
from processor.state.ring import names_of
from processor.state.ring_codec import Slot, decode_slot, parse_key
from processor.state.spill import decode_learning as from_spill
from processor.state.spill import encode_learning as to_spill
from tests.unit.builders import TOPICS, Scorer, announced, events, of, reasons, stream, verdicts

KEY: ProfileKey = (0, "features", "p")


def named(count: int, names: str, *, seed: int = 0) -> list[dict[str, Any]]:
    rows = np.random.default_rng(seed).normal(10.0, 1.0, (count, len(names))).tolist()
    return [{"values": dict(zip(names, row, strict=True))} for row in rows]


def partial(count: int, names: str, held: int) -> list[dict[str, Any]]:
    """Records that have some of the names in turn."""
    found = []
    for at, value in enumerate(named(count, names)):
        those = [names[(held * at + k) % len(names)] for k in range(held)]
        found.append({"values": {name: value["values"][name] for name in those}})
    return found


def slots(outputs: Any) -> dict[int, Slot]:
    """What the changelog of a learning profile holds."""
    return {
        parse_key(out.key)[2]: decode_slot(out.value)
        for out in of(outputs, TOPICS.cold_start)
        if out.value is not None
    }


def test_a_short_first_record_does_not_fix_the_names():
    scorer = Scorer(cold_start_samples=20)

    scorer.feed(stream([*named(1, "a"), *named(19, "abc")]))
    gross = scorer.feed(stream([{"values": {"a": 10.0, "b": 1e4, "c": 10.0}}], first=20))

    assert scorer.current(KEY).features == ["a", "b", "c"]
    assert [said.anomaly for said in verdicts(gross)] == [True]
    assert verdicts(gross)[0].reasons[0].feature == "b"


def test_records_with_some_of_the_names_in_turn_are_learnt_and_judged():
    scorer = Scorer(cold_start_samples=70, detector="blend")

    written = scorer.feed(stream(partial(140, "abcdefg", 3)))

    assert reasons(written) == []
    assert sorted(scorer.current(KEY).features) == list("abcdefg")
    assert [said.status for said in verdicts(written)] == ["learning"] * 70 + ["scored"] * 70


def test_a_name_that_hardly_ever_came_is_left_out():
    scorer = Scorer(cold_start_samples=60)

    written = scorer.feed(
        stream([{"values": {"a": 1.0, "boot": 5.0}}, *named(58, "ab"), *named(1, "abx")])
    )

    assert scorer.current(KEY).features == ["a", "b"]
    assert events(written)[-1].figures["left_out_features"] == 2


def test_after_learning_a_record_is_refused_only_if_it_has_no_known_name():
    scorer = Scorer(cold_start_samples=20)
    scorer.feed(stream(named(20, "abcde")))

    one = scorer.feed(stream(named(1, "ax"), first=20))
    none = scorer.feed(stream(named(1, "xy"), first=21))
    short = scorer.feed(stream([{"values": [1.0, 2.0]}], first=22))

    assert [said.status for said in verdicts(one)] == ["scored"]
    assert scorer.current(KEY).features == list("abcde")
    assert reasons(none) == ["feature_mismatch"]
    assert reasons(short) == ["feature_mismatch"]


def test_no_more_names_are_learnt_than_a_record_may_have():
    scorer = Scorer(cold_start_samples=30, max_features=3)

    written = scorer.feed(
        stream([*named(10, "ab"), *named(10, "bcd"), *named(9, "cde"), *named(1, "abc")])
    )

    assert announced(written)[-1].features == ["a", "b", "c"]


@pytest.mark.parametrize("done", [1, 4, 9, 17])
def test_names_that_came_later_survive_a_restart_and_a_spill(done):
    batch = stream([*named(3, "a"), *named(4, "ab"), *named(13, "cab")])
    steady, restarted = Scorer(cold_start_samples=20), Scorer(cold_start_samples=20)
    steady.feed(batch)

    stored = slots(restarted.feed(batch[:done]))
    found = ring.restored(stored, 20)
    assert found is not None
    learning = restarted.state.profiles[KEY]
    assert isinstance(learning, LearningProfile)
    assert found.names == learning.ring.names == names_of(stored.values())
    assert np.array_equal(found.samples(), learning.ring.samples(), equal_nan=True)
    spilled = from_spill(to_spill(learning))
    assert spilled.ring.names == learning.ring.names
    restarted.state.apply({KEY: LearningProfile(found)}, {})
    restarted.feed(batch[done:])

    assert restarted.current(KEY).sha256 == steady.current(KEY).sha256


def test_a_feature_that_only_grows_is_told_once_at_training():
    values = named(40, "ab")
    for at, value in enumerate(values):
        value["values"]["total"] = 1000.0 + 7 * at if at < 30 else 7.0 * (at - 30)
    scorer = Scorer(cold_start_samples=40)

    written = scorer.feed(stream([*values, *values], first=0))

    told = [event for event in events(written) if event.event == "looks_like_counter"]
    assert len(told) == 1
    assert told[0].figures == {"features": ["total"], "counters": 1}
    assert "total" in (told[0].detail or "")
    assert "rate" in (told[0].detail or "")


def test_noise_constants_and_few_samples_do_not_look_like_counters():
    constant = [{"values": {"a": 1.0, "b": float(at % 3)}} for at in range(40)]
    few = [{"values": {"a": float(at)}} for at in range(10)]

    for values in (named(40, "abc"), constant, few):
        written = Scorer(cold_start_samples=len(values)).feed(stream(values))

        assert [event.event for event in events(written)] == ["trained"]
