"""The kinds of telemetry: what is on the wire, how it becomes a vector, what judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from models.features import behavior, drowsiness, named, series
from models.features.vectors import Extracted, Feature
from schemas.base import Telemetry
from schemas.telemetry import TELEMETRY


@dataclass(frozen=True)
class Kind:
    """One kind of telemetry.

    Attributes:
        name: as in the topic ``telemetry.<name>``.
        extract: a valid record of that model → its samples; never raises, never ±inf.
        features: the columns; None if a profile's first record fixes them.
        detector: name of the detector used where no setting says otherwise.
        bounded: field with one element a feature or a sample, whose length is limited; None where
            a record is one sample of fixed width.
        counts: what that field has one element for: ``features`` or ``samples``.
        rule: severity of a valid record by fixed rule, beside what the profile has learnt.
        on_shift: what is done with a new normal where no setting says otherwise: ``adopt`` it, or
            ``hold`` it until an operator adopts it.
        timed: whether each sample has a time of its own, see ``Extracted.times``.
    """

    name: str
    extract: Callable[[Any], Extracted]
    features: tuple[Feature, ...] | None
    detector: str
    bounded: str | None = None
    counts: Literal["features", "samples"] = "samples"
    rule: Callable[[Any], str] | None = None
    on_shift: Literal["adopt", "hold"] = "adopt"
    timed: bool = False

    @property
    def telemetry(self) -> type[Telemetry]:
        """The model of its records."""
        return TELEMETRY[self.name]


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("behavior", behavior.extract_behavior, behavior.FEATURES, "blend", on_shift="hold"),
        Kind("series", series.extract_series, series.FEATURES, "forecast", "values", timed=True),
        Kind(
            "drowsiness",
            drowsiness.extract_drowsiness,
            drowsiness.FEATURES,
            "blend",
            "events",
            rule=drowsiness.rule_severity,
            on_shift="hold",
        ),
        Kind("features", named.extract_named, None, "blend", "values", "features"),
    )
}
"""Name → kind, in the order of the topics."""
