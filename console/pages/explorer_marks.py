"""What the Explorer draws of single profiles: their anomalies, and what changed in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import select, tuple_

from console.auth.permissions import Caller
from console.figures import SEVERITIES, Mark, Span
from console.pages.explorer import feature_of
from console.pages.found_anomalies import complete
from console.services import Services
from console.store import tables as t

EVENTS = 20
CHANGES = ("adopted", "rolled_back", "shifted", "suppressed", "resumed", "features_changed")


def marks(
    console: Services, who: Caller, keys: Sequence[tuple[str, str]], span: tuple[int, int]
) -> dict[tuple[str, str], list[Mark]]:
    """The newest anomalies of some profiles, for their charts; those suppressed are hollow."""
    kept = t.verdicts.c
    found: dict[tuple[str, str], list[Mark]] = {}
    with console.database.read() as connection:
        for key in keys:
            if not who.sees(key[1]):
                continue
            query = (
                select(kept.verdict_id, kept.scored_at, kept.severity, kept.suppressed, kept.body)
                .where(
                    kept.kind == key[0],
                    kept.profile_id == key[1],
                    kept.anomaly,
                    kept.scored_at >= span[0],
                    kept.scored_at < span[1],
                )
                .order_by(kept.scored_at.desc())
                .limit(200)
            )
            found[key] = [
                Mark(
                    row.scored_at,
                    float(complete(row.body)["score"] or 0),
                    row.severity,
                    row.verdict_id,
                    feature_of(complete(row.body)),
                    row.suppressed,
                )
                for row in connection.execute(query)
                if row.severity in SEVERITIES
            ]
    return found


def changes(
    console: Services, who: Caller, keys: Sequence[tuple[str, str]], span: tuple[int, int]
) -> dict[tuple[str, str], list[Span]]:
    """What changed in some profiles, and notes of those who labelled: moments, the newest first."""
    seen = [key for key in keys if who.sees(key[1])]
    if not seen:
        return {}
    told, said = t.lifecycle_events.c, t.labels.c
    events = (
        select(told.kind, told.profile_id, told.event, told.version, told.at)
        .where(
            tuple_(told.kind, told.profile_id).in_(seen),
            told.event.in_(CHANGES),
            told.at >= span[0],
            told.at < span[1],
        )
        .order_by(told.at.desc())
        .limit(200)
    )
    notes = (
        select(said.kind, said.profile_id, said.note, said.at)
        .where(
            tuple_(said.kind, said.profile_id).in_(seen),
            said.note.is_not(None),
            said.at >= span[0],
            said.at < span[1],
        )
        .order_by(said.at.desc())
        .limit(50)
    )
    found: dict[tuple[str, str], list[Span]] = {}
    with console.database.read() as connection:
        for row in connection.execute(events):
            version = "" if row.version is None else f" {row.version}"
            name = f"{row.event.replace('_', ' ')}{version}"
            shade: Literal["shift", "version"] = "shift" if row.event == "shifted" else "version"
            own = found.setdefault((row.kind, row.profile_id), [])
            own.append(Span(row.at, None, name, shade))
        for kind, profile_id, note, at in connection.execute(notes):
            own = found.setdefault((kind, profile_id), [])
            own.append(Span(at, None, f"note: {note}", "version"))
    return found


def on_axis(found: dict[tuple[str, str], list[Span]], most: int = EVENTS) -> list[Span]:
    """The newest of all changes, with the profile's name if there are several."""
    several = len(found) > 1
    spans = [
        replace(span, name=f"{key[1]}: {span.name}" if several else span.name)
        for key, own in found.items()
        for span in own
    ]
    return sorted(spans, key=lambda span: -span.begin)[:most]
