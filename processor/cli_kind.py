"""The kinds of telemetry as a command's option has them."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Kinds of telemetry."""

    BEHAVIOR = "behavior"
    SERIES = "series"
    DROWSINESS = "drowsiness"
    FEATURES = "features"
