"""`drowsiness`: each event is a sample; rolling columns over the events of the record."""

from __future__ import annotations

from operator import itemgetter
from typing import Final

import numpy as np

from models.features.vectors import Extracted, Feature, Floats, bounded
from schemas.telemetry.drowsiness import DrowsinessTelemetry
from schemas.verdict import Severity

WINDOW: Final = 5
"""Events, the row's own included, that a rolling column looks back on."""

FEATURES: Final = (
    Feature("ear_value", "1", "Eye aspect ratio of the event."),
    Feature("duration_ms", "ms", "How long the state has lasted."),
    Feature("is_drowsy", "0 or 1", "Whether the tracker holds the driver to be drowsy."),
    Feature("ear_mean_5", "1", "Mean eye aspect ratio of the last 5 events of the record."),
    Feature("ear_min_5", "1", "Least eye aspect ratio of the last 5 events of the record."),
    Feature("drowsy_share_5", "0–1", "Share of the last 5 events of the record that are drowsy."),
)

CLOSED_EAR: Final = 0.2
"""Eye aspect ratio below which eyes count as closed (Soukupová and Čech, 2016, near 0.2)."""

LONG_BLINK_MS: Final = 500.0
MICROSLEEP_MS: Final = 1000.0
SLEEP_MS: Final = 3000.0
"""Closures: longer than a blink; microsleep (1–2 s) and sleep (3 s) as Euro NCAP's protocol for
driver monitoring (Safe Driving, occupant status, 2023) has them."""

_NAMES: Final = tuple(feature.name for feature in FEATURES)
_FIELDS = itemgetter("ear_value", "duration_ms", "is_drowsy")
_NO_HISTORY = (np.nan, np.nan, np.nan)


def extract_drowsiness(telemetry: DrowsinessTelemetry) -> Extracted:
    """One row an event, shape (events, 6).

    A rolling column is NaN at the record's first event: with one event there is no history, and
    repeating the event's own values would only give them more weight.
    """
    events = telemetry.observations()
    rows = np.array([(*_FIELDS(event), *_NO_HISTORY) for event in events], dtype=np.float64)
    rows = rows.reshape(-1, len(FEATURES))
    if len(events) > 1:
        past = _last_events(rows[:, [0, 2]])
        rows[1:, 3] = np.nanmean(past[1:, 0], axis=1)
        rows[1:, 4] = np.nanmin(past[1:, 0], axis=1)
        rows[1:, 5] = np.nanmean(past[1:, 1], axis=1)
    return Extracted(_NAMES, bounded(rows))


def _last_events(columns: Floats) -> Floats:
    """For each row the last ``WINDOW`` rows, shape (m, columns, WINDOW); NaN before the first."""
    before = np.full((WINDOW - 1, columns.shape[1]), np.nan)
    return np.lib.stride_tricks.sliding_window_view(np.vstack((before, columns)), WINDOW, axis=0)


def rule_severity(telemetry: DrowsinessTelemetry) -> Severity:
    """How grave a record is by rule alone, whatever the profile has learnt.

    The gravest of its events counts. An event is drowsy where the tracker says so or the eye
    aspect ratio is below 0.2, and then its duration decides: below 0.5 s low, below 1 s medium,
    below 3 s (microsleep) high, from 3 s on (sleep) critical.
    """
    longest = max(
        (
            event["duration_ms"]
            for event in telemetry.observations()
            if event["is_drowsy"] or event["ear_value"] < CLOSED_EAR
        ),
        default=None,
    )
    if longest is None:
        return "none"
    if longest < LONG_BLINK_MS:
        return "low"
    if longest < MICROSLEEP_MS:
        return "medium"
    return "high" if longest < SLEEP_MS else "critical"
