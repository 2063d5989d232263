"""Figures out of measurements: rates, percentiles, ratios with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median


@dataclass(frozen=True)
class Seen:
    """How far a process was at a moment.

    Attributes:
        at: seconds of a monotonic clock.
        records: answered since the beginning.
        cpu: seconds of processor time taken, all threads.
    """

    at: float
    records: int
    cpu: float = 0.0


def rate(changes: Sequence[Seen], total: int) -> float:
    """Records a second between the first commit seen and the last one that left some to do.

    So neither the start of a process counts, nor what it waits at the end of its input.

    Args:
        changes: how far it was, at each change.
        total: records that there were.

    Raises:
        ValueError: fewer than two commits were seen.
    """
    first, last = _span(changes, total)
    return (last.records - first.records) / (last.at - first.at)


def cost(changes: Sequence[Seen], total: int) -> float:
    """Microseconds of processor time a record, over what ``rate`` counts; errors as there."""
    first, last = _span(changes, total)
    return 1e6 * (last.cpu - first.cpu) / (last.records - first.records)


def _span(changes: Sequence[Seen], total: int) -> tuple[Seen, Seen]:
    busy = [change for change in changes if change.records < total]
    # One that answers all in two commits leaves no other interval than the last.
    used = busy if len(busy) > 1 else changes
    if len(used) < 2:
        raise ValueError(f"{len(used)} commits were seen, two are needed for a rate")
    return used[0], used[-1]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by at least such a share (0–1) of sorted values.

    Raises:
        ValueError: no values.
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest of the quotients of each repetition."""
    quotients = [a / b for a, b in zip(ours, theirs, strict=True)]
    return median(quotients), min(quotients), max(quotients)


def longest_gap(times: Sequence[float], began: float, ended: float) -> float:
    """Longest time without an event between two moments, these included."""
    inside = sorted(t for t in times if began <= t <= ended)
    marks = [began, *inside, ended]
    return max(b - a for a, b in pairwise(marks))
