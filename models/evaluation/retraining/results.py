"""Figures of learning on: recordings followed and attacks waged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RetrainingRow:
    """One recording, one budget, one way of learning.

    Attributes:
        recording: its name.
        budget: the alert budget.
        learning: its name.
        profiles: how many were followed.
        error_rate: equal error rate, mean over profiles.
        records: genuine ones that were judged.
        alarms: those of them below the threshold of their time.
        spread: standard error of ``alarms``, from profile to profile.
        missed: share of the abnormal ones that the last version accepts, mean over profiles.
        tried: candidates.
        refused: those that the gate refused.
        admitted: share of the genuine ones that came into the pool, mean over profiles.
        drifting: share of the profiles in which drift was flagged.
    """

    recording: str
    budget: float
    learning: str
    profiles: int
    error_rate: float
    records: int
    alarms: int
    spread: float
    missed: float
    tried: int
    refused: int
    admitted: float
    drifting: float

    @property
    def false_alarms(self) -> float:
        """Share of the genuine records below the threshold of their time."""
        return self.alarms / max(self.records, 1)


@dataclass(frozen=True)
class Attacked:
    """One attack, one budget, one way of learning: shares accepted, means over pairs.

    Attributes:
        attack: its name.
        budget: the alert budget.
        learning: its name.
        pairs: victims times attackers.
        first: of the attacker's first records.
        last: of its last.
        beyond: rise from first to last beyond the same rise without retraining.
        beyond_worst: the same, exceeded by 5 % of the pairs.
        before: of the attacker's own records, by version 1.
        after: of the same, by the last version.
        tried: candidates.
        refused: those that the gate refused.
        drifting: share of the pairs in which drift was flagged.
    """

    attack: str
    budget: float
    learning: str
    pairs: int
    first: float
    last: float
    beyond: float
    beyond_worst: float
    before: float
    after: float
    tried: int
    refused: int
    drifting: float


@dataclass(frozen=True)
class Retrained:
    """All figures, what was left out and why, and what they were measured with."""

    rows: tuple[RetrainingRow, ...]
    attacked: tuple[Attacked, ...]
    skipped: tuple[tuple[str, str], ...]
    detector: str
    seed: int
