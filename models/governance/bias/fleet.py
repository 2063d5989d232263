"""What a bias analysis reads: one row a unit, which is a profile or a row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

UNKNOWN = "unknown"
"""The group of units without the attribute: shown, never compared."""

LEAST_RECORDS = 100
"""A profile with fewer scored records does not count: its rate says nothing."""


@dataclass(frozen=True)
class Fleet:
    """Counts of each of n units; what is not known is None.

    Attributes:
        attributes: name → shape (n,), the value as text, ``UNKNOWN`` if there is none.
        alarms, records: shape (n,), unsuppressed scored records and the alarms among them.
        confusion: shape (n, 4), true positives, false positives, false negatives and true
            negatives, each label weighed by 1 / its chance of being drawn.
        labels: shape (n, 4), the same, each label counted once.
        missed_known: whether records without an alarm are labelled too, with a known chance.
        p_values: shape (n, 20), records by p-value in bins of equal width.
        days: shape (n,), days until version 1; infinite while there is none.
        candidates, refused: shape (n,), candidates that the gate judged, and refused.
        drifting: shape (n,), 1 for a profile that drifts.
        abstained, judged: shape (n,), records without evidence, and all records.
        missing, values: shape (n,), values that were missing, and all values.
        reasons: shape (n, f), alarms by the feature of their first reason.
        reason_names: the f features.
        rule_alarms: shape (n,), alarms by the fixed rule, of kinds that have one.
    """

    attributes: Mapping[str, NDArray[np.str_]]
    alarms: Floats
    records: Floats
    confusion: Floats | None = None
    labels: Floats | None = None
    missed_known: bool = False
    p_values: Floats | None = None
    days: Floats | None = None
    candidates: Floats | None = None
    refused: Floats | None = None
    drifting: Floats | None = None
    abstained: Floats | None = None
    judged: Floats | None = None
    missing: Floats | None = None
    values: Floats | None = None
    reasons: Floats | None = None
    reason_names: tuple[str, ...] = field(default=())
    rule_alarms: Floats | None = None

    @property
    def size(self) -> int:
        return int(self.records.size)

    def of(self, chosen: Booleans) -> Fleet:
        """Some of the units."""
        kept: dict[str, object] = {
            "attributes": {name: held[chosen] for name, held in self.attributes.items()}
        }
        for each in fields(self):
            held = getattr(self, each.name)
            if isinstance(held, np.ndarray):
                kept[each.name] = held[chosen]
        return replace(self, **kept)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Groups:
    """The groups that an attribute makes.

    Attributes:
        names: of the groups that are compared.
        index: shape (n,), the group of each unit; −1 for one that is not compared.
        sizes: units of each group.
        hidden: whether a group was left out because it is small.
        unknown: units without the attribute.
    """

    attribute: str
    names: tuple[str, ...]
    index: Integers
    sizes: tuple[int, ...]
    hidden: bool
    unknown: int


LEAST_SHOWN = 5
"""A group of fewer units is not shown: a number about it says something about a person."""

MOST_GROUPS = 50
"""An attribute of more values is a name, not a group."""


def groups_of(attribute: str, values: NDArray[np.str_]) -> Groups:
    """The groups of an attribute; groups of fewer than ``LEAST_SHOWN`` units are hidden."""
    names, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    known = names != UNKNOWN
    shown = known & (counts >= LEAST_SHOWN)
    if shown.sum() > MOST_GROUPS:
        shown = np.zeros_like(shown)
    place = np.where(shown, np.cumsum(shown) - 1, -1)
    return Groups(
        attribute,
        tuple(str(name) for name in names[shown]),
        place[index].astype(np.int64),
        tuple(int(count) for count in counts[shown]),
        bool((known & ~shown).any()),
        int(counts[~known].sum()),
    )
