"""The audit queue: verdicts that raised no alarm, drawn with a chance that is known.

Labels of alarms alone say nothing about what was missed. Each verdict is drawn or not by a hash of
its id, so that its chance does not depend on what else there is (Poisson sampling with permanent
random numbers). An estimate weighs a label by 1 divided by the chance (Horvitz, Thompson, 1952).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

BANDS = ((0.02, 1.0), (0.1, 0.5), (0.5, 0.1))
"""p-values below the first number are drawn at the rate of the second."""

REST = 0.05


@dataclass(frozen=True)
class Drawn:
    """A verdict of the queue.

    Attributes:
        chance: that it came into the queue, of all verdicts that raised no alarm.
    """

    verdict_id: str
    band: str
    chance: float
    body: dict[str, Any]


def band_of(p_value: float | None) -> tuple[str, float]:
    """The band of a p-value, and the rate at which its verdicts are drawn."""
    for below, rate in BANDS:
        if p_value is not None and p_value < below:
            return f"p < {below:g}", rate
    return "rest", REST


def chance_of(verdict_id: str, body: dict[str, Any], weight: float) -> Drawn | None:
    """A verdict as one of the queue; None if it is not drawn.

    Args:
        weight: of its row: 1 divided by the chance that it had of becoming one.
    """
    band, rate = band_of(body.get("p_value"))
    # Another hash than the one that chose the row: the two draws are independent.
    number = crc32(b"audit:" + verdict_id.encode("utf-8", "replace")) * 0x85EBCA6B & 0xFFFFFFFF
    if weight <= 0 or number >= rate * 2**32:
        return None
    return Drawn(verdict_id, band, rate / weight, body)
