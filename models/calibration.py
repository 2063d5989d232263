"""From scores to thresholds and p-values that mean what they say for one profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


def sample_budget(budget: float, samples: int) -> float:
    """Budget of each of ``samples`` samples when the record that holds them may spend ``budget``.

    The most abnormal of m independent normal samples is below the threshold of a share q of them
    with probability 1 − (1 − q)^m (Šidák, 1967).
    """
    return float(-np.expm1(np.log1p(-budget) / samples))


@dataclass(frozen=True)
class Calibration:
    """Out-of-sample scores of a profile's own normal samples, ascending (the higher, the more normal).

    Ranks with the conformal (n + 1) correction (Vovk, Gammerman, Shafer, 2005) down to
    1 / (n + 1); rarer than that, the lower tail of a Student-t prediction from the same scores.
    """

    scores: Floats
    mean: float
    scale: float

    @classmethod
    def fit(cls, out_of_sample: Floats) -> Calibration:
        """Learn from the out-of-sample scores, shape (n,); NaN (no evidence) is left out."""
        scores = np.sort(out_of_sample[~np.isnan(out_of_sample)])
        n = scores.size
        mean = float(scores.mean()) if n else 0.0
        deviation = float(scores.std(ddof=1)) if n > 1 else 0.0
        floor = 1e-9 * max(abs(mean), 1e-3)
        return cls(scores, mean, max(deviation, floor) * float(np.sqrt(1.0 + 1.0 / max(n, 1))))

    def offset(self, budget: float) -> float:
        """The score below which a share ``budget`` (0–1) of the profile's normal samples falls."""
        n = self.scores.size
        rank = int(np.floor(budget * (n + 1) + 1e-9))
        if rank >= 1:
            return float(self.scores[min(rank, n) - 1])
        tail = self.mean + self.scale * float(special.stdtrit(max(n - 1, 1), budget))
        return min(tail, float(self.scores[0])) if n else tail

    def p_values(self, scores: Floats) -> Floats:
        """Share of normal samples at least as abnormal as each score, shape (n,), above 0."""
        n = self.scores.size
        below = np.searchsorted(self.scores, scores, side="right")
        ranked = (below + 1.0) / (n + 1.0)
        tail = special.stdtr(max(n - 1, 1), (scores - self.mean) / self.scale)
        return np.asarray(np.where(below == 0, np.minimum(ranked, tail), ranked), dtype=np.float64)

    @property
    def spread(self) -> float:
        """Spread of the out-of-sample scores."""
        return self.scale
