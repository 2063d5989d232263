"""The kinds of telemetry: what is on the wire, how it becomes a vector, what judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from models.features import behavior, drowsiness, named, series
from models.features.extracted import Extracted, Feature
from schemas.base import Telemetry
from schemas.behavior import BehaviorTelemetry
from schemas.drowsiness import DrowsinessTelemetry
from schemas.features import FeaturesTelemetry
from schemas.series import SeriesTelemetry


@dataclass(frozen=True)
class Kind:
    """One kind of telemetry.

    Attributes:
        name: as in the topic ``telemetry.<name>``.
        telemetry: the model of its records.
        extract: a valid record of that model → its samples; never raises, never ±inf.
        features: the columns; None where a profile's first record fixes them.
        detector: name of the detector used where no setting says otherwise.
        bounded: field with one element a feature or a sample, whose length is limited; None where
            a record is one sample of fixed width.
        counts: what that field has one element for: ``features`` or ``samples``.
        rule: severity of a valid record by fixed rule, beside what the profile has learnt.
    """

    name: str
    telemetry: type[Telemetry]
    extract: Callable[[Any], Extracted]
    features: tuple[Feature, ...] | None
    detector: str
    bounded: str | None = None
    counts: Literal["features", "samples"] = "samples"
    rule: Callable[[Any], str] | None = None


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("behavior", BehaviorTelemetry, behavior.extract, behavior.FEATURES, "blend"),
        Kind("series", SeriesTelemetry, series.extract, series.FEATURES, "gaussian", "values"),
        Kind(
            "drowsiness",
            DrowsinessTelemetry,
            drowsiness.extract,
            drowsiness.FEATURES,
            "blend",
            "events",
            rule=drowsiness.rule_severity,
        ),
        Kind("features", FeaturesTelemetry, named.extract, None, "blend", "values", "features"),
    )
}
"""Name → kind, in the order of the topics."""
