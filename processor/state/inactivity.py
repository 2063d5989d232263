"""Silence: which active profiles have not been heard for longer than is usual for them.

Best effort, in memory: it begins anew at an assignment, and knows a profile's rhythm once it was
heard a few times. About 200 bytes a profile, nothing per record, and a slice of profiles a look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from models.kernels.layout import NOT_IN_MEMORY
from models.kernels.text.byte_strings import Integers
from processor.columnar.profile_table import ProfileTable
from processor.records import ProfileKey

LEAST_MS = 60_000
"""A silence below this is none, however quick the profile usually is."""

FACTOR = 10
"""A silence of so many mean gaps is longer than usual."""

MIN_INTERVALS = 8
"""Gaps before a profile's rhythm is known, and the memory of their mean."""

SLICE = 2000
"""Profiles looked at in one go, twice a second: about a millisecond."""

LEAST_ROWS = 64
_COLUMNS = 3
"""When a profile was last heard, its exponentially weighted mean gap (both in milliseconds), and
how many gaps there were, up to ``MIN_INTERVALS``."""


class InactivityMonitor:
    """The rhythms of the active profiles, and how many were silent at the last sweep."""

    def __init__(self) -> None:
        self.silent: Counter[str] = Counter()
        """Profiles by kind, as of the last whole sweep."""
        self._rows: dict[ProfileKey, int] = {}
        self._keys: list[ProfileKey | None] = []
        self._free: list[int] = []
        self._rhythms = np.zeros((_COLUMNS, LEAST_ROWS))
        self._swept = 0
        self._found: Counter[str] = Counter()
        self._now = 0

    def hear(self, keys: Sequence[ProfileKey], at: int) -> None:
        """Note that profiles were heard; records of one batch are heard once, and together.

        Args:
            at: newest timestamp of the batch, epoch milliseconds. Time goes by that, so a backlog
                that is worked off is no silence.
        """
        self._hear(self._places(keys, at), at)

    def hear_rows(self, rows: ProfileTable, which: Integers, at: int) -> None:
        """The same for profiles of the table, whose rows store their positions here."""
        places = rows.heard(which)
        new = places == NOT_IN_MEMORY
        if new.any():
            places[new] = self._places([rows.keys[row] for row in which[new].tolist()], at)
            rows.hear(which[new], places[new])
        self._hear(places, at)

    def _hear(self, places: Integers, at: int) -> None:
        self.passed(at)
        last, gap, gaps = self._rhythms[:, places]
        later = at > last
        since, gaps = at - last, np.minimum(gaps + 1, MIN_INTERVALS)
        heard = np.stack([np.full_like(last, at), gap + (since - gap) / gaps, gaps])
        self._rhythms[:, places[later]] = heard[:, later]

    def _places(self, keys: Sequence[ProfileKey], at: int) -> Integers:
        """Positions of some profiles; a new one counts as heard at ``at``."""
        return np.fromiter((self._place(key, at) for key in keys), np.int64, len(keys))

    def passed(self, now: int) -> None:
        """Note that nothing older than this is still to come."""
        self._now = max(self._now, now)

    def forget(self, key: ProfileKey) -> None:
        """Remove a profile."""
        row = self._rows.pop(key, NOT_IN_MEMORY)
        if row != NOT_IN_MEMORY:
            self._keys[row] = None
            self._free.append(row)

    def sweep(self, counts: Callable[[ProfileKey], bool]) -> None:
        """Look at a slice of the profiles.

        Args:
            counts: whether a silent profile is to be counted.
        """
        part = slice(self._swept, self._swept + SLICE)
        last, gap, gaps = self._rhythms[:, part]
        silent = (gaps == MIN_INTERVALS) & (self._now - last > np.maximum(LEAST_MS, FACTOR * gap))
        for row in (np.flatnonzero(silent) + part.start).tolist():
            key = self._keys[row] if row < len(self._keys) else None
            if key is not None and counts(key):
                self._found[key[1]] += 1
        self._swept = part.stop
        if self._swept >= len(self._keys):
            self.silent, self._found, self._swept = self._found, Counter(), 0

    def _place(self, key: ProfileKey, at: int) -> int:
        known = self._rows.get(key)
        if known is not None:
            return known
        if self._free:
            row = self._free.pop()
            self._keys[row] = key
        else:
            row = len(self._keys)
            self._keys.append(key)
            if row == self._rhythms.shape[1]:
                self._rhythms = np.hstack([self._rhythms, np.zeros_like(self._rhythms)])
        self._rows[key] = row
        self._rhythms[:, row] = at, 0.0, 0
        return row
