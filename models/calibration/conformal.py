"""From scores to thresholds and p-values that mean what they say for one profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from models.kernels import calibration as calibration_kernels
from models.naming import pickled_as

Floats = NDArray[np.float64]
ScoreHeldOut = Callable[[NDArray[np.int64]], Floats]

FEW = 20
"""Below so many samples the whole distribution is a Student-t prediction."""

BLOCKS_FROM = 10
"""Below so many samples none can be spared for held-out blocks."""

BLOCKS_BELOW = 75
"""Below so many samples held-out blocks calibrate best: docs/calibration.md."""

DEPENDENCE_SHARE = 0.35
"""Share of the latest block below the left-out scores' 10 % threshold that shows dependence."""

FOLDS = 5
"""Number of held-out blocks."""

CONFIDENCE = 0.95
"""Of a handful's threshold: chance that it keeps the budget, see ``tolerance``."""

TAIL_SHARE = 0.25
"""Share of the samples, the most abnormal, from which the tail's scale is learnt."""

TINY = calibration_kernels.TINY

# Differences below this share of a score are rounding.
NOISE = 1e-9


@lru_cache(maxsize=1024)
def sample_budget(budget: float, samples: int) -> float:
    """Budget of each of ``samples`` samples when the record that holds them may spend ``budget``.

    The most abnormal of m independent normal samples is below the threshold of a share q of them
    with probability 1 − (1 − q)^m (Šidák, 1967).
    """
    return float(-np.expm1(np.log1p(-budget) / samples))


@lru_cache(maxsize=1024)
def tolerance(samples: int, share: float) -> float:
    """How many times wider a tolerance limit is than a limit of prediction, 1 or more.

    Beyond the prediction limit of n normal samples lies ``share`` of all others in the mean over
    the draws of the n; beyond the tolerance limit at most that for ``CONFIDENCE`` of the draws
    (Wilks, 1941; its factor is a quantile of the noncentral t distribution: Owen, 1968).
    """
    n = max(samples, 2)
    root, far = np.sqrt(n), -special.ndtri(share)
    limit = special.nctdtrit(n - 1, far * root, CONFIDENCE) / root
    predicted = -special.stdtrit(n - 1, share) * np.sqrt(1.0 + 1.0 / n)
    return max(1.0, float(limit / predicted))


def blocked_cv_scores(samples: int, held_out: ScoreHeldOut, folds: int = FOLDS) -> Floats:
    """Score of each sample by a model of the other blocks of consecutive samples, shape (n,).

    Args:
        samples: how many there are.
        held_out: positions of a block → its scores by a model of all other samples.
        folds: number of blocks.
    """
    scores = np.full(samples, np.nan)
    for block in np.array_split(np.arange(samples), min(folds, samples)):
        scores[block] = held_out(block)
    return scores


def out_of_sample(
    left_out: Floats,
    held_out: ScoreHeldOut,
    latest: Floats | None = None,
    suspected: bool = False,
    dependent: bool = False,
) -> tuple[Floats, bool]:
    """Out-of-sample scores that foretell what later samples will score, and whether in blocks.

    A sample left out alone leaves its neighbours in time in. Where these resemble it, thresholds
    from such scores give far too many alarms. Held-out blocks of neighbours do not, but judge by
    a fifth less of the samples, which with many samples costs more than it gains. So blocks count
    below ``BLOCKS_BELOW`` samples, if samples depend on one another, and else where the latest
    block contradicts: more than ``DEPENDENCE_SHARE`` of it is rarer than a tenth of the samples is
    when left out alone. Where dependence is suspected all blocks are asked.

    Args:
        left_out: scores by leave-one-out or out-of-bag, shape (n,), NaN without evidence.
        held_out: positions of a block → its scores by a model of all other samples.
        latest: scores of the latest block, where they are known already.
        suspected: an earlier version of the same profile was calibrated in blocks.
        dependent: the samples themselves show that neighbours in time resemble one another.
    """
    n = left_out.size
    if n < BLOCKS_FROM:
        return left_out, False
    if n < BLOCKS_BELOW or dependent:
        return blocked_cv_scores(n, held_out), True
    if suspected:
        looked_at = blocked_cv_scores(n, held_out)
    elif latest is not None and latest.size >= FEW:
        looked_at = latest
    else:
        looked_at = held_out(np.arange(n - n // FOLDS, n))
    threshold = Calibration.fit(left_out).offset(0.1)
    if np.sum(looked_at < threshold) > DEPENDENCE_SHARE * np.sum(~np.isnan(looked_at)):
        return looked_at if suspected else blocked_cv_scores(n, held_out), True
    return left_out, False


@pickled_as("models.calibration")
@dataclass(frozen=True)
class Calibration:
    """Out-of-sample scores of a profile's own normal samples, ascending (higher is more normal).

    The p-value of a score is continuous and increasing, and ``offset`` is its inverse: a score is
    below ``offset(budget)`` exactly when its p-value is below the budget (up to rounding).

    * Among the scores: rank / (n + 1), the conformal correction (Vovk, Gammerman, Shafer, 2005),
      linear between two scores. A tie has the p-value of its last member.
    * Rarer than 1 / (n + 1): an exponential tail of unknown scale, whose predictive distribution
      is a Pareto of the second kind (Aitchison, Dunsmore, 1975): from the least of all scores on,
      ((S + y₁) / (S + y))^k / (n + 1), where y is the excess below the (k + 1)-th lowest score
      and S the sum of the k excesses of the lowest k.
    * Below ``FEW`` scores, everywhere: Student-t prediction with n − 1 degrees of freedom.

    Attributes:
        scores: shape (n,), ascending, without NaN.
        mean: of the scores.
        spread: standard deviation of the scores, never below rounding.
        excess: S, above 0.
        origin: the (k + 1)-th lowest score.
        order: k.
        wider: below ``FEW`` scores, how many times wider than by prediction, see ``tolerance``.
    """

    scores: Floats
    mean: float
    spread: float
    excess: float
    origin: float
    order: int
    wider: float = field(default=1.0, kw_only=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled; without this, a pickle could set attributes of the class."""
        self.__dict__.update(state)

    @classmethod
    def fit(cls, out_of_sample: Floats, least: float = 0.0, wider: float = 1.0) -> Calibration:
        """Learn from the out-of-sample scores, shape (n,); NaN (no evidence) is left out.

        Args:
            least: scores do not spread less than this, however alike they are: from 0 on.
            wider: see ``Calibration``.
        """
        scores = np.sort(out_of_sample[~np.isnan(out_of_sample)])
        n = scores.size
        mean = float(scores.mean()) if n else 0.0
        spread = float(scores.std(ddof=1)) if n > 1 else 0.0
        order = max(1, round(TAIL_SHARE * n))
        rounding = NOISE * max(abs(mean), 1e-3)
        floor = max(rounding, least)
        least_excess = order * floor if spread < floor else rounding
        origin = float(scores[min(order, n - 1)]) if n else 0.0
        excess = float((origin - scores[:order]).sum())
        spread, excess = max(spread, floor), max(excess, least_excess)
        return cls(scores, mean, spread, excess, origin, order, wider=wider)

    def offset(self, budget: float) -> float:
        """The score below which a share ``budget`` (0–1) of the profile's normal samples falls.

        Never rises when the budget falls.
        """
        if self.scores.size < FEW:
            freedom, scale = self._prediction()
            return self.mean + scale * float(special.stdtrit(freedom, budget))
        return float(calibration_kernels.offset(*self._tail(), budget))

    def p_values(self, scores: Floats) -> Floats:
        """Share of normal samples at least as abnormal as each score, same shape, in (0, 1].

        NaN for NaN.
        """
        asked = np.array(scores, dtype=np.float64)
        if self.scores.size >= FEW:
            shares = np.empty_like(asked)
            calibration_kernels.p_values(*self._tail(), asked.reshape(-1), shares.reshape(-1))
            return shares
        freedom, scale = self._prediction()
        with np.errstate(over="ignore"):
            shares = special.stdtr(freedom, (asked - self.mean) / scale)
        return np.asarray(np.clip(shares, TINY, 1.0), dtype=np.float64)

    def table(self) -> Floats:
        """What the kernels need of it in one array; empty where the scores are too few for them."""
        if self.scores.size < FEW:
            return np.empty(0)
        head = (self.order, self.excess, self.origin, 0.0)
        return np.concatenate([head, self.scores])

    def _tail(self) -> tuple[Floats, float, float, int]:
        return self.scores, self.excess, self.origin, self.order

    def _prediction(self) -> tuple[int, float]:
        n = self.scores.size
        return max(n - 1, 1), self.wider * self.spread * float(np.sqrt(1.0 + 1.0 / max(n, 1)))


@pickled_as("models.calibration")
@dataclass(frozen=True)
class StudentCalibration(Calibration):
    """Calibration of minus the largest standardised distance from the mean over the features.

    Below ``FEW`` samples two-sided Student-t prediction (Geisser, 1993), Šidák-corrected over the
    features; from there on as ``Calibration``, since no real telemetry is normal.

    Attributes:
        count: training samples of the feature that has the fewest.
        features: number of features.
    """

    count: int
    features: int

    @classmethod
    def predict(
        cls,
        out_of_sample: Floats,
        count: int,
        features: int,
        least: float = 0.0,
        wider: float = 1.0,
    ) -> StudentCalibration:
        """Learn from the out-of-sample scores, shape (n,), of ``features`` features."""
        base = Calibration.fit(out_of_sample, least, wider)
        return cls(
            base.scores,
            base.mean,
            base.spread,
            base.excess,
            base.origin,
            base.order,
            count,
            features,
            wider=wider,
        )

    def offset(self, budget: float) -> float:
        """Minus the half-width of the prediction interval at ``budget``, in its deviations."""
        if self.scores.size >= FEW:
            return super().offset(budget)
        each = sample_budget(budget, self.features)
        return self.wider * float(special.stdtrit(max(self.count - 1, 1), each / 2.0))

    def p_values(self, scores: Floats) -> Floats:
        """Chance that a normal sample lies at least as far from the mean, same shape."""
        if self.scores.size >= FEW:
            return super().p_values(scores)
        scores = np.minimum(np.asarray(scores, dtype=np.float64), 0.0) / self.wider
        each = np.minimum(2.0 * special.stdtr(max(self.count - 1, 1), scores), 1.0 - 1e-16)
        shares = -np.expm1(self.features * np.log1p(-each))
        return np.asarray(np.clip(shares, TINY, 1.0), dtype=np.float64)
