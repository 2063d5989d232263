"""Silence: which active profiles have not been heard for longer than is usual for them.

Best effort, in memory: it begins anew at an assignment, and knows a profile's rhythm once it was
heard a few times. About 300 bytes a profile, nothing per record, and a slice of profiles a look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from processor.records import ProfileKey

LEAST_MS = 60_000
"""A silence below this is none, however quick the profile usually is."""

FACTOR = 10
"""A silence of so many mean gaps is longer than usual."""

GAPS = 8
"""Gaps before a profile's rhythm is known, and the memory of their mean."""

SLICE = 2000
"""Profiles looked at in one go, twice a second: about a millisecond."""


Rhythm = tuple[int, float, int]
"""When a profile was last heard, its exponentially weighted mean gap (both in milliseconds), and
how many gaps there were, up to ``GAPS``. A plain tuple: it is made for each profile of a batch."""


class Silence:
    """The rhythms of the active profiles, and how many were silent at the last sweep."""

    def __init__(self) -> None:
        self.silent: Counter[str] = Counter()
        """Profiles by kind, as of the last whole sweep."""
        self._rhythms: dict[ProfileKey, Rhythm] = {}
        self._left: list[ProfileKey] = []
        self._found: Counter[str] = Counter()
        self._now = 0

    def hear(self, keys: Iterable[ProfileKey], at: int) -> None:
        """Note that profiles were heard; records of one batch are heard once, and together.

        Args:
            at: newest timestamp of the batch, epoch milliseconds. Time goes by that, so a backlog
                that is worked off is no silence.
        """
        self.passed(at)
        rhythms = self._rhythms
        for key in keys:
            before = rhythms.get(key)
            if before is None:
                rhythms[key] = (at, 0.0, 0)
                continue
            last, gap, gaps = before
            if at > last:
                gaps = gaps + 1 if gaps < GAPS else GAPS
                rhythms[key] = (at, gap + (at - last - gap) / gaps, gaps)

    def passed(self, now: int) -> None:
        """Note that nothing older than this is still to come."""
        self._now = max(self._now, now)

    def forget(self, key: ProfileKey) -> None:
        """Let go of a profile."""
        self._rhythms.pop(key, None)

    def sweep(self, counts: Callable[[ProfileKey], bool]) -> None:
        """Look at a slice of the profiles.

        Args:
            counts: whether a profile that is silent is one to be counted.
        """
        for key in self._left[-SLICE:]:
            rhythm = self._rhythms.get(key)
            if rhythm is not None and self._is_silent(rhythm) and counts(key):
                self._found[key[1]] += 1
        del self._left[-SLICE:]
        if not self._left:
            self.silent, self._found = self._found, Counter()
            self._left = list(self._rhythms)

    def _is_silent(self, rhythm: Rhythm) -> bool:
        last, gap, gaps = rhythm
        return gaps == GAPS and self._now - last > max(LEAST_MS, FACTOR * gap)
