"""Expiry: which profiles have been silent for ``TELLTALE_PROFILE_TTL_DAYS``.

A record that is learnt from or scored counts as heard. No profile expires too early:

- silence counts up to a time before which all that was sent is answered, never up to the clock
  while records still wait;
- a clock that jumps ahead between two turns of the loop is no silence: after it, all begin anew;
- after an assignment a profile that learns was last heard when its newest sample was stored, and
  one with a model, which stores nothing as it is scored, at that assignment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from processor.records import ProfileKey

DAY_MS = 24 * 3600 * 1000
JUMP_MS = 3600 * 1000
"""Time between two turns of the loop beyond which the clock, or the process, was not itself."""


class ProfileTtl:
    """When each profile in memory was last heard, the longest silent first."""

    def __init__(self, days: float) -> None:
        self._ttl = round(days * DAY_MS)
        self._heard: OrderedDict[ProfileKey, int] = OrderedDict()
        self._loaded: dict[ProfileKey, int | None] = {}
        self._answered = 0
        self._now = 0
        self._since = 0

    @property
    def enabled(self) -> bool:
        """Whether profiles expire at all."""
        return self._ttl > 0

    @property
    def until(self) -> int:
        """Profiles last heard at or before this time, epoch ms, have expired; 0: none has."""
        until = min(self._answered, self._now) - self._ttl
        return until if self.enabled and until >= self._since else 0

    def load(self, key: ProfileKey, stored: int | None) -> None:
        """Take a profile of a partition just assigned.

        Args:
            stored: epoch milliseconds at which its newest sample was stored; None if it may
                have been heard up to now.
        """
        if self.enabled:
            self._loaded[key] = stored

    def turn(self, now: int) -> None:
        """Take note of the time, and take over what was loaded, the longest silent first."""
        if self._now and abs(now - self._now) > JUMP_MS:
            self._since = now
        self._now = now
        if self._loaded:
            found = ((now if at is None else min(at, now), key) for key, at in self._loaded.items())
            for at, key in sorted(found):
                self._heard[key] = at
            self._loaded = {}

    def hear(self, keys: Iterable[ProfileKey], now: int) -> None:
        """Note profiles that were heard now."""
        if self.enabled:
            for key in keys:
                self._heard[key] = now
                self._heard.move_to_end(key)

    def forget(self, keys: Iterable[ProfileKey]) -> None:
        """Remove profiles."""
        if self.enabled:
            for key in keys:
                self._heard.pop(key, None)
                self._loaded.pop(key, None)

    def heard(self, key: ProfileKey) -> int:
        """When a profile was last heard."""
        at = self._loaded.get(key)
        return self._heard.get(key, 0) if at is None else at

    def answered(self, until: int) -> None:
        """Note that whatever was sent before a time is answered."""
        self._answered = until

    def silent(self, most: int) -> list[ProfileKey]:
        """The profiles that are silent for too long, at most so many."""
        found: list[ProfileKey] = []
        for key, at in self._heard.items():
            if len(found) == most or at > self.until:
                break
            found.append(key)
        return found
