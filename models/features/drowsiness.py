"""`drowsiness`: each event is a sample; rolling columns over the events of the record."""

from __future__ import annotations

from collections.abc import Sequence
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

NAMES: Final = tuple(feature.name for feature in FEATURES)
_FIELDS = itemgetter("ear_value", "duration_ms", "is_drowsy")

Event = tuple[float, float, bool]
"""Eye aspect ratio, duration in milliseconds, and whether the tracker holds it to be drowsy."""


def extract_drowsiness(telemetry: DrowsinessTelemetry) -> Extracted:
    """One row an event, shape (events, 6).

    A rolling column is NaN at the record's first event: with one event there is no history, and
    repeating the event's own values would only give them more weight.
    """
    return Extracted(
        NAMES, bounded(event_rows([_FIELDS(event) for event in telemetry.observations()]))
    )


def event_rows(events: Sequence[Event]) -> Floats:
    """The rows of a record's events, in their order, shape (events, 6)."""
    rows = rows_without_history(events)
    if len(events) > 1:
        past = _last_events(rows[:, [0, 2]])
        rows[1:, 3] = np.nanmean(past[1:, 0], axis=1)
        rows[1:, 4] = np.nanmin(past[1:, 0], axis=1)
        rows[1:, 5] = np.nanmean(past[1:, 1], axis=1)
    return rows


def rows_without_history(events: Sequence[Event]) -> Floats:
    """Rows of events of which each is the first of its record, shape (events, 6)."""
    rows = np.full((len(events), len(FEATURES)), np.nan)
    rows[:, :3] = np.array(events, dtype=np.float64).reshape(-1, 3)
    return rows


def _last_events(columns: Floats) -> Floats:
    """For each row the last ``WINDOW`` rows, shape (m, columns, WINDOW); NaN before the first."""
    before = np.full((WINDOW - 1, columns.shape[1]), np.nan)
    return np.lib.stride_tricks.sliding_window_view(np.vstack((before, columns)), WINDOW, axis=0)


def rule_severity(telemetry: DrowsinessTelemetry) -> Severity:
    """How grave a record is by rule alone, whatever the profile has learnt; see ``rule_of``."""
    return rule_of([_FIELDS(event) for event in telemetry.observations()])


def rule_of(events: Sequence[Event]) -> Severity:
    """How grave events are by rule alone.

    The gravest counts. An event is drowsy if the tracker says so or the eye aspect ratio is below
    0.2, and then its duration decides: below 0.5 s low, below 1 s medium, below 3 s (microsleep)
    high, from 3 s on (sleep) critical.
    """
    longest = max(
        (duration for ear, duration, drowsy in events if drowsy or ear < CLOSED_EAR), default=None
    )
    if longest is None:
        return "none"
    if longest < LONG_BLINK_MS:
        return "low"
    if longest < MICROSLEEP_MS:
        return "medium"
    return "high" if longest < SLEEP_MS else "critical"
