"""The sweep of orphans: artefacts of aborted transactions, which nothing announces."""

from __future__ import annotations

from models.artifacts import profile_directory
from processor.records import ProfileKey
from processor.state import Active, State
from processor.storage import Storage

DAY_MS = 24 * 3600 * 1000
EVERY_MS = 3600 * 1000
PROFILES_AT_A_TIME = 50


class Sweep:
    """Deletes artefacts older than a day that their profile's announcements do not name.

    A candidate that waits for its scorer is younger than that, and a profile of another process
    is not looked at. Some profiles at a time, once an hour for each.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._left: list[ProfileKey] = []
        self._began = 0

    def some(self, state: State, now: int) -> None:
        """Sweep some more profiles.

        Args:
            now: epoch milliseconds.
        """
        if not self._left and now - self._began >= EVERY_MS:
            self._began = now
            self._left = state.keys()
        for _ in range(min(PROFILES_AT_A_TIME, len(self._left))):
            key = self._left.pop()
            partition, kind, profile_id = key
            profile = state.profile(key)
            kept: set[str] = set()
            if isinstance(profile, Active):
                announced = profile.record
                kept = {announced.artifact, *(old.artifact for old in announced.history)}
            if profile is not None:
                directory = profile_directory(kind, profile_id, partition)
                self._storage.erase(directory, kept, before=now - DAY_MS)
