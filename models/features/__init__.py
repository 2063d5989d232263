"""Telemetry → vectors: one module a kind, and the list of kinds."""

from models.features.behavior import parse_windows
from models.features.drowsiness import rule_severity
from models.features.kinds import KINDS, Kind
from models.features.named import (
    Aligned,
    Mismatch,
    align,
    extract_plain,
    frequent,
    plain_numbers,
    with_new,
)
from models.features.plain import PLAIN, parse_point_columns, parse_points
from models.features.vectors import Extracted, Feature

__all__ = [
    "KINDS",
    "PLAIN",
    "Aligned",
    "Extracted",
    "Feature",
    "Kind",
    "Mismatch",
    "align",
    "extract_plain",
    "frequent",
    "parse_point_columns",
    "parse_points",
    "parse_windows",
    "plain_numbers",
    "rule_severity",
    "with_new",
]
