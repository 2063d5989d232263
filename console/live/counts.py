"""Counts of verdicts and events by hour: what statistics are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from console.live.events import Happened, Item, Refused, VerdictSeen

HOUR_MS = 3_600_000
HOURS_KEPT = 48
"""So many of the latest hours are kept apart in memory."""


class VerdictKey(NamedTuple):
    """What verdicts are counted by; the primary key of ``verdict_hours``."""

    hour: int
    organization_id: str
    kind: str
    status: str
    severity: str
    rule_severity: str
    suppressed: bool


class EventKey(NamedTuple):
    """What else is counted by; the primary key of ``event_hours``."""

    hour: int
    organization_id: str
    kind: str
    event: str


@dataclass
class Counts:
    """Numbers of records by key."""

    verdicts: Counter[VerdictKey] = field(default_factory=Counter)
    events: Counter[EventKey] = field(default_factory=Counter)


def count(items: Iterable[Item], organization_of: Callable[[str], str]) -> Counts:
    """Count what records hold.

    Args:
        organization_of: profile id → id of its organisation, empty without one.
    """
    found = Counts()
    for item in items:
        seen = item.seen
        if isinstance(seen, VerdictSeen):
            body = seen.body
            key = VerdictKey(
                seen.scored_at // HOUR_MS * HOUR_MS,
                organization_of(seen.profile_id),
                seen.kind,
                body["status"],
                body["severity"],
                body.get("rule_severity") or "",
                body.get("suppressed") is True,
            )
            found.verdicts[key] += 1
        elif isinstance(seen, Happened):
            event = seen.event
            hour = event.at // HOUR_MS * HOUR_MS
            name = organization_of(event.profile_id)
            found.events[EventKey(hour, name, event.kind or "", event.event[:50])] += 1
        elif isinstance(seen, Refused):
            hour = seen.at // HOUR_MS * HOUR_MS
            name = organization_of(seen.profile_id or "")
            found.events[EventKey(hour, name, seen.kind, f"dead_letter:{seen.reason[:100]}")] += 1
    return found


class Totals:
    """All counts since the projection began; read by requests, written by the projection."""

    def __init__(self) -> None:
        self._all = Counts()
        self._hours = Counts()

    def replace(self, held: Counts) -> None:
        """Take over what the store holds."""
        total, hours = Counts(), Counts()
        _add(total, hours, held)
        self._all, self._hours = total, hours

    def add(self, more: Counts) -> None:
        """Take in what was committed."""
        total, hours = Counts(), Counts()
        total.verdicts = self._all.verdicts.copy()
        total.events = self._all.events.copy()
        hours.verdicts = self._hours.verdicts.copy()
        hours.events = self._hours.events.copy()
        _add(total, hours, more)
        # Readers hold the old ones or the new ones, never one that grows while they read.
        self._all, self._hours = total, hours

    def all(self) -> Counts:
        """Counts with hour 0 in place of every hour."""
        return self._all

    def hours(self) -> Counts:
        """Counts of the latest hours."""
        return self._hours


def _add(total: Counts, hours: Counts, more: Counts) -> None:
    for key, records in more.verdicts.items():
        total.verdicts[key._replace(hour=0)] += records
        hours.verdicts[key] += records
    for event, records in more.events.items():
        total.events[event._replace(hour=0)] += records
        hours.events[event] += records
    latest = max([key.hour for key in hours.verdicts] + [key.hour for key in hours.events] + [0])
    first = latest - (HOURS_KEPT - 1) * HOUR_MS
    for old in [key for key in hours.verdicts if key.hour < first]:
        del hours.verdicts[old]
    for gone in [key for key in hours.events if key.hour < first]:
        del hours.events[gone]
