"""The series that are 0 from the start of a role on.

A counter without a series cannot be told from a process that nobody scrapes, and the first event
of a new series is no increase to Prometheus: whatever an alert watches has to be there before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, get_args

from models.features import KINDS
from models.learning.admission import Admitted
from processor.records import Count
from schemas import CommandName, MarkName, Severity
from schemas.model_record import KNOWN_TRIGGERS

REASONS: Final = (
    "invalid_key",
    "invalid_json",
    "invalid_record",
    "key_mismatch",
    "kind_mismatch",
    "too_large",
    "feature_mismatch",
    "unanswerable",
    "invalid_headers",
)
"""Why a record of telemetry becomes a dead letter."""

ACCEPTED_REASONS: Final = ("invalid_accepted_sample", "invalid_mark", "unknown_generation")
"""Why a record of accepted samples becomes one, beside reasons that telemetry has, too."""

INGEST_REASONS: Final = (
    "unmapped",
    "undecodable",
    "schema_unavailable",
    "too_large",
    "invalid_headers",
)
"""Why a record of a source becomes one."""

_AGAIN: Final = tuple(name for name in KNOWN_TRIGGERS if name not in ("cold-start", "rollback"))
_RETRAINED: Final = tuple(name for name in _AGAIN if name != "shift")
_TRANSACTIONS: Final = ("committed", "aborted", "lost")


def series(role: str) -> Iterator[Count]:
    """Every series of a role's counters whose labels are known beforehand."""
    yield from (("transactions", (outcome,)) for outcome in _TRANSACTIONS)
    yield from {"scorer": _scorer, "retrainer": _retrainer, "ingest": _ingest}[role]()


def _scorer() -> Iterator[Count]:
    severities = get_args(Severity)
    statuses = [("learning", "none"), ("abstained", "none")]
    statuses += [("scored", severity) for severity in severities]
    for kind in KINDS:
        for status, severity in statuses:
            yield "verdicts", (kind, status, severity)
        for outcome in ("learning", "scored", "abstained", "dead_letter"):
            yield "records", (kind, outcome)
        yield from _trainings(kind, ("cold-start", "command"), ("trained",))
        yield from _trainings(kind, ("cold-start", "shift"), ("failed",))
        yield from _trainings(kind, _AGAIN, ("adopted", "refused"))
        for name in ("models_lost", "drifts", "values", "missing_values", "constant_features"):
            yield name, (kind,)
        yield "recalled", (kind,)
        for event in ("shifted", "shift_ended", "features_changed"):
            yield "shifts", (kind, event)
        for trigger in ("command", "ttl"):
            yield "forgotten", (kind, trigger)
        if KINDS[kind].features is None:
            yield "unknown_features", (kind,)
    for reason in (*REASONS, "invalid_candidate"):
        yield "dead_letters", (reason,)
    for command, outcome in product(CommandName, ("done", "rejected")):
        yield "commands", (command, outcome)
    yield "commands", ("unknown", "invalid")
    yield "spill_failures", ()
    yield "late_records", ()


def _retrainer() -> Iterator[Count]:
    for kind in KINDS:
        for outcome in (*get_args(Admitted), "outdated", *get_args(MarkName), "refused_mark"):
            yield "records", (kind, outcome)
        yield from _trainings(kind, _RETRAINED, ("proposed", "refused", "failed"))
        yield "constant_features", (kind,)
    for reason in (*ACCEPTED_REASONS, "feature_mismatch", "too_large", "unanswerable"):
        yield "dead_letters", (reason,)


def _ingest() -> Iterator[Count]:
    for reason in INGEST_REASONS:
        yield "dead_letters", (reason,)


def _trainings(kind: str, triggers: tuple[str, ...], outcomes: tuple[str, ...]) -> Iterator[Count]:
    for trigger, outcome in product(triggers, outcomes):
        yield "trainings", (kind, trigger, outcome)
