"""Buckets in memory: a query adds up arrays, and reads from the store only what has changed.

Adding up 300,000 buckets in SQL takes about a second on SQLite; in arrays, some milliseconds.
The store stays the truth: it says how often each page has changed, so that several processes on
one store show the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from console.figures.palette import SEVERITIES
from console.lanes.tables import lane_buckets, lane_pages
from console.lanes.writing import PAGE_MS
from console.store.database import Database

MOST_ROWS = 3_000_000
"""That are held, of 25 bytes each; beyond, the pages that were asked for longest ago go."""

RANKS = {name: rank for rank, name in enumerate(SEVERITIES)}


@dataclass(frozen=True)
class Rows:
    """Buckets as columns.

    Attributes:
        profile, feature: numbers of their names.
        rank: of the severity, 0 to 3.
        score: the largest; NaN without one.
    """

    bucket: np.ndarray
    profile: np.ndarray
    feature: np.ndarray
    rank: np.ndarray
    anomalies: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.bucket)

    def at(self, which: np.ndarray) -> Rows:
        """Those that a mask chooses."""
        return Rows(*(getattr(self, name)[which] for name in _COLUMNS))


_COLUMNS = ("bucket", "profile", "feature", "rank", "anomalies", "score")
_TYPES = (np.int64, np.int32, np.int32, np.int8, np.int32, np.float32)


class Names:
    """Names as numbers; a name that is dropped keeps its number, without the name."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.names: list[Any] = []
        self.dropped: set[int] = set()

    def numbers(self, names: Iterable[Any]) -> list[int]:
        """The number of each name; new ones get the next."""
        held, known = self._numbers, self.names
        found = []
        for name in names:
            number = held.get(name)
            if number is None:
                number = held[name] = len(known)
                known.append(name)
            found.append(number)
        return found

    def drop(self, name: Any) -> None:
        """Have a name in memory no longer."""
        found = self._numbers.pop(name, None)
        if found is not None:
            self.names[found] = None
            self.dropped.add(found)


class LaneMemory:
    """The buckets that were asked for; any thread may use it.

    Attributes:
        profiles: (kind, profile_id) by number.
        features: names of features by number.
        read: pages that were read from the store so far.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._pages: OrderedDict[int, tuple[int, Rows]] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str | None], np.ndarray] = OrderedDict()
        self.profiles = Names()
        self.features = Names()
        self.read = 0

    def rows(self, database: Database, since: int, until: int) -> Rows:
        """The buckets that begin in a stretch of time.

        Args:
            since, until: epoch milliseconds, the latter excluded.
        """
        with self._lock:
            with database.read() as connection:
                table = lane_pages.c
                held = connection.execute(
                    select(table.page, table.changes)
                    .where(table.page > since - PAGE_MS, table.page < until)
                    .order_by(table.page)
                ).all()
                pages = [self._page(connection, row.page, row.changes) for row in held]
            self._let_go(len(pages))
        columns = (
            np.concatenate([np.empty(0, kind), *(getattr(page, name) for page in pages)])
            for name, kind in zip(_COLUMNS, _TYPES, strict=True)
        )
        found = Rows(*columns)
        whole = not len(found) or (since <= found.bucket.min() and found.bucket.max() < until)
        return found if whole else found.at((found.bucket >= since) & (found.bucket < until))

    def seen(self, prefix: str, kind: str | None) -> np.ndarray:
        """Whether each profile, by number, is of a kind, and its id begins with a prefix."""
        with self._lock:
            names = self.profiles.names
            held = self._seen.pop((prefix, kind), np.empty(0, bool))
            if len(held) < len(names):
                more = [
                    at is not None and at[1].startswith(prefix) and kind in (None, at[0])
                    for at in names[len(held) :]
                ]
                held = np.concatenate([held, np.array(more, dtype=bool)])
            if self.profiles.dropped:
                held = held.copy()
                held[[n for n in self.profiles.dropped if n < len(held)]] = False
            self._seen[prefix, kind] = held
            if len(self._seen) > _MASKS:
                self._seen.popitem(last=False)
            return held

    def forget(self, kind: str, profile_id: str) -> None:
        """Have the id of a profile that was forgotten in memory no longer."""
        with self._lock:
            # Pages that were read before its rows went name it by its number.
            self.profiles.drop((kind, profile_id))

    def _page(self, connection: Connection, page: int, changes: int) -> Rows:
        held = self._pages.get(page)
        if held is None or held[0] != changes:
            table = lane_buckets.c
            query = select(
                table.bucket,
                table.kind,
                table.profile_id,
                table.feature,
                table.severity,
                table.anomalies,
                table.score,
            ).where(table.bucket >= page, table.bucket < page + PAGE_MS)
            held = self._pages[page] = (changes, self._columns(connection.execute(query).all()))
            self.read += 1
        self._pages.move_to_end(page)
        return held[1]

    def _columns(self, rows: Iterable[Any]) -> Rows:
        columns = list(zip(*rows, strict=True)) or [()] * 7
        bucket, kinds, ids, features, severities, anomalies, scores = columns
        told = (
            bucket,
            self.profiles.numbers(zip(kinds, ids, strict=True)),
            self.features.numbers(features),
            [RANKS[name] for name in severities],
            anomalies,
            # None becomes NaN.
            scores,
        )
        return Rows(*(np.array(c, dtype=kind) for c, kind in zip(told, _TYPES, strict=True)))

    def _let_go(self, least: int) -> None:
        """Let pages go, never those that were just asked for."""
        rows = sum(len(page) for _, page in self._pages.values())
        while rows > self._most_rows and len(self._pages) > least:
            _, (_, page) = self._pages.popitem(last=False)
            rows -= len(page)


_MASKS = 64
"""Combinations of organisation and kind whose profiles are held."""
