"""Labels in memory: so many of each word, for statistics that need no query."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable


class Labels:
    """The label of each verdict that has one; people set them, so there are few."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, str, str]] = {}
        self._lock = threading.Lock()

    def put(self, verdict_id: str, kind: str, profile_id: str, label: str) -> None:
        """Take in a label."""
        with self._lock:
            self._held[verdict_id] = (kind, profile_id, label)

    def drop(self, verdict_id: str) -> None:
        """Take in that a label was taken back."""
        with self._lock:
            self._held.pop(verdict_id, None)

    def forget(self, kind: str, profile_id: str) -> None:
        """Drop those of a profile."""
        with self._lock:
            gone = [v for v, held in self._held.items() if held[:2] == (kind, profile_id)]
            for verdict_id in gone:
                del self._held[verdict_id]

    def count(self, sees: Callable[[str], bool]) -> Counter[str]:
        """How many of each word, of the profiles that somebody sees."""
        with self._lock:
            held = list(self._held.values())
        return Counter(label for _, profile_id, label in held if sees(profile_id))
