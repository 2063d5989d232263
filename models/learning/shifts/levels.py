"""When a metric is at another level for good, whatever its detector takes for normal meanwhile."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW, BEYOND = 160, 112
"""A level has moved when so many of the last ``WINDOW`` points lie beyond it, on one side.

So many that a part of a day that was not learnt, 90 of 288 points, is no new level; a share that
points three deviations away reach: 5 % of those that were learnt lie beyond, too.
"""

USUAL = 32
"""As long as no more do, the metric is where it was."""

SUDDEN = 150
"""From the one to the other it takes so many points at most: what moves slower is a trend."""

AGREE = 0.5
"""The older and the newer half of the points there differ by this share of the width at most, of
the level of before or of the new one."""

QUIET, FEW = 20, 5
"""The metric is where it was when no more than ``FEW`` of the last ``QUIET`` points lie beyond."""

WITHIN = 0.95
"""Share of the points of a level that lie within its width."""


class Level(NamedTuple):
    """Where the points of a metric are, their season taken out.

    Attributes:
        center: their median.
        width: so far from it are the farthest of them, those beyond ``WITHIN`` left out.
    """

    center: float
    width: float

    def beyond(self, values: Floats) -> Floats:
        """On which side of it values lie: 1 above, −1 below, 0 within."""
        far = values - self.center
        return np.where(np.abs(far) > self.width, np.sign(far), 0.0)

    def holds(self, other: Self) -> bool:
        """Whether the center of another one lies within it."""
        return abs(other.center - self.center) <= self.width


class LevelWatch(NamedTuple):
    """The last points of a metric beside a level.

    Attributes:
        level: what they are compared with.
        values: of the last ``WINDOW`` points or fewer, their season taken out.
        offsets: of the records that they came with.
        gradual: points since no more than ``USUAL`` of the last ``WINDOW`` lay beyond the level.
        learnt: it is a level that a version has learnt, or that was told.
    """

    level: Level
    values: array[float] = array("d")
    offsets: array[int] = array("q")
    gradual: int = 0
    learnt: bool = True

    def beside(self, level: Level, *, learnt: bool = True) -> Self:
        """The same points, beside another level from here on."""
        return self._replace(level=level, gradual=0, learnt=learnt)

    @property
    def quiet(self) -> bool:
        """Whether the last points are where they were."""
        return int(np.count_nonzero(self.level.beyond(np.array(self.values[-QUIET:])))) <= FEW

    def lies_in(self, level: Level) -> bool:
        """Whether as many of the last points lie within a level as make one."""
        return int((level.beyond(np.array(self.values)) == 0.0).sum()) >= BEYOND


class Move(NamedTuple):
    """A level that a metric has come to.

    Attributes:
        level: the new one.
        since: offset of the record with the first point there.
        beyond: how many of the last points lie beyond the level of before, on this side.
        seen: how many these are.
        low, high: the 5 % and 95 % quantiles of the points since.
    """

    level: Level
    since: int
    beyond: int
    seen: int
    low: float
    high: float


def follow_points(
    watch: LevelWatch, values: Floats, offsets: Sequence[int]
) -> tuple[LevelWatch, Move | None, int]:
    """Follow some more points, up to the first that completes a move.

    A metric that has left its level too slowly for a move is watched beside where it is by then.

    Args:
        values: shape (n,), n ≥ 1, their season taken out.
        offsets: of the records that they came with.

    Returns:
        The watch behind the points that were taken, the move that the last of these completes, and
        how many were taken.
    """
    before = len(watch.values)
    known = np.concatenate([watch.values, values])
    places = [*watch.offsets, *offsets]
    side = watch.level.beyond(known)
    above, below = counted(side > 0.0), counted(side < 0.0)
    count, at = np.maximum(above, below), np.arange(known.size)
    usual = np.where((count <= USUAL) & (at >= before), at, before - 1 - watch.gradual)
    gradual = at - np.maximum.accumulate(usual)
    due = (count >= BEYOND) & (gradual <= SUDDEN) & (at >= before)
    for last in np.flatnonzero(due).tolist():
        shown = slice(max(0, last + 1 - WINDOW), last + 1)
        way = 1.0 if above[last] >= below[last] else -1.0
        move = move_of(watch.level, side[shown] == way, known[shown], places[shown])
        if move is not None:
            return (
                watch_behind(watch, known[shown], places[shown], gradual[last]),
                move,
                last + 1 - before,
            )
    shown = slice(max(0, known.size - WINDOW), known.size)
    after = watch_behind(watch, known[shown], places[shown], gradual[-1])
    if after.gradual > SUDDEN:
        after = after.beside(level_of(known[shown], watch.level.width), learnt=False)
    return after, None, known.size - before


def watch_behind(watch: LevelWatch, values: Floats, offsets: list[int], gradual: int) -> LevelWatch:
    """The watch behind its last points."""
    return watch._replace(
        values=array("d", values.tobytes()), offsets=array("q", offsets), gradual=int(gradual)
    )


def counted(hits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the last ``WINDOW`` are hits, at each place; before the first there are none."""
    total = np.cumsum(hits, dtype=np.int64)
    total[WINDOW:] -= total[:-WINDOW].copy()
    return total


def level_of(values: Floats, least: float) -> Level:
    """The level that points are at, no narrower than so much."""
    center = float(np.median(values))
    return Level(center, max(least, float(np.quantile(np.abs(values - center), WITHIN))))


def move_of(
    level: Level, beyond: NDArray[np.bool_], values: Floats, offsets: Sequence[int]
) -> Move | None:
    """The new level of the last points; None if they do not agree on one.

    It begins where the points from there on speak most for it, each beyond the level of before as
    much as each other one against it.

    Args:
        level: the one of before.
        beyond: which of the points lie beyond it, on the side of most.
        values, offsets: of the points.
    """
    speaks = np.cumsum(np.where(beyond, 1, -1)[::-1])[::-1]
    first = int(np.argmax(speaks))
    older, newer = np.array_split(values[first:][beyond[first:]], 2)
    found = level_of(values[first:], level.width)
    if abs(float(np.median(newer)) - float(np.median(older))) > AGREE * found.width:
        return None
    low, high = np.quantile(values[first:], (0.05, 0.95)).tolist()
    return Move(found, offsets[first], int(beyond.sum()), len(values), low, high)
