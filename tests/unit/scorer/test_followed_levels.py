"""A new level of a metric whose detector follows it by itself: told once, and when it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import artifacts
from models.learning.training import train
from processor.columnar.fast_path import NoFastPath
from processor.records import ConsumerRecord, ProducerRecord
from processor.state.ring_codec import HEAD
from processor.state.ring_codec import key as ring_key
from processor.stream.step import Step
from tests.unit.builders import (
    NOW,
    TOPICS,
    Retrainer,
    Scorer,
    accepted,
    announced,
    command,
    consumed,
    events,
    of,
    record,
    restarted,
    verdicts,
)

KEY = (0, "series", "p")
LEARNT = 100
WANTED: dict[str, Any] = {"cold_start_samples": LEARNT, "detector__series": "forecast"}
HALF_HOUR = 1_800_000
LATER = 300
"""A metric moves so many points behind those that are learnt, if it does."""
MOVED = LEARNT + LATER


def metric(values: Iterable[float], *, first: int = 0, each: int = 1) -> list[ConsumerRecord]:
    """Records of a metric, the first point has a place."""
    points = [float(value) for value in values]
    return [
        record(
            {
                "timestamps": [NOW + HALF_HOUR * (first + at + n) for n in range(each)],
                "values": points[at : at + each],
            },
            kind="series",
            offset=first + at,
        )
        for at in range(0, len(points), each)
    ]


def noise(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(50.0, 3.0, count)


def daily(count: int, seed: int = 1) -> np.ndarray:
    """A day of 48 points."""
    return noise(count, seed) + 30.0 * np.sin(np.arange(count) * np.pi / 24.0)


def shown(scorer: Scorer, records: list[ConsumerRecord], size: int = 20) -> list[ProducerRecord]:
    """Commit some records in batches; what was written."""
    written = []
    for begin in range(0, len(records), size):
        written += scorer.feed(records[begin : begin + size])
    return written


def told(written: Iterable[ProducerRecord]) -> list[str]:
    """What was told of a shift."""
    return [event.event for event in events(list(written)) if event.event.startswith("shift")]


def place(verdict_id: str) -> int:
    return int(verdict_id.rpartition("-")[2])


def with_a_step(count: int, height: float, make=noise, seed: int = 1) -> np.ndarray:
    values = make(count, seed)
    values[MOVED:] += height
    return values


@pytest.mark.parametrize("make", [noise, daily])
@pytest.mark.parametrize("height", [9.0, 15.0, -30.0])
def test_a_lasting_new_level_is_told_once(make, height: float) -> None:
    scorer = Scorer(**WANTED)

    written = shown(scorer, metric(with_a_step(MOVED + 600, height, make)))

    (shifted,) = (event for event in events(written) if event.event == "shifted")
    assert MOVED - 30 <= place(shifted.figures["since"]) <= MOVED + 40
    (moved,) = shifted.figures["moved"]
    assert moved["feature"] == "value"
    assert np.mean(moved["before"]) == pytest.approx(50.0, abs=2.0)
    assert np.mean(moved["after"]) == pytest.approx(50.0 + height, abs=2.0)
    assert shifted.version == 1
    assert "the detector follows a new level by itself" in shifted.detail
    said = verdicts(written)
    first = next(at for at, verdict in enumerate(said) if verdict.regime == "shifted")
    assert MOVED + 100 <= first <= MOVED + 200
    assert {verdict.regime for verdict in said[first:]} == {"shifted"}
    assert {verdict.regime for verdict in said[LEARNT:first]} == {"usual"}
    assert scorer.state.counts["series", "shifted"] == 1
    # It is followed meanwhile: what is normal is learnt from.
    assert sum(verdict.anomaly for verdict in said[first:]) <= 0.03 * len(said[first:])
    assert len(accepted(written[-50:])) > 0


@pytest.mark.parametrize("size", [1, 64, 500])
@pytest.mark.parametrize("each", [1, 5])
def test_it_is_told_once_however_records_are_divided(size: int, each: int) -> None:
    scorer = Scorer(**WANTED)

    written = shown(scorer, metric(with_a_step(MOVED + 600, 15.0), each=each), size)

    (shifted,) = (event for event in events(written) if event.event == "shifted")
    # Drift, which has it looked at, counts records.
    assert -30 <= place(shifted.figures["since"]) - MOVED <= 30 * each


def undisturbed() -> np.ndarray:
    return noise(1500)


def spiked() -> np.ndarray:
    values = noise(1500)
    values[LEARNT + 20 :: 90] += 60.0
    return values


def bursts() -> np.ndarray:
    values = noise(1500)
    for begin in (300, 700, 1100):
        values[begin : begin + 39] += 30.0
    return values


def trend() -> np.ndarray:
    return noise(1500) + 0.006 * np.arange(1500)


@pytest.mark.parametrize("made", [undisturbed, lambda: daily(1500), spiked, bursts, trend])
def test_nothing_is_told_of_what_is_no_new_level(made) -> None:
    scorer = Scorer(**WANTED)

    assert told(shown(scorer, metric(made()))) == []
    assert scorer.state.counts["series", "shifted"] == 0


def test_what_is_as_it_was_is_not_watched() -> None:
    scorer = Scorer(**WANTED)

    shown(scorer, metric(undisturbed()))

    assert scorer.state.shifts == {}


def test_a_second_move_is_told_again_and_the_way_back_ends_it() -> None:
    values = noise(MOVED + 900)
    values[MOVED : MOVED + 600] += 15.0
    values[MOVED + 300 : MOVED + 600] += 18.0
    scorer = Scorer(**WANTED)

    written = shown(scorer, metric(values))

    assert told(written) == ["shifted", "shifted", "shift_ended"]
    first, second, ended = (each for each in events(written) if each.event.startswith("shift"))
    assert first.figures["since"] != second.figures["since"]
    assert np.mean(second.figures["moved"][0]["before"]) == pytest.approx(65.0, abs=2.0)
    assert ended.figures["since"] == second.figures["since"]
    assert verdicts(written)[-1].regime == "usual"
    assert scorer.state.counts["series", "shifted"] == 0
    assert restarted(scorer).state.shifts == {}


def test_a_version_that_knows_the_level_ends_it() -> None:
    values = with_a_step(MOVED + 1300, 15.0)
    scorer = Scorer(**WANTED)
    retrainer = Retrainer(scorer.memory, **WANTED)
    written, offset = [], 0
    for batch in np.array_split(np.arange(len(values)), len(values) // 20):
        step = scorer.feed(metric(values[batch], first=int(batch[0])))
        for version in announced(step):
            retrainer.know(version)
        samples = consumed(step, TOPICS.accepted, first=offset)
        offset += len(samples)
        candidates = consumed(retrainer.feed(samples), TOPICS.candidates)
        adopted = scorer.feed(candidates)
        for version in announced(adopted):
            retrainer.know(version)
        written += [*step, *adopted]

    assert told(written) == ["shifted", "shift_ended"]
    ended = next(event for event in events(written) if event.event == "shift_ended")
    assert ended.version > 1
    assert f"where version {ended.version} has learnt them" in ended.detail
    assert verdicts(written)[-1].regime == "usual"


def trained_on(scorer: Scorer, values: np.ndarray) -> ConsumerRecord:
    """A candidate that has learnt some points of the metric, the first ones of it."""
    base = scorer.current(KEY)
    model = train(
        "forecast",
        values[:, None],
        ("value",),
        alert_budget=0.01,
        seed=0,
        provenance={"cold_start": LEARNT, "pool": len(values) - LEARNT},
        times=NOW + HALF_HOUR * np.arange(len(values), dtype=np.float64),
    )
    artifact = artifacts.pack(
        model, kind="series", profile_id="p", partition=0, generation=base.generation
    )
    scorer.memory.keep(Step(None, artifacts=[(KEY, artifact)]))
    changed = {
        "version": None,
        "base_version": base.version,
        "artifact": artifact.path,
        "sha256": artifact.sha256,
        "trained_on": len(values),
        "trigger": "drift",
        "history": [],
    }
    value = base.model_copy(update=changed).model_dump_json().encode()
    return record(value, topic=TOPICS.candidates)


def test_a_level_that_a_version_learnt_before_it_was_told_is_told_all_the_same() -> None:
    values = with_a_step(MOVED + 600, 15.0)
    scorer = Scorer(**WANTED)
    assert told(shown(scorer, metric(values[: MOVED + 80]))) == []

    adopted = scorer.feed([trained_on(scorer, values[: MOVED + 80])])
    later = shown(scorer, metric(values[MOVED + 80 :], first=MOVED + 80))

    assert [event.event for event in events(adopted)] == ["adopted"]
    assert told(later) == ["shifted", "shift_ended"]
    assert {verdict.regime for verdict in verdicts(later)[-300:]} == {"usual"}


@pytest.mark.parametrize("after", [60, 250])
def test_a_restart_neither_loses_nor_repeats_it(after: int) -> None:
    values = with_a_step(MOVED + 800, 15.0)
    values[MOVED + 500 :] -= 15.0
    first = Scorer(**WANTED)
    before = shown(first, metric(values[: MOVED + after]))

    second = restarted(first)
    regime = verdicts(second.step(metric(values[MOVED + after :], first=MOVED + after)[:1]))
    written = shown(second, metric(values[MOVED + after :], first=MOVED + after))

    assert [verdict.regime for verdict in regime] == [verdicts(before)[-1].regime]
    assert [*told(before), *told(written)] == ["shifted", "shift_ended"]


def test_the_same_batch_gives_the_same_bytes() -> None:
    values = with_a_step(MOVED + 400, 15.0)
    scorer = Scorer(**WANTED)
    shown(scorer, metric(values[: MOVED + 40]))
    before = dict(scorer.state.shifts)
    batch = metric(values[MOVED + 40 :], first=MOVED + 40)

    first, second = scorer.step(batch), scorer.step(batch)

    assert told(first.outputs) == ["shifted"]
    assert first.outputs == second.outputs
    assert first.delta.shifts == second.delta.shifts
    assert scorer.state.shifts == before


@pytest.mark.parametrize("size", [1, 50])
def test_the_fast_path_answers_as_the_plain_one(size: int) -> None:
    values = with_a_step(MOVED + 420, 15.0)
    values[MOVED + 250 :] -= 15.0
    quick, plain = Scorer(**WANTED), Scorer(**WANTED)
    plain.context = replace(plain.context, fast_path=NoFastPath())

    records = metric(values)
    for begin in range(0, len(records), size):
        part = records[begin : begin + size]
        assert quick.feed(part) == plain.feed(part)
    assert told(quick.outputs) == ["shifted", "shift_ended"]


def test_no_samples_are_stored() -> None:
    scorer = Scorer(**WANTED)

    learnt = shown(scorer, metric(with_a_step(MOVED, 0.0)))
    later = shown(scorer, metric(with_a_step(MOVED + 400, 60.0)[MOVED:], first=MOVED))

    assert learnt
    assert told(later) == ["shifted"]
    head = ring_key("series", "p", HEAD)
    assert {out.key for out in of(later, TOPICS.cold_start)} == {head}


def test_a_maintenance_window_tells_nothing() -> None:
    values = with_a_step(MOVED + 400, 15.0)
    scorer = Scorer(**WANTED)
    shown(scorer, metric(values[:MOVED]))
    scorer.feed([command("suppress", kind="series")])

    written = shown(scorer, metric(values[MOVED:], first=MOVED))

    assert told(written) == []
    assert scorer.state.shifts == {}


def test_there_is_nothing_to_adopt_of_what_is_not_held() -> None:
    scorer = Scorer(**WANTED)
    shown(scorer, metric(with_a_step(MOVED + 300, 15.0)))
    assert scorer.state.counts["series", "shifted"] == 1

    (said,) = events(scorer.feed([command("adopt", kind="series")]))

    assert said.event == "command_rejected"
    assert said.detail.startswith("its detector follows a new level by itself; ")
    assert "`telltale profile retrain`" in said.detail
    assert scorer.state.counts["series", "shifted"] == 1


@pytest.mark.parametrize("by", ["setting", "command"])
@pytest.mark.parametrize("fast", [True, False])
def test_a_profile_on_hold_is_judged_at_its_new_level_and_learns_nothing_of_it(
    by: str, fast: bool
) -> None:
    values = with_a_step(MOVED + 900, 15.0)
    scorer = Scorer(**WANTED, **({"on_shift__series": "hold"} if by == "setting" else {}))
    if not fast:
        scorer.context = replace(scorer.context, fast_path=NoFastPath())
    shown(scorer, metric(values[:MOVED]))
    if by == "command":
        (held,) = events(scorer.feed([command("hold", kind="series")]))
        assert held.event == "held"

    moving = shown(scorer, metric(values[MOVED:][:300], first=MOVED))
    (shifted,) = (event for event in events(moving) if event.event == "shifted")
    assert shifted.figures["on_shift"] == "hold"
    assert "until `telltale profile adopt` says so" in shifted.detail
    later = shown(scorer, metric(values[MOVED + 300 :][:300], first=MOVED + 300))

    said = verdicts(later)
    assert sum(not verdict.anomaly for verdict in said) > 280
    assert {verdict.regime for verdict in said} == {"shifted"}
    assert of(later, TOPICS.accepted) == []
    assert "drifting" not in [event.event for event in events(later)]

    adopting = scorer.feed([command("adopt", kind="series")])
    (ended,) = events(adopting)
    assert (ended.event, ended.command_id) == ("shift_ended", "c-adopt")
    assert b'"mark":"retrain"' in of(adopting, TOPICS.accepted)[0].value
    after = shown(scorer, metric(values[MOVED + 600 :], first=MOVED + 600))
    assert told(after) == []
    assert len(accepted([out for out in of(after, TOPICS.accepted) if b'"mark"' not in out.value]))


def test_a_hold_on_a_followed_level_survives_a_restart() -> None:
    values = with_a_step(MOVED + 600, 15.0)
    scorer = Scorer(**WANTED)
    scorer_outputs = shown(scorer, metric(values[: MOVED + 300]))
    assert told(scorer_outputs) == ["shifted"]
    scorer.feed([command("hold", kind="series")])

    again = restarted(scorer)
    written = shown(again, metric(values[MOVED + 300 :], first=MOVED + 300))

    assert {verdict.regime for verdict in verdicts(written)} == {"shifted"}
    assert of(written, TOPICS.accepted) == []


def test_forgetting_the_profile_ends_it_without_a_word() -> None:
    scorer = Scorer(**WANTED)
    shown(scorer, metric(with_a_step(MOVED + 300, 15.0)))

    written = scorer.feed([command("forget", kind="series")])

    assert told(written) == []
    assert scorer.state.shifts == {}
    assert restarted(scorer).state.shifts == {}
