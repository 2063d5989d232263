"""Many packed models in one array, so that one compiled call scores a batch over all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models import _kernels
from models.blend import Blend
from models.detector import Detector

Floats = NDArray[np.float64]
Handles = NDArray[np.int64]

SMALLEST = 1024  # words


class Arena:
    """Packed detectors of one process, added and removed one by one.

    The array doubles when it is full and halves its rest when three quarters are free, so that
    adding costs amortised time proportional to the model. Freed space is used again at the next
    move. Not thread-safe but for ``score`` and ``contributions``, which only read.
    """

    def __init__(self) -> None:
        self._words = np.zeros(SMALLEST, dtype=np.uint64)
        self._end = 0
        self._used = 0
        self._starts = np.full(16, -1, dtype=np.int64)
        self._sizes = np.zeros(16, dtype=np.int64)
        self._free = list(range(15, -1, -1))

    def __len__(self) -> int:
        return self._starts.size - len(self._free)

    @property
    def nbytes(self) -> int:
        """Bytes allocated for packed models, those kept free included."""
        return int(self._words.nbytes)

    def add(self, detector: Detector) -> int:
        """Copy a fitted detector's packed model in; its handle, valid until it is removed."""
        block = detector.block_
        if self._end + block.size > self._words.size:
            self._move(block.size)
        if not self._free:
            self._more_handles()
        handle = self._free.pop()
        self._words[self._end : self._end + block.size] = block
        self._starts[handle], self._sizes[handle] = self._end, block.size
        self._end += block.size
        self._used += block.size
        return handle

    def remove(self, handle: int) -> None:
        """Forget a model and give its space back.

        Raises:
            KeyError: no model has this handle.
        """
        if not 0 <= handle < self._starts.size or self._starts[handle] < 0:
            raise KeyError(f"handle {handle} holds no model")
        self._used -= int(self._sizes[handle])
        self._starts[handle], self._sizes[handle] = -1, 0
        self._free.append(handle)
        if self._words.size > SMALLEST and 4 * self._used < self._words.size:
            self._move(0)

    def score(self, handles: Handles, counts: Handles, values: Floats) -> Floats:
        """Scores of a batch, (sum of counts,): bit for bit what each detector alone would give.

        Args:
            handles: model of each group of rows, (g,). A model may stand in several groups.
            counts: rows of each group, (g,).
            values: the rows of all groups one after another, flat, each as wide as its model.

        Raises:
            KeyError: a handle without a model.
            ValueError: ``values`` has not as many numbers as the groups' rows.
        """
        starts, counts, values = self._check(handles, counts, values)
        out = np.empty(int(counts.sum()))
        _kernels.score_groups(self._words, starts, counts, values, out)
        return out

    def contributions(self, handles: Handles, counts: Handles, values: Floats) -> Floats:
        """Share of each feature in each row's abnormality, flat, laid out as ``values``.

        Arguments and errors as for ``score``.
        """
        starts, counts, values = self._check(handles, counts, values)
        out = np.empty(values.size)
        _kernels.explain_groups(self._words, starts, counts, values, out)
        return out

    def _check(
        self, handles: Handles, counts: Handles, values: Floats
    ) -> tuple[Handles, Handles, Floats]:
        handles = np.asarray(handles, dtype=np.int64)
        counts = np.require(counts, np.int64, ["C", "W"])
        values = np.require(values, np.float64, ["C", "W"])
        inside = (handles >= 0) & (handles < self._starts.size)
        starts = np.where(inside, self._starts[np.where(inside, handles, 0)], -1)
        if (starts < 0).any():
            raise KeyError(f"handle {int(handles[starts < 0][0])} holds no model")
        if handles.shape != counts.shape or handles.ndim != 1 or (counts < 0).any():
            raise ValueError("handles and counts are not as many, or a count is below 0")
        expected = int((self._words.view(np.int64)[starts] * counts).sum())
        if values.ndim != 1 or values.size != expected:
            raise ValueError(f"values has shape {values.shape}, the groups need ({expected},)")
        return starts, counts, values

    def _move(self, wanted: int) -> None:
        """Close the gaps, in an array with room for ``wanted`` words more and as many again."""
        words = np.zeros(max(SMALLEST, 2 * (self._used + wanted)), dtype=np.uint64)
        self._end = 0
        held = np.flatnonzero(self._starts >= 0)
        for handle in held[np.argsort(self._starts[held])]:
            start, size = int(self._starts[handle]), int(self._sizes[handle])
            words[self._end : self._end + size] = self._words[start : start + size]
            self._starts[handle] = self._end
            self._end += size
        self._words = words

    def _more_handles(self) -> None:
        held = self._starts.size
        self._starts = np.concatenate([self._starts, np.full(held, -1, dtype=np.int64)])
        self._sizes = np.concatenate([self._sizes, np.zeros(held, dtype=np.int64)])
        self._free = list(range(2 * held - 1, held - 1, -1))


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache on disk, before the first record."""
    samples = np.random.default_rng(0).normal(size=(8, 2))
    samples[0, 0] = np.nan
    parts = ("forest", "deviation", "recent", "whitened")
    detector = Blend(tuple((part, 1.0) for part in parts), n_estimators=2).fit(samples)
    detector.score_samples(samples)
    detector.contributions(samples)
