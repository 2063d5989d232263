"""The sweep of orphans: artefacts of aborted transactions, which nothing announces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

from models.naming import profile_directory
from processor.artifacts.storage import Storage
from processor.records import ProfileKey

DAY_MS = 24 * 3600 * 1000
EVERY_MS = 3600 * 1000
PROFILES_AT_A_TIME = 50
SECONDS_AT_A_TIME = 0.05


Announced = Callable[[ProfileKey], set[str] | None]


class OrphanCollector:
    """Deletes artefacts older than a day that their profile's announcements do not name.

    A candidate that waits for its scorer is younger than that, and a profile of another process
    is not looked at. Some profiles at a time, once an hour for each, and no longer than records
    can wait for.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._left: list[ProfileKey] = []
        self._began = 0

    def collect_some(self, profiles: Iterable[ProfileKey], announced: Announced, now: int) -> None:
        """Sweep some more profiles.

        Args:
            profiles: all that this process has.
            announced: paths of a profile's announced artefacts; None if it is gone.
            now: epoch milliseconds.
        """
        if not self._left and now - self._began >= EVERY_MS:
            self._began = now
            self._left = list(profiles)
        until = monotonic() + SECONDS_AT_A_TIME
        for _ in range(min(PROFILES_AT_A_TIME, len(self._left))):
            key = self._left.pop()
            partition, kind, profile_id = key
            kept = announced(key)
            if kept is None:
                continue
            directory = profile_directory(kind, profile_id, partition)
            if not self._storage.erase(directory, kept, before=now - DAY_MS):
                # A store that does not answer is asked again in an hour, not at every turn.
                self._left.clear()
            if not self._left or monotonic() > until:
                break
