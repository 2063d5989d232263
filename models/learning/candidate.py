"""Candidates: which samples one learns, and what the gate says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors.base import Floats
from models.learning.gate import GateResult

Policy = Literal["grow", "slide", "blend"]


@dataclass(frozen=True)
class Candidate:
    """A retrained model and what the gate says of it.

    Attributes:
        model: ready to be packed; the original samples stand first in its samples, whatever the
            policy.
        outcome: whether it may be proposed, why, and the figures.
    """

    model: Model
    outcome: GateResult


def training_indices(original: int, pool: int, policy: Policy) -> NDArray[np.int64]:
    """Positions of the samples that a candidate learns, ascending; the originals come first.

    ``grow``: all. ``slide``: the latest, as many as there were originals. ``blend``: the originals
    and as many of the latest.
    """
    everything = np.arange(original + pool)
    match policy:
        case "grow":
            return everything
        case "slide":
            return everything[-original:]
        case "blend":
            return np.concatenate([everything[:original], everything[original:][-original:]])
    assert_never(policy)


def union_indices(count: int, *positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions below ``count`` that are among any of these, ascending."""
    told = np.zeros(count, dtype=np.bool_)
    for some in positions:
        told[some] = True
    return np.flatnonzero(told)


def times_of(current: Model, cold_start: int, times: Floats | None) -> Floats | None:
    """Times of original and pooled samples, shape (c + n,); None unless each has one."""
    if current.times is None or times is None:
        return None
    return np.concatenate([current.times[:cold_start], times])
