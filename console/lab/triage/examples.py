"""Labelled alerts to learn from: of the store, or of simulated telemetry whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import and_, select

from console.auth.permissions import Caller
from console.lab.triage.features import AlarmTimes, Alert, row_of
from console.lab.triage.versions import trained_versions
from console.store import tables as t
from console.store.database import Database
from models.features import KINDS
from processor.backtest.replay import Replay
from processor.records import ConsumerRecord, DeadLetter
from processor.settings import Settings
from processor.simulation.simulator import PERIOD_MS, Plan, simulate
from processor.topics import Topics

Floats = NDArray[np.float64]

SIMULATED_KINDS = ("drowsiness", "features")
ANOMALY_RATE = 0.01
"""Of simulated records: with it about half of the alerts are true."""

BATCH = 2000


@dataclass(frozen=True)
class Examples:
    """Labelled alerts in the order of their times.

    Attributes:
        x: shape (n, features).
        y: 1 if the alert was confirmed, else 0; shape (n,).
        at: when, epoch milliseconds; shape (n,).
        profile: number of the profile, shape (n,).
        weight: 1 divided by the chance of being labelled, shape (n,).
        profiles: kind, partition and id of each number.
    """

    x: Floats
    y: NDArray[np.int64]
    at: NDArray[np.int64]
    profile: NDArray[np.int64]
    weight: Floats
    profiles: list[tuple[str, int, str]]


def of_alerts(
    alerts: Sequence[tuple[Alert, int, float]], places: Sequence[tuple[str, int, str]]
) -> Examples:
    """Alerts with label and weight, as arrays.

    Args:
        places: profile of each.
    """
    numbers: dict[tuple[str, int, str], int] = {}
    profile = [numbers.setdefault(place, len(numbers)) for place in places]
    order = np.argsort([alert.at for alert, _, _ in alerts], kind="stable")
    rows = np.array([row_of(alert) for alert, _, _ in alerts], dtype=np.float64)
    return Examples(
        rows[order] if len(alerts) else rows.reshape(0, 0),
        np.array([label for _, label, _ in alerts], dtype=np.int64)[order],
        np.array([alert.at for alert, _, _ in alerts], dtype=np.int64)[order],
        np.array(profile, dtype=np.int64)[order],
        np.array([weight for _, _, weight in alerts], dtype=np.float64)[order],
        list(numbers),
    )


def simulated(
    settings: Settings,
    *,
    profiles: int,
    records: int,
    seed: int,
    tell: Callable[[int, int], None],
) -> Examples:
    """Alerts on simulated drowsiness and features, by the scorer's own steps; no broker is needed.

    Args:
        profiles, records: how many, and of each.
        tell: told how many records of how many are scored; may raise to end it.
    """
    topics = Topics(settings.topic_prefix)
    learning = {kind: settings.cold_start(kind) for kind in KINDS}
    plan = Plan(profiles, SIMULATED_KINDS, records, ANOMALY_RATE, learning, seed=seed)
    replay = Replay(settings, topics, plan.start + records * PERIOD_MS)
    truth: dict[str, tuple[int, bool, str]] = {}
    times = AlarmTimes()
    alerts: list[tuple[Alert, int, float]] = []
    places: list[tuple[str, int, str]] = []
    batch: list[ConsumerRecord] = []
    done, offset = 0, 0
    for record in simulate(plan):
        topic, at = topics.telemetry(record.kind), plan.start + record.index * PERIOD_MS
        value = orjson.dumps(record.value)
        key = record.profile_id.encode()
        batch.append(ConsumerRecord(topic, 0, offset, key, value, (), at))
        truth[f"{topic}-0-{offset}"] = (at, record.what is not None, record.kind)
        offset += 1
        if len(batch) < BATCH and offset < profiles * records:
            continue
        for verdict_id, verdict in replay.feed(batch):
            at, wrong, kind = truth.pop(verdict_id)
            if isinstance(verdict, DeadLetter) or not verdict["anomaly"]:
                continue
            profile_id = verdict["profile_id"]
            alert = _around(verdict, at, times, plan.start, verdict["samples_needed"])
            alerts.append((alert, int(wrong), 1.0))
            places.append((kind, 0, profile_id))
        done += len(batch)
        batch = []
        tell(done, profiles * records)
    return of_alerts(alerts, places)


def _around(
    verdict: dict[str, Any],
    at: int,
    times: AlarmTimes,
    trained_at: int | None,
    trained_on: int | None,
) -> Alert:
    profile = verdict["kind"], verdict["profile_id"]
    hour, day = times.before(profile, at)
    times.note(profile, at)
    return Alert(verdict, at, hour, day, trained_at, trained_on)


def labelled(database: Database, who: Caller, kind: str | None) -> Examples:
    """Alerts of the store that somebody has labelled as anomaly or normal.

    Args:
        who: whose profiles are read.
        kind: of the telemetry; None for all.
    """
    kept, said = t.verdicts.c, t.labels.c
    seen = [kept.anomaly, who.own(kept.profile_id)]
    if kind is not None:
        seen.append(kept.kind == kind)
    query = (
        select(kept.verdict_id, kept.body, kept.observed_at, kept.partition)
        .add_columns(said.label, said.weight)
        .join_from(t.verdicts, t.labels, kept.verdict_id == said.verdict_id, isouter=True)
        .where(and_(*seen))
        .order_by(kept.observed_at, kept.verdict_id)
    )
    with database.read() as connection:
        known = trained_versions(connection, who.own(t.model_versions.c.profile_id))
        rows = connection.execute(query).all()
    times = AlarmTimes()
    alerts: list[tuple[Alert, int, float]] = []
    places: list[tuple[str, int, str]] = []
    for row in rows:
        body = row.body
        of = body["kind"], body["profile_id"], body.get("model_version")
        trained_at, trained_on = known.get(of, (None, None))
        alert = _around(body, row.observed_at, times, trained_at, trained_on)
        if row.label in ("anomaly", "normal"):
            alerts.append((alert, int(row.label == "anomaly"), row.weight or 1.0))
            places.append((body["kind"], row.partition, body["profile_id"]))
    return of_alerts(alerts, places)
