"""The last scored records of a profile, and when so many anomalies mean a new normal."""

from __future__ import annotations

from typing import NamedTuple

WINDOW, ABNORMAL = 40, 30
"""A profile is shifted when so many of its last ``WINDOW`` scored records are anomalies."""

ENDED = 10
"""A shift ends when fewer of them are."""

NEAR = 3
"""A profile is watched from an anomaly on that comes so many records behind another, at most."""

QUIET = 10
"""A profile that has so many normal records in a row is watched no longer."""

_MASK = (1 << WINDOW) - 1


class Recent(NamedTuple):
    """The last scored records of a profile.

    Attributes:
        bits: 1 for an anomaly, the latest record is the lowest bit.
        seen: how many records these are, at most ``WINDOW``; 0: the profile is not watched.
    """

    bits: int = 0
    seen: int = 0

    def after(self, anomaly: bool) -> Recent:
        """One record later."""
        return Recent((self.bits << 1 | anomaly) & _MASK, min(self.seen + 1, WINDOW))

    @property
    def abnormal(self) -> int:
        """How many are anomalies."""
        return self.bits.bit_count()

    @property
    def quiet(self) -> bool:
        """Whether the last ``QUIET`` are normal."""
        return self.seen >= QUIET and not self.bits & ((1 << QUIET) - 1)


NOT_WATCHED = Recent()
