"""Telemetry → vectors: one module a kind, and the list of kinds."""

from models.features.behavior import read_windows
from models.features.drowsiness import rule_severity
from models.features.extracted import Extracted, Feature
from models.features.kinds import KINDS, Kind
from models.features.named import Aligned, Mismatch, align, extract_plain, plain

__all__ = [
    "KINDS",
    "Aligned",
    "Extracted",
    "Feature",
    "Kind",
    "Mismatch",
    "align",
    "extract_plain",
    "plain",
    "read_windows",
    "rule_severity",
]
