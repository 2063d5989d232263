"""When a metric is at another level for good."""

from __future__ import annotations

import numpy as np
import pytest

from models.learning.shifts.levels import (
    BEYOND,
    SUDDEN,
    WINDOW,
    Level,
    LevelWatch,
    Move,
    follow_points,
)

USUAL = Level(0.0, 1.96)
"""Of noise with a deviation of 1."""
BEFORE = 300
Floats = np.ndarray


def noise(seed: int, size: int) -> Floats:
    return np.random.default_rng(seed).normal(size=size)


def dependent(seed: int, size: int) -> Floats:
    """AR(1) with a correlation of 0.5 and a deviation of 1."""
    drawn, values = noise(seed, size), np.zeros(size)
    for at in range(1, size):
        values[at] = 0.5 * values[at - 1] + np.sqrt(0.75) * drawn[at]
    return values


def counts(seed: int, size: int) -> Floats:
    return (np.random.default_rng(seed).poisson(20.0, size) - 20.0) / np.sqrt(20.0)


KINDS = {"noise": noise, "dependent": dependent, "counts": counts}


def followed(values: Floats, batch: int = 10**9) -> list[tuple[int, Move]]:
    """Moves, each with the place of the point that completed it; offsets are places."""
    watch, told = LevelWatch(USUAL), []
    for begin in range(0, len(values), batch):
        part, at = values[begin : begin + batch], begin
        while len(part):
            watch, move, taken = follow_points(watch, part, range(at, at + len(part)))
            part, at = part[taken:], at + taken
            if move is not None:
                told.append((at - 1, move))
                watch = watch.beside(move.level)
    return told


@pytest.mark.parametrize("height", [3.0, 5.0, 10.0, -4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_for_good_is_one_move_since_its_first_points(kind: str, height: float) -> None:
    for seed in range(12):
        values = KINDS[kind](seed, BEFORE + 700)
        values[BEFORE:] += height

        ((at, move),) = followed(values)

        assert BEFORE + BEYOND - 20 <= at < BEFORE + 220
        assert abs(move.since - BEFORE) <= 30
        assert move.level.center == pytest.approx(height, abs=0.6)
        assert move.low < move.level.center < move.high
        assert BEYOND <= move.beyond <= move.seen == WINDOW


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_as_it_was_has_not_moved(kind: str) -> None:
    assert [followed(KINDS[kind](seed, 3000)) for seed in range(12)] == [[]] * 12


@pytest.mark.parametrize("length", [1, 3, 39, BEYOND - 20])
def test_spikes_and_bursts_are_no_move(length: int) -> None:
    for seed in range(12):
        values = noise(seed, 1500)
        for begin in (200, 600, 1000):
            values[begin : begin + length] += 10.0

        assert followed(values) == []


@pytest.mark.parametrize("slope", [0.001, 0.002, 0.004])
def test_a_slow_trend_is_no_move(slope: float) -> None:
    for seed in range(12):
        assert followed(noise(seed, 3000) + slope * np.arange(3000), batch=7) == []


def test_a_step_on_a_trend_is_a_move_from_where_the_trend_was() -> None:
    values = noise(1, 3000) + 0.002 * np.arange(3000)
    values[2500:] += 8.0

    ((at, move),) = followed(values, batch=7)

    assert 2500 < at < 2700
    assert move.level.center == pytest.approx(13.0, abs=0.6)


def test_points_that_go_on_moving_do_not_agree_on_a_level() -> None:
    values = noise(1, 500)
    values[100:] += 0.1 * np.arange(400)

    assert followed(values) == []


def test_each_further_level_is_a_move_of_its_own() -> None:
    values = noise(2, 1200)
    values[200:600] += 6.0
    values[600:] += 12.0

    first, second = followed(values)

    assert abs(first[1].since - 200) <= 12
    assert abs(second[1].since - 600) <= 12
    assert second[1].level.center == pytest.approx(12.0, abs=0.5)


def test_the_width_of_a_wider_level_is_its_own() -> None:
    values = noise(3, 800)
    values[200:] = 40.0 + 5.0 * values[200:]

    ((_, move),) = followed(values)

    assert move.level.width == pytest.approx(1.96 * 5.0, rel=0.3)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_how_points_are_divided_does_not_matter(batch: int) -> None:
    values = dependent(4, 1000)
    values[400:] += 4.0

    assert followed(values, batch) == followed(values)


def test_a_watch_is_quiet_while_the_last_points_are_where_they_were() -> None:
    values = noise(5, 200)
    watch, _, _ = follow_points(LevelWatch(USUAL), values, range(200))
    away, _, _ = follow_points(watch, values[:20] + 5.0, range(200, 220))

    assert (watch.quiet, away.quiet) == (True, False)
    assert watch.lies_in(USUAL)
    assert not watch.lies_in(Level(5.0, 1.0))
    assert len(watch.values) == len(watch.offsets) == WINDOW


def test_what_left_its_level_too_slowly_is_watched_beside_where_it_is() -> None:
    values = np.concatenate([np.full(60, 2.5), np.zeros(WINDOW)] * 2)[: WINDOW + 60]
    values = np.concatenate([values, np.tile([2.5, 0.0], SUDDEN)])

    watch, move, _ = follow_points(LevelWatch(USUAL), values, range(len(values)))

    assert move is None
    assert not watch.learnt
    assert watch.level.center == pytest.approx(1.25, abs=1.25)
