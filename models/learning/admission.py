"""Which accepted samples are learnt from: not all borderline ones, none behind an anomaly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Admitted = Literal["clear", "borderline", "analyst", "guarded", "spared"]

ADMITTED = frozenset({"clear", "borderline", "analyst"})
"""The words with which a sample comes into the pool."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What decides over a sample; the defaults are those of docs/learning.md.

    Attributes:
        clear_from: p-value from which on a sample is clearly normal, 0–1.
        borderline_share: share of the samples below it that are learnt, 0–1.
        guard: so many records after an anomaly are not learnt from.
    """

    clear_from: float = 0.1
    borderline_share: float = 0.5
    guard: int = 10


DEFAULT = Admission()

UNGUARDED = Admission(guard=0)
"""For kinds whose new normal is adopted: a profile that has moved alarms so often that nearly all
of its normal records stand near behind an anomaly, and no retraining could follow it."""


def admitted(
    p_value: float | None,
    since_anomaly: int | None,
    source: str,
    draw: float,
    rules: Admission = DEFAULT,
) -> Admitted:
    """Whether an accepted sample comes into the pool, and as what.

    ``clear``, ``borderline`` and ``analyst`` do; ``guarded`` (too near behind an anomaly) and
    ``spared`` (borderline, and not drawn) do not. What an analyst accepted always does.

    An unknown ``since_anomaly`` does not guard: a scorer that has just started knows of no
    anomaly until it meets the first one, which for many profiles is weeks away, and a pool that
    waited for it would starve. What that gives away is one guard period a restart.

    Args:
        p_value: the smallest of the record's samples; None if the detector abstained.
        since_anomaly: records since the profile's last anomaly, 1 for the next one after it; None
            when unknown.
        source: ``scorer`` or ``analyst``.
        draw: uniform in [0, 1), from ``draw``.
        rules: what decides.
    """
    if source == "analyst":
        return "analyst"
    if since_anomaly is not None and since_anomaly <= rules.guard:
        return "guarded"
    if p_value is None:
        return "spared"
    if p_value >= rules.clear_from:
        return "clear"
    return "borderline" if draw < rules.borderline_share else "spared"


def draw(seed: int, verdict_id: str) -> float:
    """A uniform number in [0, 1), the same for the same verdict and seed."""
    digest = hashlib.blake2b(f"{seed}:{verdict_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
