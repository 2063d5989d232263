"""Periods such as ``30d``, and the reference and current days that they make."""

from __future__ import annotations

import re
from dataclasses import dataclass

PATTERN = r"^\d+[dwmy]$"
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}
MOST_DAYS = 3650


def days_of(period: str) -> int:
    """Days of a period: ``7d``, ``2w``, ``1m`` (30 days), ``1y`` (365 days).

    Raises:
        ValueError: of another form, none at all, or of more than ten years.

    Example:
        >>> [days_of(period) for period in ("7d", "2w", "1m", "1y")]
        [7, 14, 30, 365]
    """
    if not re.fullmatch(PATTERN, period) or len(period) > 6:
        raise ValueError(f"expected a number and d, w, m or y, such as 30d, got {period!r}")
    days = int(period[:-1]) * _DAYS[period[-1]]
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"expected 1 to {MOST_DAYS} days, got {period!r}")
    return days


@dataclass(frozen=True)
class Periods:
    """Two runs of days since the epoch, the current one right behind the reference.

    Attributes:
        reference, current: first day, and the day behind the last.
    """

    reference: tuple[int, int]
    current: tuple[int, int]


def periods(reference: str, current: str, today: int) -> Periods:
    """The current period ends with today, the reference ends where it begins.

    Raises:
        ValueError: as ``days_of``.
    """
    begin = today + 1 - days_of(current)
    return Periods((begin - days_of(reference), begin), (begin, today + 1))
