"""What an evaluation found: plain values, one row for each recording and detector."""

from __future__ import annotations

from dataclasses import dataclass

BUDGETS = (0.01, 0.02, 0.05)
PEER = "scikit-learn forest"


@dataclass(frozen=True)
class Row:
    """One detector on one recording; figures are means over its profiles.

    Attributes:
        recording: name of the recording.
        detector: name in ``models.DETECTORS``, or ``PEER``.
        profiles: how many profiles or series were judged.
        quality: the recording's measure.
        false_alarms: share of single genuine rows below the threshold, one for each of ``BUDGETS``.
        missed: share of single abnormal rows that are not below the threshold at the last budget.
        fit_milliseconds: to learn one profile, calibration included.
        score_microseconds: a row, scored profile by profile.
        model_bytes: of one profile's model in memory (the peer's: pickled).
    """

    recording: str
    detector: str
    profiles: int
    quality: float
    false_alarms: tuple[float, ...]
    missed: float
    fit_milliseconds: float
    score_microseconds: float
    model_bytes: float


@dataclass(frozen=True)
class Results:
    """All rows of one evaluation, and what it could not read."""

    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...]
    seed: int
    versions: tuple[tuple[str, str], ...]
