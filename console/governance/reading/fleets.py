"""A fleet of profiles as bias and monitoring analyses take it, read from the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Text, cast, func, select

from console.days.tables import P_BINS
from console.governance.reading.labelled import confusion_of
from console.governance.reading.reasons import reasons_of
from console.store import tables as t
from console.store.database import Database
from models.governance.bias.fleet import LEAST_RECORDS, UNKNOWN, Fleet, Floats
from models.governance.bias.tables import SEVERITIES, BadColumn, condition

DAY_MS = 86_400_000

Key = tuple[int, str]
"""Partition and id of a profile."""


@dataclass(frozen=True)
class Scope:
    """Whose records an analysis reads.

    Attributes:
        prefix: of the ids that the one who asked may see.
        begin, end: of the period, epoch milliseconds at which days begin; the end is not in it.
    """

    kind: str
    prefix: str
    begin: int
    end: int
    profile_id: str | None = None

    def of(self, held: Any) -> list[Any]:
        """Conditions on the columns of a table that has a kind and a profile_id."""
        found = [
            held.kind == self.kind,
            held.profile_id.startswith(self.prefix, autoescape=True),
        ]
        if self.profile_id is not None:
            found.append(held.profile_id == self.profile_id)
        return found

    def days(self, held: Any) -> list[Any]:
        """The same, of the days of the period."""
        return [*self.of(held), held.day >= self.begin, held.day < self.end]


@dataclass(frozen=True)
class Days:
    """Sums over the days of a period, one row a profile.

    Attributes:
        counts: column → shape (n,).
        p_values: shape (n, 20).
    """

    keys: list[Key]
    counts: dict[str, Floats]
    p_values: Floats


COUNTS = (
    "learning",
    "scored",
    "abstained",
    "suppressed",
    "low",
    "medium",
    "high",
    "critical",
    "rule_alarms",
)


def read_days(database: Database, scope: Scope) -> Days:
    """What ``profile_days`` says of the profiles in a period."""
    held = t.profile_days.c
    of = scope.days(held)
    sums = [func.sum(getattr(held, name)) for name in COUNTS]
    grouped = (
        select(held.partition, held.profile_id, *sums)
        .where(*of)
        .group_by(held.partition, held.profile_id)
        .order_by(held.partition, held.profile_id)
    )
    with database.read() as connection:
        rows = connection.execute(grouped).all()
        keys = [(int(row[0]), str(row[1])) for row in rows]
        table = np.array([[float(v) for v in row[2:]] for row in rows]).reshape(-1, len(COUNTS))
        at = {key: place for place, key in enumerate(keys)}
        bins = np.zeros((len(keys), P_BINS))
        told = select(held.partition, held.profile_id, cast(held.p_values, Text)).where(*of)
        for partition, profile_id, text in connection.execution_options(yield_per=5000).execute(
            told
        ):
            bins[at[partition, profile_id]] += orjson.loads(text)
    counts = {name: table[:, place] for place, name in enumerate(COUNTS)}
    return Days(keys, counts, bins)


def alarms_of(counts: dict[str, Floats], prediction: str) -> Floats:
    """Alarms of each profile as a prediction column says.

    Raises:
        BadColumn: daily counts cannot say that.
    """
    expected = (
        "prediction_column: expected anomaly, severity>=<severity> or rule_severity>=low for "
        f"verdicts, got {prediction!r}"
    )
    if prediction == "anomaly":
        return _summed([counts[name] for name in SEVERITIES[1:]])
    try:
        column, holds = condition(prediction)
    except BadColumn:
        raise BadColumn(expected) from None
    if column == "rule_severity":
        if [holds(name) for name in SEVERITIES] != [False, True, True, True, True]:
            raise BadColumn(expected)
        return counts["rule_alarms"]
    if column != "severity" or holds("none"):
        raise BadColumn(expected)
    chosen = [counts[name] for name in SEVERITIES[1:] if holds(name)]
    if not chosen:
        raise BadColumn(expected)
    return _summed(chosen)


def _summed(columns: list[Floats]) -> Floats:
    return np.asarray(np.sum(columns, axis=0), dtype=np.float64)


def read_fleet(
    database: Database, scope: Scope, attributes: Iterable[str], prediction: str
) -> Fleet:
    """The profiles of a kind in a period; those of at least 100 scored records.

    Raises:
        BadColumn: the prediction column cannot be had from daily counts.
    """
    days = read_days(database, scope)
    counts = days.counts
    by_rule = prediction.startswith("rule_severity")
    unsuppressed = counts["scored"] - counts["suppressed"]
    # The fixed rule judges records of learning profiles, and suppressed ones, too.
    records = counts["scored"] + counts["learning"] if by_rule else unsuppressed
    alarms = np.minimum(alarms_of(counts, prediction), records)
    names = list(attributes)
    size = len(days.keys)
    confusion, labels, missed = confusion_of(database, scope, days.keys, prediction)
    refused, candidates, drifting = _retrained(database, scope, days.keys)
    missing, values = _missing(database, scope, days.keys)
    reasons, reason_names = reasons_of(database, scope, days.keys)
    rule = counts["rule_alarms"] if counts["rule_alarms"].sum() > 0 else None
    fleet = Fleet(
        attributes=_attributes(database, scope, days.keys, names),
        alarms=alarms,
        records=records,
        confusion=confusion,
        labels=labels,
        missed_known=missed,
        p_values=days.p_values,
        days=_days_to_learn(database, scope, days.keys),
        candidates=candidates,
        refused=refused,
        drifting=drifting,
        abstained=counts["abstained"],
        judged=counts["abstained"] + counts["scored"],
        missing=missing,
        values=values,
        reasons=reasons,
        reason_names=reason_names,
        rule_alarms=rule,
    )
    return fleet.of(records >= LEAST_RECORDS) if size else fleet


def known_attributes(database: Database, scope: Scope) -> list[str]:
    """Names of all attributes that profiles of the kind have."""
    held = t.profile_attributes.c
    query = select(held.name).where(*scope.of(held)).distinct().order_by(held.name)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def _attributes(
    database: Database, scope: Scope, keys: list[Key], names: list[str]
) -> dict[str, Any]:
    held = t.profile_attributes.c
    query = select(held.profile_id, held.name, held.value).where(
        *scope.of(held), held.name.in_(names)
    )
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    with database.read() as connection:
        for row in connection.execute(query):
            value = orjson.loads(row.value)
            found[row.name][row.profile_id] = value if isinstance(value, str) else str(value)
    return {
        name: np.array([held.get(profile, UNKNOWN) for _, profile in keys], dtype=np.str_)
        if keys
        else np.empty(0, dtype=np.str_)
        for name, held in found.items()
    }


def _days_to_learn(database: Database, scope: Scope, keys: list[Key]) -> Floats:
    """From the first record that the console saw to version 1; infinite while there is none."""
    held, versions = t.profiles.c, t.model_versions.c
    first = select(held.partition, held.profile_id, held.first_seen_at).where(*scope.of(held))
    learnt = (
        select(versions.partition, versions.profile_id, func.min(versions.trained_at))
        .where(*scope.of(versions), versions.version == 1)
        .group_by(versions.partition, versions.profile_id)
    )
    with database.read() as connection:
        began = {(p, i): at for p, i, at in connection.execute(first)}
        trained = {(p, i): at for p, i, at in connection.execute(learnt)}
    return np.array(
        [
            max(0.0, (trained[key] - began.get(key, trained[key])) / DAY_MS)
            if key in trained
            else np.inf
            for key in keys
        ],
        dtype=np.float64,
    )


def _retrained(database: Database, scope: Scope, keys: list[Key]) -> tuple[Floats, Floats, Floats]:
    """Refused candidates, candidates, and whether the profile drifted, by profile."""
    held = t.lifecycle_events.c
    wanted = ("adopted", "refused", "drifting")
    query = (
        select(held.partition, held.profile_id, held.event, func.count())
        .where(*scope.of(held), held.event.in_(wanted), held.at >= scope.begin, held.at < scope.end)
        .group_by(held.partition, held.profile_id, held.event)
    )
    counts = {name: np.zeros(len(keys)) for name in wanted}
    at = {key: place for place, key in enumerate(keys)}
    with database.read() as connection:
        for partition, profile_id, event, number in connection.execute(query):
            place = at.get((partition, profile_id))
            if place is not None:
                counts[event][place] = number
    drifting = (counts["drifting"] > 0).astype(np.float64)
    return counts["refused"], counts["refused"] + counts["adopted"], drifting


def _missing(database: Database, scope: Scope, keys: list[Key]) -> tuple[Floats, Floats]:
    held = t.feature_days.c
    query = (
        select(held.partition, held.profile_id, func.sum(held.missing), func.sum(held.n))
        .where(*scope.days(held))
        .group_by(held.partition, held.profile_id)
    )
    at = {key: place for place, key in enumerate(keys)}
    missing, values = np.zeros(len(keys)), np.zeros(len(keys))
    with database.read() as connection:
        for partition, profile_id, absent, there in connection.execute(query):
            place = at.get((partition, profile_id))
            if place is not None:
                missing[place], values[place] = float(absent), float(absent) + float(there)
    return missing, values
