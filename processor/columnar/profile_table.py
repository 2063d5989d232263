"""Profile table: the fields of active profiles that scoring needs, one row a profile.

A structured array. A batch reads thousands of profiles: here that takes two cache lines a profile,
as Python objects about fifty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration.drift import UNKNOWN, Drift, Drifts, drifting
from models.kernels.layout import LAYOUT_WORDS, NOT_IN_MEMORY
from models.kernels.text.byte_strings import Integers
from processor.columnar.version_constants import CONSTANT_FIELDS, FeatureNames, VersionConstants
from processor.record_batch import RecordBatch
from processor.records import ProfileKey, RecordOrigin

if TYPE_CHECKING:
    from models.artifacts import Model

NO_ROW: Final = -1
INITIAL_CAPACITY: Final = 64

_DRIFT = Drift._fields
_ROW = np.dtype(
    [
        *((name, np.float64) for name in (*_DRIFT, "mean", "fits")),
        ("since_anomaly", np.int64),
        ("slot", np.int64),
        ("serial", np.int64),
        # Which objects these are, so that equal ones are told without a look at them.
        ("names", np.int64),
        ("sort", np.int64),
        # Where ``Silence`` has the profile, once it was heard.
        ("heard", np.int64),
        ("place", np.int64, LAYOUT_WORDS),
        ("ends", np.int32, len(CONSTANT_FIELDS)),
    ],
    align=True,
)

Table = NDArray[Any]
"""Rows as one structured array, of ``_ROW``."""


class DriftUpdates(NamedTuple):
    """What the records of a batch changed of profiles that have a row.

    Attributes:
        rows: of the profiles, each once.
        drifts, since_anomaly: their new values.
    """

    rows: Integers
    drifts: Drifts
    since_anomaly: Integers


class ProfileTable:
    """The rows, found by where a profile's records come from.

    Attributes:
        numbers: the row of each profile that has one.
        keys, standings: of the profile of each row.
        names, texts: of these standings.
        detector_classes: class of the detector that was opened last.
    """

    def __init__(self) -> None:
        # The command line knows rows, too, and has no use for compiled code.
        from processor.columnar.profile_index import ProfileIndex

        self.keys: list[ProfileKey] = []
        self.standings: list[VersionConstants] = []
        self.names: list[FeatureNames] = []
        self.texts: list[bytes] = []
        self.detector_classes: list[type] = []
        self._sources: list[RecordOrigin] = []
        self.numbers: dict[ProfileKey, int] = {}
        self._finder = ProfileIndex()
        self._free: list[int] = []
        self._have(np.zeros(INITIAL_CAPACITY, _ROW))

    def find(self, batch: RecordBatch) -> Integers:
        """The row of what each record comes from; ``NO_ROW`` also if its key is too long."""
        return self._finder.find(batch)

    def row(self, key: ProfileKey) -> int:
        """The row of a profile, or ``NO_ROW``."""
        return self.numbers.get(key, NO_ROW)

    def add(
        self,
        source: RecordOrigin,
        key: ProfileKey,
        standing: VersionConstants,
        drift: Drift,
        since_anomaly: int | None,
    ) -> int:
        """Give a profile a row."""
        row = self._free.pop() if self._free else self._append()
        self.numbers[key] = row
        self._sources[row], self.keys[row] = source, key
        self.standings[row] = standing
        self.names[row], self.texts[row] = standing.names, standing.text
        held = self._table[row]
        held["mean"], held["ends"] = standing.mean, np.frombuffer(standing.ends, np.int64)
        held["slot"] = held["serial"] = held["heard"] = NOT_IN_MEMORY
        held["names"] = id(standing.names)
        self.set(row, drift, since_anomaly)
        self._finder.enter(row, source)
        return row

    def remove(self, key: ProfileKey) -> None:
        """Take the row of a profile away, if it has one."""
        row = self.numbers.pop(key, NO_ROW)
        if row != NO_ROW:
            self._finder.leave(row, self._sources[row])
            self._free.append(row)

    def get(self, row: int) -> tuple[Drift, int | None]:
        """Drift and records since the last anomaly of one profile."""
        gentle, bold, records, quiet, since = self._judged
        drift = Drift(
            gentle.item(row), bold.item(row), int(records.item(row)), int(quiet.item(row))
        )
        last = since.item(row)
        return drift, None if last == UNKNOWN else last

    def set(self, row: int, drift: Drift, since_anomaly: int | None) -> None:
        """Note drift and records since the last anomaly of one profile."""
        since = UNKNOWN if since_anomaly is None else since_anomaly
        for numbers, number in zip(self._judged, (*drift, since), strict=True):
            numbers[row] = number

    def take(self, rows: Integers) -> Table:
        """A copy of some rows."""
        return self._table.take(rows)

    def changes(self, rows: Integers) -> DriftUpdates:
        """The current values of some profiles, to roll back to."""
        table = self.take(rows)
        return DriftUpdates(rows, drifts_of(table), column(table, "since_anomaly"))

    def of(self, changes: DriftUpdates) -> Iterable[ProfileKey]:
        """The profiles that have changed."""
        return map(self.keys.__getitem__, changes.rows.tolist())

    def put(self, changes: DriftUpdates) -> int:
        """Store new values; the change in the number of profiles that drift."""
        before = drifting(drifts_of(self.take(changes.rows)))
        after = (*changes.drifts, changes.since_anomaly)
        for numbers, those in zip(self._judged, after, strict=True):
            numbers[changes.rows] = those
        return int(drifting(changes.drifts).sum()) - int(before.sum())

    def heard(self, rows: Integers) -> Integers:
        """Positions of some profiles in ``InactivityMonitor``, or ``NOT_IN_MEMORY``."""
        places: Integers = self._table["heard"][rows]
        return places

    def hear(self, rows: Integers, places: Integers) -> None:
        """Store their positions in ``InactivityMonitor``."""
        self._table["heard"][rows] = places

    def opened(self, row: int, model: Model, slot: int, serial: int) -> None:
        """Store where the model of a profile lies in memory."""
        bench = model.bench
        self.detector_classes[row] = bench.sort
        held = self._table[row]
        held["slot"], held["serial"], held["sort"] = slot, serial, id(bench.sort)
        held["place"] = np.frombuffer(bench.place, np.int64)
        held["fits"] = bench.fitting_mean(self.standings[row].trained_on)

    def _have(self, table: Table) -> None:
        self._table = table
        # Those that change with each record.
        self._judged = [table[name] for name in (*_DRIFT, "since_anomaly")]

    def _append(self) -> int:
        row = len(self.keys)
        if row == len(self._table):
            self._have(np.concatenate([self._table, np.zeros_like(self._table)]))
        lists: tuple[list[Any], ...] = (
            self.keys, self.standings, self.names, self.texts, self.detector_classes, self._sources,
        )  # fmt: skip
        for of_each in lists:
            of_each.append(None)
        return row


def column(table: Table, name: str) -> NDArray[Any]:
    """A column of some rows as a contiguous array."""
    return np.ascontiguousarray(table[name])


def unique_inverse(numbers: Integers) -> tuple[Integers, Integers]:
    """``numpy.unique`` with ``return_index`` and ``return_inverse``, without the values."""
    if len(numbers) and (numbers == numbers[0]).all():
        return np.zeros(1, np.int64), np.zeros(len(numbers), np.int64)
    _, firsts, which = np.unique(numbers, return_index=True, return_inverse=True)
    return firsts, which


def drifts_of(table: Table) -> Drifts:
    """The drift of some rows."""
    return Drifts(*(column(table, name) for name in _DRIFT))
