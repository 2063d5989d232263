"""Fleets of profiles in the store, as the projection would have written them."""

from typing import Any

import numpy as np
import orjson
from sqlalchemy import insert

from console.days.tables import BINS
from console.store import tables as t
from console.store.database import Database

DAY_MS = 86_400_000
TODAY = 1_800_000_000_000 // DAY_MS * DAY_MS
FLEET = "fleet:features"
PROFILES = 20
"""Of each site."""

RECORDS = 100
"""Of a profile and day."""

CURRENT_DAYS = 7


def fill_days(
    database: Database,
    alarms: dict[str, int],
    *,
    features: bool = False,
    rule: dict[str, int] | None = None,
    current: dict[str, Any] | None = None,
    days: int = 37,
) -> None:
    """Profiles of some sites, each with so many alarms a day; the last seven days may differ.

    Args:
        current: ``alarms`` of all, ``alarms_of`` a site, ``missing`` values a day, ``shift`` of
            the feature's bins.
    """
    changed = current or {}
    rng = np.random.default_rng(0)
    profiles, verdicts, sketches, attributes = [], [], [], []
    for site, usual in alarms.items():
        for number in range(PROFILES):
            own = {"kind": "features", "partition": 0, "profile_id": f"{site}-{number}"}
            profiles.append(_profile(own))
            attributes.append(_attribute(own, "site", site))
            for ago in range(days):
                new = changed if ago < CURRENT_DAYS else {}
                told = new.get("alarms_of", {}).get(site, new.get("alarms", usual))
                day = {"day": TODAY - ago * DAY_MS}
                verdicts.append(own | day | _verdicts(told, (rule or {}).get(site, 0)))
                if features:
                    sketches += [
                        own | day | {"feature": name} | _sketch(rng, name, new)
                        for name in ("a", "b", "c")
                    ]
    with database.write() as connection:
        connection.execute(insert(t.profiles), profiles)
        connection.execute(insert(t.profile_days), verdicts)
        connection.execute(insert(t.profile_attributes), attributes)
        connection.execute(insert(t.model_versions), [_version(each) for each in profiles])
        if sketches:
            connection.execute(insert(t.feature_days), sketches)


def _profile(own: dict[str, Any]) -> dict[str, Any]:
    return own | {
        "state": "active",
        "generation": 0,
        "samples_seen": 200,
        "samples_needed": 200,
        "version": 1,
        "detector": "blend",
        "suppressed": False,
        "first_seen_at": TODAY - 60 * DAY_MS,
        "updated_at": TODAY,
    }


def _version(profile: dict[str, Any]) -> dict[str, Any]:
    own = {name: profile[name] for name in ("kind", "partition", "profile_id")}
    return own | {
        "generation": 0,
        "version": 1,
        "detector": "blend",
        "artifact": "features/nothing.joblib",
        "sha256": "0" * 64,
        "features": ["a", "b", "c"],
        "trained_on": 200,
        "learned": 200,
        "pool_count": 0,
        "alert_budget": 0.01,
        "trigger": "cold-start",
        "trained_at": TODAY - 58 * DAY_MS,
        "in_force": True,
        "created_at": TODAY,
        "updated_at": TODAY,
    }


def _attribute(own: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    return {
        "kind": own["kind"],
        "profile_id": own["profile_id"],
        "name": name,
        "value": orjson.dumps(value).decode(),
        "source": "u",
        "updated_at": TODAY,
        "record_offset": 0,
    }


def _verdicts(alarms: int, rule: int) -> dict[str, Any]:
    bins = [RECORDS // 20] * 20
    return {
        "learning": 0,
        "scored": RECORDS,
        "abstained": 1,
        "suppressed": 0,
        "low": alarms,
        "medium": 0,
        "high": 0,
        "critical": 0,
        "rule_alarms": rule,
        "p_values": bins,
    }


def _sketch(rng: np.random.Generator, name: str, new: dict[str, Any]) -> dict[str, Any]:
    shares = np.full(10, 0.1)
    if new.get("shift") and name == "a":
        shares = np.array([0.02, 0.02, 0.02, 0.04, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4])
    inner = rng.multinomial(RECORDS, shares)
    missing = new.get("missing", 0) if name == "a" else 0
    return {
        "n": RECORDS,
        "missing": missing,
        "mean": float(rng.normal(0.0, 1.0 / RECORDS**0.5)),
        "m2": float(RECORDS),
        "least": -3.0,
        "most": 3.0,
        "bins": [0, *inner.tolist(), 0][:BINS],
    }


def give_attributes(database: Database, *, device: bool) -> None:
    """A second attribute, which says nothing about alarms."""
    if not device:
        return
    rows = [
        _attribute(
            {"kind": "features", "profile_id": f"{site}-{number}"},
            "device",
            "touch" if number % 2 else "key",
        )
        for site in ("Graz", "Wien")
        for number in range(PROFILES)
    ]
    with database.write() as connection:
        connection.execute(insert(t.profile_attributes), rows)


def label(
    database: Database, site: str, number: int, *, anomaly: bool, abnormal: bool, weight: float
) -> None:
    """A verdict that somebody labelled."""
    profile = f"{site}-{number % PROFILES}"
    verdict_id = f"telemetry.features-0-{site}-{number}"
    own = {"kind": "features", "partition": 0, "profile_id": profile}
    body = {"anomaly": anomaly, "severity": "low" if anomaly else "none", "p_value": 0.5}
    verdict = own | {
        "verdict_id": verdict_id,
        "status": "scored",
        "anomaly": anomaly,
        "severity": body["severity"],
        "suppressed": False,
        "observed_at": TODAY - DAY_MS,
        "scored_at": TODAY - DAY_MS,
        "weight": 1.0,
        "body": body,
    }
    said = own | {
        "verdict_id": verdict_id,
        "label": "anomaly" if abnormal else "normal",
        "source": "audit",
        "weight": weight,
        "by": "u",
        "at": TODAY,
        "accepted": False,
        "record_offset": 0,
    }
    with database.write() as connection:
        connection.execute(insert(t.verdicts).values(verdict))
        connection.execute(insert(t.labels).values(said))


def version_of(profile_id: str) -> dict[str, Any]:
    """A version in force of a profile."""
    return _version({"kind": "features", "partition": 0, "profile_id": profile_id})
