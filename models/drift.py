"""Drift told from anomaly: a bet that p-values pile up low, two numbers a profile.

While a model fits, the p-values of its verdicts are uniform. A gambler who stakes a part of the
wealth on low p-values then does not gain in the long run; one who gains has found drift. The
stakes are linear in p, so a single p-value multiplies the wealth by less than 1.7 however gross
the anomaly, and it takes at least two dozen in a row to be flagged.
"""

from __future__ import annotations

from typing import NamedTuple

BOUND = 100_000.0
"""Wealth from which on a profile drifts: a false flag in n records has a chance below n/BOUND."""

MEAN = 0.4
"""Least mean of p-values that still fits.

A calibration on n samples is itself off by about 0.3/√n; a bet against exactly 0.5 would find
that out, and call it drift.
"""

GENTLE, BOLD = 0.3, 0.8
"""Two stakes: one for slight shifts over many records, one for large ones over few."""

# Wealth beyond this means the same, and the product stays far from overflow.
MOST = 1e12


class Drift(NamedTuple):
    """What is known of a profile: the wealth of both stakes since they last had nothing."""

    gentle: float = 1.0
    bold: float = 1.0


NONE = Drift()
"""Of a profile that has just begun, or has a new model."""


def update(state: Drift, p_value: float) -> Drift:
    """The state after one more record's p-value, in (0, 1]; NaN tells nothing.

    Wealth below 1 begins anew at 1: drift that starts late is found as soon as drift that starts
    at once (Page's CUSUM of a test martingale; Vovk, Petej, Nouretdinov, Ahlberg, Carlsson,
    Gammerman, 2021, "Retrain or not retrain").
    """
    edge = 2.0 * (MEAN - p_value)
    if edge != edge:
        return state
    gentle = (state[0] if state[0] > 1.0 else 1.0) * (1.0 + GENTLE * edge)
    bold = (state[1] if state[1] > 1.0 else 1.0) * (1.0 + BOLD * edge)
    return Drift(gentle if gentle < MOST else MOST, bold if bold < MOST else MOST)


def drifting(state: Drift) -> bool:
    """Whether p-values have been too low for too long to be chance.

    Where p-values are independent with mean ``MEAN`` or more, the chance that this is so at any of
    n records is at most n / ``BOUND`` (Ville's inequality for the martingale from each start).
    """
    return (state[0] + state[1]) * 0.5 >= BOUND
