"""What the Explorer shows: lanes, the anomalies of those that are chosen, and what changed then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import Query
from sqlalchemy import select, tuple_

from console.answers import Word, rfc3339
from console.auth.permissions import Caller
from console.figures import SEVERITIES, Lane
from console.lanes.query import Found, Wanted, first_anomaly
from console.lanes.routes import TOPS, chosen_severities, lanes_of, stretch, values_of
from console.live.state import now_ms
from console.pages.found_anomalies import complete
from console.problems import Problem
from console.routes.verdicts import moment
from console.services import Services
from console.store import tables as t

Last = Literal["", "1h", "6h", "24h", "7d", "30d"]
LASTS: dict[Last, int] = {
    "1h": 3_600_000,
    "6h": 6 * 3_600_000,
    "24h": 86_400_000,
    "7d": 7 * 86_400_000,
    "30d": 30 * 86_400_000,
}
ROWS, SCANNED = 25, 5000
"""Anomalies that the table shows, and that are looked through where SQL cannot say which."""

CHARTS = 6


@dataclass(frozen=True)
class Asked:
    """The state of the page, as its address says it.

    Attributes:
        last: the latest hours; empty, the fewest that hold all anomalies of a day.
        hide: severities that are hidden, with commas between them.
        lane: lanes that are chosen; a profile is its kind, a slash, and its id.
        begin, end: the stretch of time that is chosen within the shown one.
    """

    last: Annotated[Last, Query()] = ""
    since: Annotated[Word, Query()] = ""
    until: Annotated[Word, Query()] = ""
    view: Annotated[Word, Query()] = "profile"
    sort: Annotated[Literal["severity", "count"], Query()] = "severity"
    top: Annotated[int, Query()] = 10
    kind: Annotated[Word, Query()] = ""
    hide: Annotated[Word, Query()] = ""
    lane: Annotated[list[Word] | None, Query(max_length=50)] = None
    begin: Annotated[Word, Query(alias="from")] = ""
    end: Annotated[Word, Query(alias="to")] = ""

    @property
    def fixed(self) -> bool:
        """Whether the shown time is fixed, rather than the latest hours."""
        return bool(self.since and self.until)

    @property
    def hidden(self) -> tuple[str, ...]:
        return chosen_severities(self.hide)

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(name for name in SEVERITIES if name not in self.hidden)

    def span(self) -> tuple[int, int]:
        """What is shown, epoch milliseconds.

        Raises:
            Problem: 422, the times are none.
        """
        if self.fixed:
            return stretch(self.since, self.until)
        now = now_ms()
        return now - LASTS[self.last or "24h"], now

    def window(self) -> tuple[int, int] | None:
        """What is chosen of it, epoch milliseconds.

        Raises:
            Problem: 422, the times are none.
        """
        if not (self.begin and self.end):
            return None
        return moment(self.begin, "from"), moment(self.end, "to")


def fitted(console: Services, who: Caller, asked: Asked) -> tuple[Asked, Found, str]:
    """What is asked for, with the latest hours chosen if the address has none, and its lanes.

    Of a day, those hours are left out before which nothing was abnormal: what began an hour ago
    would be one column of a day.

    Raises:
        Problem: 422, 403: as for the endpoint.
    """
    if asked.last or asked.fixed:
        return asked, *lanes(console, who, asked)
    begin, now = replace(asked, last="24h").span()
    first = first_anomaly(
        console.state.lanes,
        console.database,
        Wanted(begin, now, kind=asked.kind or None, prefix=who.profile_prefix),
    )
    last: Last = "24h"
    if first is not None:
        last = next((name for name, ms in LASTS.items() if now - first < ms), "24h")
    shown = replace(asked, last=last)
    return shown, *lanes(console, who, shown)


def lanes(console: Services, who: Caller, asked: Asked) -> tuple[Found, str]:
    """The lanes that are shown, and the view without the attribute's name.

    Raises:
        Problem: 422, 403: as for the endpoint.
    """
    if asked.top not in TOPS:
        raise Problem(422, "invalid_request", f"top: expected one of {TOPS}, got {asked.top}")
    begin, end = asked.span()
    wanted = Wanted(begin, end, asked.view, asked.sort, asked.top, asked.shown, asked.kind or None)
    return lanes_of(console, who, wanted)


def lane_name(key: Sequence[str], view: str) -> str:
    """What the address calls a lane."""
    return "/".join(key) if view == "profile" else key[0]


def lane_key(name: str) -> tuple[str, str]:
    """Kind and id of the profile that a lane's name says."""
    kind, _, profile_id = name.partition("/")
    return kind, profile_id


def chosen_numbers(found: Found, view: str, asked: Asked) -> list[int]:
    """Which of the lanes are chosen."""
    chosen = set(asked.lane or ())
    return [n for n, key in enumerate(found.keys) if lane_name(key, view) in chosen]


def worst_cells(found: Found, lane: Lane, most: int = 3) -> list[dict[str, Any]]:
    """The gravest intervals of a lane, the newest first among equals."""
    cells = [
        (SEVERITIES.index(severity), lane.counts[place], place)
        for place, severity in enumerate(lane.severities)
        if severity is not None
    ]
    return [
        {
            "severity": SEVERITIES[rank],
            "count": count,
            "at": found.starts[place],
            "from": rfc3339(found.starts[place]),
            "to": rfc3339(found.starts[place] + found.width),
        }
        for rank, count, place in sorted(cells, reverse=True)[:most]
    ]


def anomalies(
    console: Services, who: Caller, asked: Asked, found: Found, view: str
) -> tuple[list[dict[str, Any]], bool]:
    """The newest anomalies of what is chosen, and whether there are more.

    Those in a maintenance window are left out, as in the lanes.
    """
    kept, said = t.verdicts.c, t.labels.c
    begin, end = asked.window() or (found.starts[0], found.starts[-1] + found.width)
    conditions = [
        kept.anomaly,
        ~kept.suppressed,
        who.own(kept.profile_id),
        kept.scored_at >= begin,
        kept.scored_at < end,
        kept.severity.in_(asked.shown),
    ]
    if asked.kind:
        conditions.append(kept.kind == asked.kind)
    keep: Callable[[dict[str, Any]], bool] | None = None
    if asked.lane and view == "profile":
        keys = [lane_key(name) for name in asked.lane]
        conditions.append(tuple_(kept.kind, kept.profile_id).in_(keys))
    elif asked.lane and view == "kind":
        conditions.append(kept.kind.in_(asked.lane))
    elif asked.lane:
        keep = _chosen_by(console, who, asked, view)
    query = (
        select(kept.body, said.label, said.note)
        .select_from(t.verdicts.join(t.labels, said.verdict_id == kept.verdict_id, isouter=True))
        .where(*conditions)
        .order_by(kept.scored_at.desc(), kept.verdict_id.desc())
        .limit(ROWS + 1 if keep is None else SCANNED)
    )
    rows: list[dict[str, Any]] = []
    with console.database.read() as connection:
        for row in connection.execute(query):
            item = complete(row.body, label=row.label, note=row.note)
            if keep is None or keep(item):
                rows.append(item)
            if len(rows) > ROWS:
                break
    return rows[:ROWS], len(rows) > ROWS


def _chosen_by(
    console: Services, who: Caller, asked: Asked, view: str
) -> Callable[[dict[str, Any]], bool]:
    names = set(asked.lane or ())
    if view == "feature":
        return lambda item: feature_of(item) in names
    values = values_of(console, who, asked.view.partition(":")[2])
    return lambda item: values.get((item["kind"], item["profile_id"]), "unknown") in names


def feature_of(item: dict[str, Any]) -> str:
    """The feature that a verdict's first reason names."""
    reasons = item["reasons"]
    return str(reasons[0].get("feature") or "none") if reasons else "none"


def charted(found: Found, view: str, asked: Asked) -> list[tuple[str, str]]:
    """The profiles that get a chart of their own: those chosen, else the first lanes."""
    if view != "profile":
        return []
    chosen = [lane_key(name) for name in asked.lane or ()]
    return (chosen or [(key[0], key[1]) for key in found.keys])[:CHARTS]
