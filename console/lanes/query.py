"""Lanes of a stretch of time: the largest ones of what is asked for, and all together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from console.figures.lanes import Lane
from console.figures.palette import SEVERITIES
from console.lanes.memory import LaneMemory, Rows
from console.store.database import Database

INTERVALS: Final = 96
"""Of a lane at most."""

MINUTE = 60_000
WIDTHS: Final = tuple(
    minutes * MINUTE for minutes in (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080)
)
"""Of an interval, milliseconds; all are whole buckets, and days and weeks divide well."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        since, until: epoch milliseconds.
        view: what a lane is of: ``profile``, ``kind``, ``feature``, or ``attribute``.
        sort: ``severity`` or ``count``.
        severities: those that count.
        prefix: of the ids of the profiles that the caller sees.
        attribute: (kind, profile_id) → value, for the view by an attribute.
    """

    since: int
    until: int
    view: str = "profile"
    sort: str = "severity"
    top: int = 10
    severities: Collection[str] = SEVERITIES
    kind: str | None = None
    prefix: str = ""
    attribute: Mapping[tuple[str, str], str] | None = None


@dataclass(frozen=True)
class Found:
    """Lanes.

    Attributes:
        starts: of the intervals, epoch milliseconds, ``width`` apart.
        keys: of each lane: (kind, profile_id), or (name,).
        totals: anomalies of each lane.
        lanes_in_all: how many there would be without ``top``.
        counts: severity → anomalies of each interval, over all lanes.
    """

    starts: list[int]
    width: int
    overall: Lane
    lanes: list[Lane]
    keys: list[tuple[str, ...]]
    totals: list[int]
    lanes_in_all: int
    counts: dict[str, list[int]]


def width_of(since: int, until: int, most: int = INTERVALS) -> int:
    """The width of an interval, milliseconds: the smallest that gives at most ``most`` of them.

    >>> width_of(0, 24 * 3_600_000) // MINUTE
    15
    """
    return next((w for w in WIDTHS if (until - since) / w <= most), WIDTHS[-1])


def find_lanes(memory: LaneMemory, database: Database, wanted: Wanted) -> Found:
    """The lanes of a stretch of time; the intervals that it touches are whole."""
    width = width_of(wanted.since, wanted.until)
    begin = wanted.since // width * width
    count = max(1, -(-(wanted.until - begin) // width))
    starts = [begin + n * width for n in range(count)]
    rows = memory.rows(database, begin, begin + count * width)
    shown_ranks = [name in wanted.severities for name in SEVERITIES]
    rows = rows.at(memory.seen(wanted.prefix, wanted.kind)[rows.profile])
    counts = _by_severity(rows, (rows.bucket - begin) // width, count)
    if not all(shown_ranks):
        rows = rows.at(np.array(shown_ranks)[rows.rank])
    slots = (rows.bucket - begin) // width
    codes, key_of = _codes(memory, rows, wanted)
    best, lanes_in_all = _best(rows, codes, wanted)
    places = np.full(int(codes.max(initial=-1)) + 1, -1, dtype=np.int64)
    places[best] = np.arange(len(best))
    keys = [key_of(number) for number in best.tolist()]
    own = places[codes]
    shown = own >= 0
    titles = [_title(key, wanted.view) for key in keys]
    lanes, totals = _lanes(titles, rows.at(shown), own[shown], slots[shown], count)
    (overall,), _ = _lanes(["all"], rows, np.zeros(len(rows), np.int64), slots, count)
    return Found(starts, width, overall, lanes, keys, totals, lanes_in_all, counts)


def first_anomaly(memory: LaneMemory, database: Database, wanted: Wanted) -> int | None:
    """When the first anomalous interval of five minutes begins, epoch milliseconds; None without.

    Of what is asked for, only its stretch of time, its kind and its prefix count.
    """
    width = width_of(wanted.since, wanted.until)
    rows = memory.rows(database, wanted.since // width * width, wanted.until)
    own = memory.seen(wanted.prefix, wanted.kind)[rows.profile]
    return int(rows.bucket[own].min()) if own.any() else None


def _by_severity(rows: Rows, slots: np.ndarray, count: int) -> dict[str, list[int]]:
    steps = len(SEVERITIES)
    totals = np.bincount(slots * steps + rows.rank, rows.anomalies, minlength=count * steps)
    table = totals.astype(int).reshape(count, steps)
    return {name: table[:, rank].tolist() for rank, name in enumerate(SEVERITIES)}


def _codes(
    memory: LaneMemory, rows: Rows, wanted: Wanted
) -> tuple[np.ndarray, Callable[[int], tuple[str, ...]]]:
    """The number of the lane of each row, and what tells the name of a lane by its number."""
    profiles, features = memory.profiles.names, memory.features.names
    if wanted.view == "profile":
        return rows.profile.astype(np.int64), lambda number: profiles[number] or ("", "")
    if wanted.view == "feature":
        return rows.feature.astype(np.int64), lambda number: (features[number] or "none",)
    used = np.unique(rows.profile)
    of = np.zeros(len(profiles), dtype=np.int64)
    found: dict[str, int] = {}
    values = wanted.attribute or {}
    for number in used.tolist():
        at = profiles[number] or ("", "")
        name = at[0] if wanted.view == "kind" else values.get(at, "unknown")
        of[number] = found.setdefault(name, len(found))
    names = list(found)
    return of[rows.profile], lambda number: (names[number],)


def _best(rows: Rows, codes: np.ndarray, wanted: Wanted) -> tuple[np.ndarray, int]:
    """Numbers of the lanes that are shown, the largest first, and how many there are."""
    most = 2**24 - 1
    totals = np.minimum(np.bincount(codes, rows.anomalies), most).astype(np.int64)
    worst = np.full(len(totals), -1, dtype=np.int64)
    np.maximum.at(worst, codes, rows.rank)
    at_worst = rows.rank == worst[codes]
    gravest = np.bincount(codes[at_worst], rows.anomalies[at_worst], minlength=len(totals))
    gravest = np.minimum(gravest, most).astype(np.int64)
    if wanted.sort == "count":
        size = (totals << 26) + (worst + 1 << 24)
    else:
        # One critical anomaly stands before any number of lesser ones.
        size = (worst + 1 << 48) + (gravest << 24) + totals
    there = np.flatnonzero(totals)
    if len(there) > wanted.top:
        first = there[np.argpartition(-size[there], wanted.top)[: wanted.top]]
    else:
        first = there
    return first[np.lexsort((first, -size[first]))], len(there)


def _lanes(
    titles: Sequence[str], rows: Rows, lane: np.ndarray, slot: np.ndarray, count: int
) -> tuple[list[Lane], list[int]]:
    size = len(titles) * count
    cell = lane * count + slot
    worst = np.full(size, -1, dtype=np.int64)
    np.maximum.at(worst, cell, rows.rank)
    totals = np.bincount(cell, rows.anomalies, minlength=size).astype(int)
    score = np.full(size, -np.inf)
    np.fmax.at(score, cell, rows.score.astype(float))
    found = []
    for number, title in enumerate(titles):
        own = slice(number * count, (number + 1) * count)
        found.append(
            Lane(
                title,
                [None if rank < 0 else SEVERITIES[rank] for rank in worst[own].tolist()],
                [value if np.isfinite(value) else None for value in score[own].tolist()],
                totals[own].tolist(),
            )
        )
    sums = totals.reshape(len(titles), count).sum(axis=1).tolist() if titles else []
    return found, sums


def _title(key: tuple[str, ...], view: str) -> str:
    return key[1] if view == "profile" else key[0]


def told(found: Found, view: str) -> dict[str, Any]:
    """Lanes as the API tells them."""
    lanes = []
    for lane, key, total in zip(found.lanes, found.keys, found.totals, strict=True):
        named = {"kind": key[0], "profile_id": key[1]} if view == "profile" else {}
        lanes.append({"name": lane.name, **named, "anomalies": total, **_cells(lane)})
    return {
        "width_ms": found.width,
        "starts": found.starts,
        "lanes_in_all": found.lanes_in_all,
        "overall": {**_cells(found.overall), "by_severity": found.counts},
        "lanes": lanes,
    }


def _cells(lane: Lane) -> dict[str, Any]:
    """Only the intervals that hold anything, by their place."""
    return {
        "cells": [
            {"interval": place, "severity": severity, "score": score, "anomalies": count}
            for place, (severity, score, count) in enumerate(
                zip(lane.severities, lane.scores, lane.counts, strict=True)
            )
            if severity is not None
        ]
    }
