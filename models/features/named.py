"""`features`: the producer's own vector, and how later records fit a profile's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.features.vectors import Extracted, Floats, bounded
from models.kernels.limits import LIMIT
from schemas.telemetry.features import FeaturesTelemetry

Numbers = list[float | None]
Values = dict[str, float | None] | Numbers
RARE_SAMPLES: Final = 3
RARE_SHARE: Final = 0.05
PLAIN_TYPES: Final = frozenset({float, int, type(None)})


@dataclass(frozen=True)
class Aligned:
    """A record in a profile's own columns.

    Attributes:
        rows: shape (m, d), columns as in the profile's names; NaN if the record has no value.
        unknown: number of names of the record that the profile does not have.
    """

    rows: Floats
    unknown: int


@dataclass(frozen=True)
class Mismatch:
    """Why a record does not fit a profile: a sentence for people."""

    detail: str


def extract_named(telemetry: FeaturesTelemetry) -> Extracted:
    """One row with the values as given, shape (1, d); no row where there are no values at all."""
    values = telemetry.values
    if not values:
        return Extracted((), np.empty((0, 0)), positional=isinstance(values, list))
    if isinstance(values, list):
        row = np.array([values], dtype=np.float64)
        return Extracted(tuple(map(str, range(len(values)))), bounded(row), positional=True)
    row = np.array([list(values.values())], dtype=np.float64)
    return Extracted(tuple(values), bounded(row))


def plain_numbers(values: Any) -> Numbers | None:
    """The numbers of a record's ``values`` where it is plain that they are valid; None elsewhere.

    What this lets pass ``FeaturesTelemetry`` does, too, if its names are valid.
    """
    given = list(values.values()) if type(values) is dict else values
    if type(given) is not list or not given or not PLAIN_TYPES.issuperset(map(type, given)):
        return None
    return given


def extract_plain(
    values: Sequence[Values],
    numbers: Sequence[Numbers],
) -> list[Extracted]:
    """What ``extract_named`` gives, for records of one width together.

    Args:
        values: of each record, as given.
        numbers: what ``plain_numbers`` gave for each.
    """
    matrix = np.clip(np.array(numbers, dtype=np.float64), -LIMIT, LIMIT)
    evident: list[bool] = np.logical_or.reduce(~np.isnan(matrix), axis=1).tolist()
    places = tuple(map(str, range(matrix.shape[1])))
    names = places
    found = []
    for at, given in enumerate(values):
        if type(given) is dict:
            # One tuple for records that follow one another with the same names: these are the same
            # strings in memory, so that this comparison is quick.
            same = tuple(given)
            names = names if names == same else same
            found.append(Extracted(names, matrix[at : at + 1], False, evident[at]))
        else:
            found.append(Extracted(places, matrix[at : at + 1], True, evident[at]))
    return found


def align(extracted: Extracted, names: tuple[str, ...]) -> Aligned | Mismatch:
    """A record's rows in the columns of a profile.

    By name: a missing one is NaN, an unknown one is ignored and counted; a record without any
    known name is a mismatch (a name with null is there). A bare array fits by length and order.
    """
    if extracted.names == names:
        return Aligned(extracted.rows, 0)
    if extracted.positional:
        if len(extracted.names) == len(names):
            return Aligned(extracted.rows, 0)
        return Mismatch(
            f"$.values should have {len(names)} values as the profile's records have, "
            f"but has {len(extracted.names)}"
        )
    places = {name: place for place, name in enumerate(extracted.names)}
    found = [(column, places[name]) for column, name in enumerate(names) if name in places]
    if not found and extracted.names:
        return Mismatch(f"$.values has none of the profile's {len(names)} names")
    rows = np.full((len(extracted.rows), len(names)), np.nan)
    if found:
        columns, sources = map(list, zip(*found, strict=True))
        rows[:, columns] = extracted.rows[:, sources]
    return Aligned(rows, len(extracted.names) - len(found))


def with_new(names: tuple[str, ...], extracted: Extracted, most: int) -> tuple[str, ...]:
    """A learning profile's names, and behind them those that a record brings, so many at most."""
    if extracted.positional or extracted.names == names:
        return names
    known = set(names)
    new = [name for name in extracted.names if name not in known]
    return (*names, *new[: max(0, most - len(names))])


def frequent(samples: Floats) -> list[int]:
    """Columns of learnt samples, shape (n, d), that are not too rare to be learnt.

    A feature that fewer than 5 % of the samples have, and fewer than three, is left out; one that
    none has stays, as it came with null.
    """
    count = (~np.isnan(samples)).sum(axis=0)
    rare = (count > 0) & (count < RARE_SAMPLES) & (count < RARE_SHARE * len(samples))
    kept = np.flatnonzero(~rare)
    return kept.tolist() if (count[kept] > 0).any() else list(range(samples.shape[1]))
