"""Labels of verdicts in a period, each with its weight, as analyses take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select

from console.store import tables as t
from console.store.database import Database
from models.governance.bias.fleet import Floats
from models.governance.bias.tables import condition

if TYPE_CHECKING:
    from console.governance.reading.fleets import Key, Scope


@dataclass(frozen=True)
class Told:
    """A verdict that somebody labelled.

    Attributes:
        abnormal: what the label says.
        weight: 1 / its chance of being labelled (Horvitz, Thompson, 1952).
    """

    key: Key
    verdict_id: str
    body: dict[str, Any]
    anomaly: bool
    abnormal: bool
    weight: float


def labelled(database: Database, scope: Scope) -> Iterator[Told]:
    """Labels of unsuppressed scored verdicts of the period whose chance is known."""
    labels, verdicts = t.labels.c, t.verdicts.c
    query = (
        select(
            verdicts.partition,
            verdicts.profile_id,
            verdicts.verdict_id,
            verdicts.body,
            verdicts.anomaly,
            labels.label,
            labels.weight,
        )
        .join(t.labels, labels.verdict_id == verdicts.verdict_id)
        .where(
            *scope.of(verdicts),
            verdicts.status == "scored",
            ~verdicts.suppressed,
            verdicts.observed_at >= scope.begin,
            verdicts.observed_at < scope.end,
            labels.label.in_(("anomaly", "normal")),
            labels.weight.is_not(None),
        )
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    for partition, profile_id, verdict_id, body, anomaly, label, weight in rows:
        yield Told(
            (partition, profile_id),
            verdict_id,
            body,
            bool(anomaly),
            label == "anomaly",
            float(weight),
        )


def confusion_of(
    database: Database, scope: Scope, keys: list[Key], prediction: str
) -> tuple[Floats | None, Floats | None, bool]:
    """Weighted and plain counts of true and false alarms by profile, shape (n, 4) each.

    Returns:
        None, None, False without labels; the last says whether records without an alarm are
        labelled too.
    """
    at = {key: place for place, key in enumerate(keys)}
    weighted, plain = np.zeros((len(keys), 4)), np.zeros((len(keys), 4))
    missed = False
    column, holds = ("anomaly", bool) if prediction == "anomaly" else condition(prediction)
    for told in labelled(database, scope):
        place = at.get(told.key)
        if place is None:
            continue
        alarmed = told.anomaly if column == "anomaly" else holds(told.body.get(column))
        missed |= not told.anomaly
        cell = (0 if told.abnormal else 1) if alarmed else (2 if told.abnormal else 3)
        weighted[place, cell] += told.weight
        plain[place, cell] += 1
    if not plain.any():
        return None, None, False
    return weighted, plain, missed
