"""Compiled robust regression for the weights of a forecast."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

ROUNDS, DEVIATIONS = 4, 2.0


@njit(nogil=True, cache=True, error_model="numpy")
def robust_ridge(features, target, penalty, errors):
    """Weights of ridge regression with Huber's loss (Huber, 1964), by reweighting.

    Args:
        features: shape (n, d), n ≥ 1.
        target: shape (n,).
        penalty: of each weight, in its feature's root mean square.
        errors: out, shape (n,), those of the weights.
    """
    n, width = features.shape
    size = np.empty(width)
    for k in range(width):
        total = 0.0
        for row in range(n):
            total += features[row, k] * features[row, k]
        size[k] = max(math.sqrt(total / n), 1e-9)
    trust = np.ones(n)
    gram, weights = np.empty((width, width)), np.empty(width)
    for _ in range(ROUNDS):
        gram[:] = 0.0
        weights[:] = 0.0
        total = 0.0
        for row in range(n):
            total += trust[row]
            for k in range(width):
                part = trust[row] * features[row, k] / size[k]
                weights[k] += part * target[row]
                for other in range(k + 1):
                    gram[k, other] += part * features[row, other] / size[other]
        for k in range(width):
            gram[k, k] += penalty * total / n + 1e-9
        _solve(gram, weights)
        weights /= size
        for row in range(n):
            expected = 0.0
            for k in range(width):
                expected += features[row, k] * weights[k]
            errors[row] = target[row] - expected
        absolute = np.abs(errors)
        spread = 1.4826 * np.median(absolute)
        if spread == 0.0:
            spread = absolute.mean()
        if spread == 0.0:
            break
        for row in range(n):
            trust[row] = min(1.0, DEVIATIONS * spread / max(absolute[row], 1e-12))
    return weights


@njit(nogil=True, cache=True, error_model="numpy")
def _solve(gram, right):
    """Solve a positive definite system in place, by Cholesky; ``gram`` holds its lower half."""
    width = right.size
    for k in range(width):
        for other in range(k + 1):
            total = gram[k, other]
            for inner in range(other):
                total -= gram[k, inner] * gram[other, inner]
            if k == other:
                gram[k, k] = math.sqrt(max(total, 1e-12))
            else:
                gram[k, other] = total / gram[other, other]
    for k in range(width):
        for inner in range(k):
            right[k] -= gram[k, inner] * right[inner]
        right[k] /= gram[k, k]
    for k in range(width - 1, -1, -1):
        for inner in range(k + 1, width):
            right[k] -= gram[inner, k] * right[inner]
        right[k] /= gram[k, k]
