"""Sketches of features by profile and day, from accepted samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from console.days.tables import BINS, EDGES
from console.store.columns import REPLACEMENT
from processor.record_batch import RecordBatch
from schemas.base import MAX_EPOCH_MS

Floats = NDArray[np.float64]
DAY_MS = 86_400_000
LIMIT = 1e150
"""Values are held to it: the square of any is a number."""

ENOUGH = 100
"""So many values are enough to take deciles of."""

_NUMBERS = frozenset((int, float, type(None)))

FeatureOf = tuple[str, str, str]
"""Kind, profile and feature."""


class Sketch(NamedTuple):
    """What is kept of a feature's values of a day; fields as the columns of ``feature_days``."""

    n: int
    missing: int
    mean: float | None
    m2: float | None
    least: float | None
    most: float | None
    bins: list[int]

    def merged(self, other: Sketch) -> Sketch:
        """Both together (Chan, Golub, LeVeque, 1979)."""
        bins = [a + b for a, b in zip(self.bins, other.bins, strict=True)]
        missing = self.missing + other.missing
        if not self.n or not other.n:
            held = self if self.n else other
            return held._replace(missing=missing, bins=bins)
        n, apart = self.n + other.n, (other.mean or 0.0) - (self.mean or 0.0)
        return Sketch(
            n,
            missing,
            (self.mean or 0.0) + apart * other.n / n,
            (self.m2 or 0.0) + (other.m2 or 0.0) + apart * apart * self.n * other.n / n,
            min(v for v in (self.least, other.least) if v is not None),
            max(v for v in (self.most, other.most) if v is not None),
            bins,
        )


class FeatureSums:
    """Values of accepted samples by profile, day and feature, of one partition."""

    def __init__(self) -> None:
        self._bases: dict[tuple[str, str, int, tuple[str, ...]], int] = {}
        self._names: list[tuple[str, str, int, str]] = []
        self._values: list[Floats] = []
        self._slots: list[NDArray[np.int64]] = []
        self.records = 0

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, records: RecordBatch, gone: Callable[[str, str, int], bool]) -> None:
        """Take in accepted samples; marks, and what is no sample, are passed by.

        Args:
            gone: whether a sample of a kind, profile and time is of one forgotten since.
        """
        values: list[float | None] = []
        bases: list[int] = []
        widths: list[int] = []
        for value, at in zip(records.values, records.timestamps.tolist(), strict=True):
            told = _sample(value)
            if told is None or gone(told[0], told[1], at):
                continue
            kind, profile_id, day, names, rows = told
            base = self._bases.get((kind, profile_id, day, names))
            if base is None:
                base = self._bases[kind, profile_id, day, names] = len(self._names)
                self._names += [(kind, profile_id, day, name) for name in names]
            for row in rows:
                values += row
                bases.append(base)
                widths.append(len(row))
        self.records += len(records)
        if values:
            width = np.array(widths)
            begins = np.repeat(np.cumsum(width) - width, width)
            self._slots.append(np.repeat(bases, width) + np.arange(len(values)) - begins)
            self._values.append(np.clip(np.array(values, np.float64), -LIMIT, LIMIT))

    def first_values(self, wanted: Callable[[FeatureOf], bool]) -> dict[FeatureOf, Floats]:
        """The values of features of which there are enough to take deciles of."""
        if not self._values:
            return {}
        slots, values = np.concatenate(self._slots), np.concatenate(self._values)
        held = ~np.isnan(values)
        slots, values = slots[held], values[held]
        order = np.argsort(slots, kind="stable")
        slots, values = slots[order], values[order]
        found: dict[FeatureOf, Floats] = {}
        distinct, first = np.unique(slots, return_index=True)
        for slot, part in zip(distinct.tolist(), np.split(values, first[1:]), strict=True):
            kind, profile_id, _, name = self._names[slot]
            of = (kind, profile_id, name)
            if len(part) >= ENOUGH and of not in found and wanted(of):
                found[of] = part
        return found

    def profiles(self) -> set[tuple[str, str]]:
        """Kinds and profiles that there is something of."""
        return {(kind, profile_id) for kind, profile_id, _, _ in self._names}

    def sketches(
        self, edges: Mapping[FeatureOf, list[float]]
    ) -> dict[tuple[str, str, int, str], Sketch]:
        """Kind, profile, day and feature → sketch; bins only of features with edges."""
        count = len(self._names)
        if not self._values:
            return {}
        slots, values = np.concatenate(self._slots), np.concatenate(self._values)
        there = ~np.isnan(values)
        missing = np.bincount(slots[~there], minlength=count)
        slots, values = slots[there], values[there]
        n = np.bincount(slots, minlength=count)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(slots, values, minlength=count) / n
        m2 = np.bincount(slots, (values - mean[slots]) ** 2, minlength=count)
        least, most = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(least, slots, values)
        np.maximum.at(most, slots, values)
        held = np.full((count, EDGES), np.nan)
        for slot, (kind, profile_id, _, name) in enumerate(self._names):
            known = edges.get((kind, profile_id, name))
            if known is not None:
                held[slot] = known
        binned = ~np.isnan(held[slots, 0])
        bins = np.zeros((count, BINS), np.int64)
        np.add.at(bins, (slots[binned], bin_of(values[binned], held[slots[binned]])), 1)
        found: dict[tuple[str, str, int, str], Sketch] = {}
        numbers = (n, missing, mean, m2, least, most, bins)
        for of, *row in zip(self._names, *(column.tolist() for column in numbers), strict=True):
            made = Sketch(*row) if row[0] else Sketch(0, row[1], None, None, None, None, row[6])
            found[of] = found[of].merged(made) if of in found else made
        return found


def bin_of(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """The bin of each value: 0 below the least edge, ``EDGES`` above the most."""
    found: NDArray[np.int64] = (values[:, np.newaxis] > edges).sum(axis=1)
    return np.where((found == 0) & (values == edges[:, 0]), 1, found)


def deciles(values: Floats) -> list[float] | None:
    """Least, nine deciles and most; None without a value."""
    held = values[~np.isnan(values)]
    if not len(held):
        return None
    found: list[float] = np.quantile(
        np.clip(held, -LIMIT, LIMIT), np.linspace(0, 1, EDGES)
    ).tolist()
    return found


_Sample = tuple[str, str, int, tuple[str, ...], list[list[float | None]]]


def _sample(value: bytes | None) -> _Sample | None:
    try:
        body = orjson.loads(value or b"")
        kind, profile_id, at = body["kind"], body["profile_id"], body["observed_at"]
        names, rows = tuple(map(_clean, body["features"])), body["vectors"]
        good = type(kind) is type(profile_id) is str and type(at) is int and 0 <= at <= MAX_EPOCH_MS
        width = len(names)
        if not good or len(set(names)) != width:
            return None
        for row in rows:
            if (
                type(row) is not list
                or len(row) != width
                or not _NUMBERS.issuperset(map(type, row))
            ):
                return None
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return None
    return _clean(kind), _clean(profile_id), at // DAY_MS * DAY_MS, names, rows


def _clean(text: str) -> str:
    # As the store writes it, so that what is held of a name is found again.
    return text.replace("\x00", REPLACEMENT)
