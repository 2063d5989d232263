"""Names of features that change are told once, and learnt as a new normal."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from models.artifacts import Model
from processor.columnar.fast_path import NoFastPath
from processor.records import ConsumerRecord
from processor.scorer.regime.names import is_gone
from tests.unit.builders import Scorer, announced, command, events, restarted, stream, verdicts
from tests.unit.scorer.test_new_normal_scored import NEEDED, named, places, shown, taught

KEY = (0, "features", "p")


def records(names: str, n: int, *, first: int, share: float = 1.0) -> list[ConsumerRecord]:
    """Ordinary records with these one-letter names; the last name in a share of them only."""
    draw = np.random.default_rng([7, first])
    values = []
    for row in draw.normal(10.0, 1.0, (n, len(names))).tolist():
        held = names if draw.uniform() < share else names[:-1]
        values.append({"values": dict(zip(held, row, strict=False))})
    return stream(values, first=first)


def test_a_new_name_is_told_once_and_learnt() -> None:
    scorer = taught()

    written = shown(scorer, records("abcd", 50 + NEEDED + 20, first=1000))

    told, adopted = events(written)
    assert (told.event, told.figures["new"], told.figures["gone"]) == (
        "features_changed",
        ["d"],
        [],
    )
    assert (adopted.event, adopted.version) == ("adopted", 2)
    record = announced(written)[-1]
    assert (record.features, record.trigger) == (["a", "b", "c", "d"], "shift")
    assert {v.regime for v in verdicts(written)} == {"usual"}
    assert scorer.state.shifts == {}
    assert places(scorer) == set()
    later = verdicts(shown(scorer, records("abcd", 500, first=3000)))
    assert np.mean([v.anomaly for v in later]) <= 0.05
    gross = stream([{"values": {"a": 10.0, "b": 10.0, "c": 10.0, "d": 900.0}}], first=5000)
    assert verdicts(scorer.feed(gross))[0].anomaly


@pytest.mark.parametrize(
    ("share", "seen", "gone"),
    [(1.0, 0, True), (1.0, 24, True), (1.0, 25, False), (0.2, 0, True), (0.03, 0, False)],
)
def test_a_name_is_gone_if_chance_does_not_explain_how_few_records_have_it(
    share: float, seen: int, gone: bool
) -> None:
    assert is_gone(share, seen) is gone


def test_a_name_that_one_learning_record_had_is_not_missed_later() -> None:
    """As a stray record brings one: most stretches of ordinary records are without it."""
    scorer = Scorer(cold_start_samples=20)
    stray = stream([{"values": {"never seen before": 1.0}}], first=5)
    scorer.feed([*records("abc", 5, first=0), *stray, *records("abc", 14, first=6)])

    written = shown(scorer, records("abc", 200, first=1000))

    assert "never seen before" in scorer.current(KEY).features
    assert [event.event for event in events(written)] == []


def test_a_name_that_is_gone_is_told_and_left_out_of_the_next_version() -> None:
    scorer = taught()

    written = shown(scorer, records("ab", 50 + NEEDED + 20, first=1000))

    told, adopted = events(written)
    assert (told.event, told.figures["gone"]) == ("features_changed", ["c"])
    assert adopted.event == "adopted"
    assert announced(written)[-1].features == ["a", "b"]


def test_a_name_that_is_rarer_than_half_is_ignored() -> None:
    scorer = taught()

    written = shown(scorer, records("abcd", 300, first=1000, share=0.3))

    assert named(written) == []


def test_names_that_come_in_turn_since_ever_are_no_change() -> None:
    scorer = Scorer(cold_start_samples=200, detector="blend", shift_samples=NEEDED)
    sets, at = ["abc", "cde", "efg"], count()
    draw = np.random.default_rng(5)

    def some(n: int) -> list[ConsumerRecord]:
        values = [
            {"values": {name: float(draw.normal(10.0)) for name in sets[next(at) % 3]}}
            for _ in range(n)
        ]
        return stream(values, first=next(at) * 1000)

    shown(scorer, some(200))
    written = shown(scorer, some(400))

    assert named(written) == []


def test_names_that_come_back_end_it() -> None:
    scorer = taught(shift_samples=200)

    changed = shown(scorer, records("abcd", 70, first=1000))
    back = shown(scorer, records("abc", 60, first=2000))

    assert named(changed) == ["features_changed"]
    assert named(back) == ["shift_ended"]
    assert (scorer.state.shifts, scorer.state.names, places(scorer)) == ({}, {}, set())


def test_held_names_wait_for_adopt() -> None:
    scorer = taught(on_shift="hold")

    written = shown(scorer, records("abcd", 300, first=1000))
    assert named(written) == ["features_changed"]

    assert named(scorer.feed([command("adopt")])) == ["adopted"]
    assert announced(scorer.outputs)[-1].features == ["a", "b", "c", "d"]


def test_a_rollback_brings_the_old_names_back() -> None:
    scorer = taught()
    shown(scorer, records("abcd", 150, first=1000))

    scorer.feed([command("rollback")])

    assert announced(scorer.outputs)[-1].features == ["a", "b", "c"]
    assert {v.status for v in verdicts(scorer.feed(records("abc", 5, first=3000)))} == {"scored"}


def test_a_restart_in_the_middle_loses_no_sample() -> None:
    first = taught()
    shown(first, records("abcd", 50 + 30, first=1000))

    second = restarted(first)
    assert second.state.shifts[KEY].ring.samples().shape == (
        first.state.shifts[KEY].ring.samples().shape
    )
    assert second.state.shifts[KEY].renamed
    written = shown(second, records("abcd", 40, first=2000))

    assert named(written) == ["adopted"]
    assert announced(written)[-1].trained_on == NEEDED


@pytest.mark.parametrize("size", [1, 9, 200])
def test_the_fast_path_answers_as_the_plain_one(size: int) -> None:
    batch = [
        *records("abc", 20, first=900),
        *records("abcd", 30, first=1000),
        *records("abc", 5, first=1050),
        *records("abcd", 90, first=1100),
        *records("abcd", 50, first=1300),
    ]
    quick, plain = taught(), taught()
    plain.context = replace(plain.context, fast_path=NoFastPath())

    for begin in range(0, len(batch), size):
        part = batch[begin : begin + size]
        assert quick.feed(part) == plain.feed(part)
        assert quick.state.names == plain.state.names


def as_in_production(scorer: Scorer) -> Scorer:
    """Models that were opened are in the cache of the fast path, as the store has them."""
    cache, inner = scorer.context.fast_path.cache, scorer.context.open_models

    def open_models(wanted):
        found = inner(wanted)
        for record in wanted:
            if isinstance(found[record.sha256], Model):
                cache.put(record.sha256, found[record.sha256])
        return found

    scorer.context = replace(scorer.context, open_models=open_models)
    return scorer


def test_a_name_that_is_missing_now_and_then_is_looked_at_with_the_model_of_the_cache() -> None:
    scorer = as_in_production(taught())
    shown(scorer, records("abc", 50, first=900))
    shown(scorer, records("ab", 1, first=1000))

    for batch in range(12):
        shown(scorer, records("abc", 10, first=1100 + 20 * batch), size=10)

    assert named(scorer.outputs)[1:] == []


def test_names_may_grow_while_new_ones_are_learnt() -> None:
    scorer = taught()
    shown(scorer, records("abcd", 70, first=1000))

    written = shown(scorer, records("abcde", NEEDED, first=2000))

    assert named(written) == ["adopted"]
    assert announced(written)[-1].features == ["a", "b", "c", "d", "e"]


def test_a_rollback_to_other_names_drops_what_was_kept_for_a_new_normal() -> None:
    scorer = taught()
    shown(scorer, records("abcd", 150, first=1000))
    wild = np.random.default_rng(2).normal(60.0, 1.0, (60, 4)).tolist()
    values = [{"values": dict(zip("abcd", row, strict=True))} for row in wild]
    shown(scorer, stream(values[:20], first=2000))
    assert scorer.state.shifts[KEY].ring.records

    scorer.feed([command("rollback")])
    written = shown(scorer, stream(values[20:], first=3000))

    assert announced(scorer.outputs)[-1].features == ["a", "b", "c"]
    assert named(written)[0] == "shifted"
    assert scorer.state.shifts[KEY].ring.names == ("a", "b", "c")
    assert restarted(scorer).state.shifts[KEY].ring.names == ("a", "b", "c")


def test_a_forgotten_profile_leaves_no_names_behind() -> None:
    scorer = taught()
    shown(scorer, records("ab", 20, first=1000))
    assert KEY in scorer.state.names

    scorer.feed([command("forget")])
    assert scorer.state.names == {}
    shown(scorer, records("ab", 200, first=2000))
    shown(scorer, records("ab", 60, first=3000))

    assert scorer.current(KEY).features == ["a", "b"]
    assert "features_changed" not in named(scorer.outputs)


def test_names_that_come_back_after_a_restart_end_it() -> None:
    first = taught(shift_samples=200)
    shown(first, records("abcd", 70, first=1000))

    second = restarted(first)
    back = shown(second, records("abc", 60, first=2000))

    assert named(back) == ["shift_ended"]
    assert second.state.shifts == {}


def test_a_hold_outlives_names_that_come_back_and_a_shift_is_told_behind_it() -> None:
    scorer = taught(shift_samples=200)
    scorer.feed([command("hold")])
    shown(scorer, records("abcd", 70, first=1000))
    shown(scorer, records("abc", 60, first=2000))
    assert scorer.state.shifts[KEY].ring.names == ("a", "b", "c")

    far = np.random.default_rng(4).normal(60.0, 1.0, (250, 3)).tolist()
    values = [{"values": dict(zip("abc", row, strict=True))} for row in far]
    written = shown(scorer, stream(values, first=3000))

    assert named(written) == ["shifted"]
