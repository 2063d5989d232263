"""Compiled measure of how much samples resemble those that came before them."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def neighbor_correlation(samples, size, cut, out):
    """Correlation of each sample with the next, within each of some runs.

    Args:
        samples: (runs × size, d), run after run, NaN where absent.
        size: samples of a run.
        cut: deviations at which values are cut before they are compared.
        out: (runs,), filled: the mean over the features that vary and that more than half of the
            run's samples have; NaN if there are none.
    """
    width = samples.shape[1]
    values = np.empty(size)
    for run in range(out.size):
        begin = run * size
        known, total = 0, 0.0
        for feature in range(width):
            count, mean = 0, 0.0
            for s in range(size):
                value = samples[begin + s, feature]
                values[s] = value
                if value == value:
                    count += 1
                    mean += value
            if count <= size // 2:
                continue
            mean /= count
            spread = 0.0
            for s in range(size):
                values[s] -= mean
                if values[s] == values[s]:
                    spread += values[s] * values[s]
            limit = cut * np.sqrt(spread / count)
            mean = 0.0
            for s in range(size):
                if values[s] == values[s]:
                    values[s] = min(max(values[s], -limit), limit)
                    mean += values[s]
            mean /= count
            square, both, pairs = 0.0, 0.0, 0
            before = np.nan
            for s in range(size):
                value = values[s] - mean
                if value == value:
                    square += value * value
                    if before == before:
                        both += before * value
                        pairs += 1
                before = value
            if square > 0.0:
                known += 1
                total += (both / max(pairs, 1)) / (square / count)
        out[run] = total / known if known > 0 else np.nan
