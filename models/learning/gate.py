"""The gate: whether a retrained model may take the place of the one it was trained from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

SURELY_REJECTED = 0.01
"""Stand-in impostors with p-values up to this by the model in force are not compared.

A model rejects them for certain, so they do not show whether a candidate is more lenient. The same
p-value decides whether extrapolated samples count as noticed, whatever the alert budget.
"""

# P-values are compared as normal quantiles within these bounds.
LEAST, MOST = 1e-4, 1.0 - 1e-3


@dataclass(frozen=True, slots=True)
class Gate:
    """What counts as noise; the defaults are measured in docs/learning.md.

    Attributes:
        significance: chance at which the test of false alarms refuses a candidate that makes as
            many as the budget allows, 0–1.
        leniency: how many deviations more normal a candidate may find the stand-in impostors.
        astray: share of the samples ahead that a candidate may take for normal where version 1
            does not, 0–1.
        moving: deviations from which on the latest samples count as moving, see ``departed``.
        departed: how many deviations more abnormal than its own version 1 may find the latest
            samples.
        resolved: calibration scores below the threshold at which impostors are counted.
        deviations: by how many standard deviations of its own false alarm rate the threshold of
            version 1 may have been too strict by chance.
        creep: share of the stand-in impostors that all versions after it may lose, 0–1.
        leaves: whether a candidate may leave the original samples behind: alarms on them do not
            count.
    """

    significance: float = 0.002
    leniency: float = 2.0
    departed: float = 2.5
    astray: float = 0.08
    moving: float = 0.5
    resolved: float = 10.0
    deviations: float = 2.0
    creep: float = 0.02
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate says of a candidate.

    Attributes:
        passed: whether it may be proposed.
        why: one phrase, for the lifecycle event.
        figures: what was measured: finite JSON numbers.
    """

    passed: bool
    why: str
    figures: Mapping[str, float | int]


DEFAULT = Gate()

FOLLOWING = Gate(departed=math.inf, astray=1.0, leaves=True)
"""For a drift that was told, of kinds whose new normal is adopted: moving on is no fault then, nor
is leaving the old normal behind."""

GUESSED = replace(FOLLOWING, leniency=math.inf, creep=1.0)
"""The same where the profile began with so few samples that they did not tell how far normal goes:
being wider is no fault either."""


def evaluate_candidate(
    held_back: Floats,
    original: Floats,
    latest: Floats,
    first: Floats,
    before: Floats,
    after: Floats,
    ahead: tuple[Floats, Floats],
    *,
    alert_budget: float,
    originals: int,
    calibrated: int,
    worth: float = 1.0,
    rules: Gate = DEFAULT,
) -> GateResult:
    """Judge a candidate by p-values; NaN is no evidence and is left out.

    Args:
        held_back: out-of-sample p-values of accepted samples, shape (h,).
        original: out-of-sample p-values of the profile's original samples, shape (c,).
        latest: p-values of the latest pooled samples by version 1, shape (l,).
        first: p-values of the stand-in impostors by version 1, shape (k,).
        before: by the model in force, shape (k,).
        after: by the candidate, shape (k,).
        ahead: by version 1 and by the candidate, of samples that go on where the latest ones
            have gone, shape (a,) each; none where these have not moved.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        originals: how many scores calibrated version 1, 1 or more.
        calibrated: how many scores calibrated the model in force.
        worth: how many independent samples each one stands for, above 0 to 1.
        rules: what counts as noise.
    """
    figures: dict[str, float | int] = {}
    whys: list[str] = []
    for name, p_values in (("held back", held_back), ("original", original)):
        alarms, samples = int((p_values < alert_budget).sum()), int((~np.isnan(p_values)).sum())
        key = name.replace(" ", "_")
        figures |= {f"{key}_samples": samples, f"{key}_alarms": alarms}
        counted = round(worth * alarms), max(round(worth * samples), 1)
        if key == "original" and rules.leaves:
            continue
        if counted[0] and at_least(*counted, alert_budget) < rules.significance:
            whys.append(f"{alarms} of {samples} {name} samples would be alarms")
    departed = departure(latest, originals)
    known = ~np.isnan(first) & ~np.isnan(before) & ~np.isnan(after)
    old, new, calibrated = before[known], after[known], max(calibrated, 1)
    lenient = leniency(old, new, calibrated)
    level = max(alert_budget, min(rules.resolved / calibrated, 0.5))
    strict = level - rules.deviations * math.sqrt(level * (1.0 - level) / calibrated)
    rejected, rejected_first = share(new < level), share(first[known] < strict)
    figures |= {
        "impostors": int(known.sum()),
        "rejected_before": int((old < alert_budget).sum()),
        "rejected_after": int((new < alert_budget).sum()),
        "leniency": lenient,
        "departure": departed,
        "rejected_share": rejected,
        "rejected_first_share": rejected_first,
    }
    stopped_first, stopped = (share(p_values < SURELY_REJECTED) for p_values in ahead)
    if ahead[0].size:
        figures |= {"ahead_first_share": stopped_first, "ahead_share": stopped}
    if departed > rules.moving and stopped < stopped_first - rules.astray:
        whys.append(f"rejects {stopped:.0%} of what lies ahead, version 1 does {stopped_first:.0%}")
    if departed > rules.departed:
        whys.append(f"version 1 finds the latest samples {departed:.1f} deviations more abnormal")
    if lenient > rules.leniency:
        whys.append(f"finds the stand-in impostors {lenient:.1f} deviations more normal")
    if rejected < rejected_first - rules.creep:
        whys.append(
            f"rejects {rejected:.0%} of the stand-in impostors, version 1 does {rejected_first:.0%}"
        )
    return GateResult(not whys, "; ".join(whys) or "no worse", figures)


def leniency(before: Floats, after: Floats, calibrated: int) -> float:
    """By how many deviations p-values have risen, as normal quantiles; 0 if nothing tells.

    The deviation is that of a common shift, 1/√``calibrated`` (the calibration's own noise), plus
    the standard error of the mean over the stand-in impostors.
    """
    unsure = before > SURELY_REJECTED
    if not unsure.any():
        return 0.0
    rise = quantiles(after[unsure]) - quantiles(before[unsure])
    noise = 1.0 / math.sqrt(calibrated) + float(rise.std()) / math.sqrt(rise.size)
    return float(rise.mean()) / noise


def departure(latest: Floats, originals: int) -> float:
    """By how many deviations p-values lie below uniform ones, as normal quantiles; 0 for none.

    The deviation is the calibration's own noise, 1/√``originals``, plus the standard error of the
    mean of so many uniform ones.
    """
    known = latest[~np.isnan(latest)]
    if not known.size:
        return 0.0
    noise = 1.0 / math.sqrt(originals) + 1.0 / math.sqrt(known.size)
    return -float(quantiles(known).mean()) / noise


def quantiles(p_values: Floats) -> Floats:
    """P-values as normal quantiles, bounded."""
    return np.asarray(special.ndtri(np.clip(p_values, LEAST, MOST)), dtype=np.float64)


def at_least(successes: int, trials: int, chance: float) -> float:
    """Chance of so many successes or more (binomial); ``successes`` from 1 on."""
    return float(special.bdtrc(successes - 1, trials, chance))


def share(said: NDArray[np.bool_]) -> float:
    """Share of what is true, 0 of nothing."""
    return float(said.mean()) if said.size else 0.0
