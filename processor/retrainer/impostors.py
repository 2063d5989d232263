"""The gallery: some samples of other profiles, which the gate takes for impostors."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from processor.records import ProfileKey

CAPACITY = 128

Floats = NDArray[np.float64]


class Impostors:
    """The newest admitted sample of some profiles of each kind and set of features.

    A profile has one place, which it may share with others; so the gallery stays small however
    many profiles there are.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, tuple[str, ...]], dict[int, tuple[ProfileKey, Floats]]] = {}

    def note(self, key: ProfileKey, names: tuple[str, ...], row: Floats) -> None:
        """Keep a sample, shape (features,)."""
        partition, kind, profile_id = key
        place = crc32(f"{partition}:{profile_id}".encode()) % CAPACITY
        self._rows.setdefault((kind, names), {})[place] = (key, row)

    def strangers(self, key: ProfileKey, names: tuple[str, ...]) -> Floats:
        """Samples of other profiles with the same features, shape (m, features)."""
        held = self._rows.get((key[1], names), {})
        rows = [row for owner, row in held.values() if owner != key]
        return np.array(rows) if rows else np.empty((0, len(names)))

    def forget(self, key: ProfileKey) -> None:
        """Drop what is kept of a profile."""
        for held in self._rows.values():
            for place in [place for place, (owner, _) in held.items() if owner == key]:
                del held[place]
