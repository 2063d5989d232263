"""Telemetry records, one module a kind."""

from __future__ import annotations

from typing import Final

from schemas.base import Telemetry
from schemas.telemetry.behavior import BehaviorTelemetry
from schemas.telemetry.drowsiness import DrowsinessTelemetry
from schemas.telemetry.features import FeaturesTelemetry
from schemas.telemetry.series import SeriesTelemetry

TELEMETRY: Final[dict[str, type[Telemetry]]] = {
    "behavior": BehaviorTelemetry,
    "series": SeriesTelemetry,
    "drowsiness": DrowsinessTelemetry,
    "features": FeaturesTelemetry,
}
"""Kind → the model of its records, in the order of the topics. Settings, commands, topics and the
AsyncAPI document follow from it."""
