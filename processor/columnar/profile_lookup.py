"""Finds the active profiles that a batch's records are of, and has their models at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.kernels.text.byte_strings import Integers, StringColumn
from processor.artifacts.model_cache import ModelCache
from processor.columnar.columnar_records import NO_TIMES, ColumnarRecords, Floats
from processor.columnar.profile_table import NO_ROW, ProfileTable, Table, column, unique_inverse
from processor.columnar.version_constants import FeatureNames
from processor.record_batch import RecordBatch
from processor.records import UNREADABLE_HEADERS, DeadLetter, ProfileKey, RecordOrigin, profile_id
from schemas.base import MAX_EPOCH_MS

Seat = Callable[[RecordOrigin, ProfileKey], int]
"""Gives an active profile a row, by where its records come from; ``NO_ROW`` for any other."""
OpenModels = Callable[[Sequence[int]], Mapping[str, Model]]
"""Opens the models of the profiles of some rows; those at hand, by SHA-256."""


@dataclass(frozen=True)
class Reader:
    """What reading depends on besides the batch.

    Attributes:
        profiles: rows of the active profiles.
        seat: gives a profile a row.
        open_models: opens models that are not in memory.
        changed: profiles that the Step has changed already; their records are left.
        kinds: topic → kind, of the kinds that are read.
        record_bytes: size of the largest valid record.
    """

    profiles: ProfileTable
    seat: Seat
    open_models: OpenModels
    changed: Collection[ProfileKey]
    kinds: Mapping[str, str]
    record_bytes: int


class FoundProfiles(NamedTuple):
    """The active profiles of a batch's records.

    Attributes:
        rows: number of each profile's row in the table, ascending.
        table: copies of these rows.
        opened: which of them have a model in memory.
        names, name: the columns that profiles have, and which of these each has.
        firsts: place in the batch of the first record of each.
        counts: records of each.
        profile: which of them each record of the batch is of; -1 of none.
    """

    rows: Integers
    table: Table
    opened: NDArray[np.bool_]
    names: list[FeatureNames]
    name: Integers
    firsts: Integers
    counts: Integers
    profile: Integers

    def rank(self, chosen: Integers) -> Integers:
        """Place of each record's profile among those that are chosen, -1 of others."""
        # The last one is that of the records without a row, whose profile is -1.
        rank = np.full(len(self.rows) + 1, -1)
        rank[chosen] = np.arange(len(chosen))
        ranks: Integers = rank[self.profile]
        return ranks

    def records(
        self,
        kind: str,
        batch: RecordBatch,
        profiles: ProfileTable,
        chosen: Integers,
        widths: Integers,
        positions: Integers,
        told: Integers,
        values: Floats,
        vectors: StringColumn,
        times: Floats = NO_TIMES,
    ) -> ColumnarRecords:
        """Records of the chosen profiles, with what was read of them.

        Args:
            told: time of observation of each record, below 0 where it tells none.
        """
        of_first, sort = unique_inverse(column(self.table, "sort")[chosen])
        rows = self.rows[chosen]
        stamps = np.clip(batch.timestamps[positions], 0, MAX_EPOCH_MS)
        return ColumnarRecords(
            kind,
            batch,
            profiles,
            rows,
            self.table[chosen],
            self.names,
            [profiles.detector_classes[row] for row in rows[of_first].tolist()],
            self.name[chosen],
            sort,
            widths,
            self.counts[chosen],
            positions,
            np.where(told < 0, stamps, told),
            values,
            vectors,
            times,
        )


def find_profiles(reader: Reader, cache: ModelCache, telemetry: RecordBatch) -> FoundProfiles:
    """The active profiles that the records are of, their models opened."""
    profiles = reader.profiles
    rows, firsts, profile, counts = np.unique(
        _rows_of(reader, telemetry), return_index=True, return_inverse=True, return_counts=True
    )
    if len(rows) and rows[0] == NO_ROW:
        rows, firsts, profile, counts = rows[1:], firsts[1:], profile - 1, counts[1:]
    table = profiles.take(rows)
    opened = _ensure_loaded(reader, cache, rows, table)
    of_first, name = unique_inverse(column(table, "names"))
    names = [profiles.names[row] for row in rows[of_first].tolist()]
    return FoundProfiles(rows, table, opened, names, name, firsts, counts, profile)


def _rows_of(reader: Reader, telemetry: RecordBatch) -> Integers:
    """The row of each record's profile; a row is given to active ones that have none yet."""
    found = reader.profiles.find(telemetry)
    seated: dict[RecordOrigin, int] = {}
    for at in np.flatnonzero(found == NO_ROW).tolist():
        source = telemetry.source(at)
        if source not in seated:
            kind = reader.kinds.get(source[0])
            key = None if kind is None else _identity(source, kind)
            seated[source] = NO_ROW if key is None else reader.seat(source, key)
        found[at] = seated[source]
    if any(telemetry.headers):
        # They are dead letters, whatever else they hold.
        for at, headers in enumerate(telemetry.headers):
            if headers is UNREADABLE_HEADERS:
                found[at] = NO_ROW
    if reader.changed:
        # Those that the commands and candidates of the batch have changed.
        changed = list(map(reader.profiles.row, reader.changed))
        found[np.isin(found, changed)] = NO_ROW
    return found


def _ensure_loaded(
    reader: Reader, cache: ModelCache, rows: Integers, table: Table
) -> NDArray[np.bool_]:
    """Open the models of some profiles; which of the profiles have one now.

    Args:
        table: the rows, where it is noted.
    """
    profiles = reader.profiles
    found = cache.pin(column(table, "slot"), column(table, "serial"))
    missing = np.flatnonzero(~found)
    if not missing.size:
        return found
    wanted = rows[missing].tolist()
    models = reader.open_models(wanted)
    for at, row in zip(missing.tolist(), wanted, strict=True):
        sha256, wrong = profiles.standings[row].sha256, profiles.standings[row].misnamed
        if sha256 in models and wrong is None and models[sha256].in_columns:
            profiles.opened(row, models[sha256], *cache.find(sha256))
            found[at] = True
    table[missing] = profiles.take(rows[missing])
    return found


def _identity(source: RecordOrigin, kind: str) -> ProfileKey | None:
    """The profile of a key that stands in JSON as it is; None of any other."""
    _, partition, key = source
    if key is None or b'"' in key or b"\\" in key:
        return None
    name = profile_id(key)
    return None if isinstance(name, DeadLetter) else (partition, kind, name)
