"""Opened models within a byte budget; the least recently used is evicted first."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.kernels.layout import NOT_IN_MEMORY
from models.kernels.text.byte_strings import Integers

UNBOUNDED = 2**62


class ModelCache:
    """Opened models by their digest, each in a slot.

    Attributes:
        nbytes: of the models.
        beside: bytes of other state that the budget is for, too; models keep a quarter of it.

    Slots are reused, serial numbers are not: (slot, serial) is a weak handle, which can be checked
    for thousands of models in one vectorised comparison.
    """

    def __init__(self, budget: int = UNBOUNDED) -> None:
        self.nbytes = self.beside = 0
        self._budget = budget
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._models: list[Model | None] = []
        self._digests: list[str] = []
        self._sizes: list[int] = []
        self._serials = np.empty(0, np.int64)
        self._used = np.empty(0, np.int64)
        self._serial = 0
        self._uses = 0
        self._coldest: deque[tuple[int, int]] = deque()
        self._gone: dict[int, Model] | None = None

    def get(self, sha256: str) -> Model | None:
        """The model of a digest, if it is in memory; it counts as used."""
        slot = self._slots.get(sha256)
        if slot is None:
            return None
        self._uses += 1
        self._used[slot] = self._uses
        return self._models[slot]

    def find(self, sha256: str) -> tuple[int, int]:
        """Slot and serial number of the model of a digest; twice ``NOT_IN_MEMORY`` if it is not."""
        slot = self._slots.get(sha256, NOT_IN_MEMORY)
        return (slot, int(self._serials[slot])) if slot >= 0 else (NOT_IN_MEMORY, NOT_IN_MEMORY)

    def pin(self, slots: Integers, serials: Integers) -> NDArray[np.bool_]:
        """Which of some models are still in their slots; those count as used.

        Models that are evicted from now on stay readable, by ``model`` too, until ``unpin_all``.
        """
        self._gone = {}
        if not self._models:
            return np.zeros(len(slots), np.bool_)
        here: NDArray[np.bool_] = (self._serials[slots] == serials) & (slots >= 0)
        self._uses += 1
        self._used[slots[here]] = self._uses
        return here

    def unpin_all(self) -> None:
        """Free the models evicted since ``pin``."""
        self._gone = None

    def model(self, slot: int, serial: int) -> Model:
        """A model that was in its slot when ``pin`` was called, or was put there since."""
        model = self._models[slot] if self._serials[slot] == serial else None
        return model if model is not None else (self._gone or {})[serial]

    def put(self, sha256: str, model: Model) -> None:
        """Add a model and evict the least recently used until all fit; the new one stays."""
        if sha256 in self._slots:
            return
        slot = self._free.pop() if self._free else self._append()
        self._serial += 1
        self._uses += 1
        self._slots[sha256] = slot
        self._models[slot], self._digests[slot], self._sizes[slot] = model, sha256, model.nbytes
        self._serials[slot], self._used[slot] = self._serial, self._uses
        self.nbytes += model.nbytes
        room = max(self._budget - self.beside, self._budget // 4)
        while self.nbytes > room and len(self._slots) > 1:
            self.evict(self._digests[self._next_coldest()])

    def evict(self, sha256: str) -> None:
        """Remove a model, if it is there."""
        slot = self._slots.pop(sha256, None)
        if slot is None:
            return
        model = self._models[slot]
        if self._gone is not None and model is not None:
            self._gone[int(self._serials[slot])] = model
        self.nbytes -= self._sizes[slot]
        self._models[slot], self._serials[slot] = None, NOT_IN_MEMORY
        self._free.append(slot)

    def digests(self) -> list[str]:
        """Digests of the models that are in memory."""
        return list(self._slots)

    def _append(self) -> int:
        slot = len(self._models)
        if slot == len(self._serials):
            more = max(64, slot)
            self._serials = np.concatenate([self._serials, np.full(more, NOT_IN_MEMORY)])
            self._used = np.concatenate([self._used, np.zeros(more, np.int64)])
        self._models.append(None)
        self._digests.append("")
        self._sizes.append(0)
        return slot

    def _next_coldest(self) -> int:
        """The least recently used slot, by an order that is sorted again once it is used up."""
        while True:
            if not self._coldest:
                slots = np.array(list(self._slots.values()), np.int64)
                used = self._used[slots]
                order = np.argsort(used, kind="stable")
                self._coldest.extend(zip(used[order].tolist(), slots[order].tolist(), strict=True))
            used_at, slot = self._coldest.popleft()
            # Whoever was used since is not the coldest any more, and whoever left is not there.
            if self._used[slot] == used_at and self._serials[slot] != NOT_IN_MEMORY:
                return slot
