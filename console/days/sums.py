"""Sums of verdicts by profile and day: most of them scanned together, the others one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from console.days.tables import P_BINS
from console.live.events import VerdictSeen, is_time, read
from console.live.normals import KINDS, scan
from console.store.columns import REPLACEMENT
from models.kernels.text import read_verdict as r
from models.kernels.text.byte_strings import Integers
from processor.record_batch import RecordBatch
from processor.topics import Topics
from schemas.base import MAX_EPOCH_MS

DAY_MS = 86_400_000
ALARMS = ("low", "medium", "high", "critical")
COLUMNS = (*r.STATUSES, "suppressed", *ALARMS, "rule_alarms")
WIDTH = len(COLUMNS) + P_BINS
SEVERITIES = ("none", *ALARMS)
_SIZES = (len(SEVERITIES), 2, 2, P_BINS + 1)

ProfileDay = tuple[str, str, int]
"""Kind, profile and day."""


class Judged(NamedTuple):
    """What a verdict adds to the sums: one number for each sort of verdict."""

    status: int
    severity: int
    suppressed: bool
    rule_alarm: bool
    p_bin: int

    def code(self) -> int:
        """All of it in one number; no p-value is bin 0."""
        found = self.status
        rest = (self.severity, self.suppressed, self.rule_alarm, self.p_bin)
        for size, value in zip(_SIZES, rest, strict=True):
            found = found * size + value
        return int(found)


def increments(code: int) -> list[int]:
    """The columns, and behind them the bins of p-values, that a verdict of a code adds one to."""
    rest = []
    for size in reversed(_SIZES):
        code, value = divmod(code, size)
        rest.append(value)
    p_bin, rule_alarm, suppressed, severity = rest
    name = r.STATUSES[code]
    found = [COLUMNS.index(name)]
    if name == "scored":
        if suppressed:
            found.append(COLUMNS.index("suppressed"))
        else:
            if severity:
                found.append(COLUMNS.index(SEVERITIES[severity]))
            if p_bin:
                found.append(len(COLUMNS) + p_bin - 1)
    if rule_alarm:
        found.append(COLUMNS.index("rule_alarms"))
    return found


class ProfileSums:
    """Numbers of verdicts by profile, day and sort, of one partition."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int, int]] = Counter()
        self.records = 0

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(
        self, records: RecordBatch, topics: Topics, gone: Callable[[str, str, int], bool]
    ) -> None:
        """Take in verdicts.

        Args:
            gone: whether a verdict of a kind, profile and time is of one forgotten since.
        """
        found = scan(records.keys, records.values)
        rows, good = found.rows, found.good
        profiles, which = found.ids, found.which
        p_bins = np.where(
            np.isnan(found.p_values),
            0,
            1 + np.minimum(np.nan_to_num(found.p_values) * P_BINS, P_BINS - 1).astype(np.int64),
        )
        codes = rows[:, r.OF_STATUS]
        rules = rows[:, r.OF_RULE] > r.RULES.index("none")
        columns = (np.zeros_like(codes), rows[:, r.SUPPRESSED], rules.astype(np.int64), p_bins)
        for size, column in zip(_SIZES, columns, strict=True):
            codes = codes * size + column
        days = rows[:, r.OBSERVED] // DAY_MS
        table = np.column_stack([which, rows[:, r.OF_KIND], days, codes, rows[:, r.SCORED]])
        self._add_scanned(table[good], profiles, gone)
        for at in np.flatnonzero(~good).tolist():
            self._add_plain(read(records[at], topics, 1).seen, gone)
        self.records += len(records)

    def _add_scanned(
        self, columns: Integers, profiles: list[str | None], gone: Callable[[str, str, int], bool]
    ) -> None:
        if not len(columns):
            return
        code = columns[:, 0]
        for at in (1, 2, 3):
            code = code * (columns[:, at].max() + 1) + columns[:, at]
        _, first, which, times = np.unique(
            code, return_index=True, return_inverse=True, return_counts=True
        )
        oldest = np.full(len(first), MAX_EPOCH_MS)
        np.minimum.at(oldest, which, columns[:, 4])
        for n, (profile, kind, day, sort, _) in enumerate(columns[first].tolist()):
            profile_id = profiles[profile] or ""
            times_ = int(times[n])
            if gone(KINDS[kind], profile_id, int(oldest[n])):
                times_ = sum(
                    not gone(KINDS[kind], profile_id, at)
                    for at in columns[which == n][:, 4].tolist()
                )
            if times_:
                self._counts[KINDS[kind], profile_id, day * DAY_MS, sort] += times_

    def _add_plain(self, seen: Any, gone: Callable[[str, str, int], bool]) -> None:
        if not isinstance(seen, VerdictSeen) or gone(seen.kind, seen.profile_id, seen.scored_at):
            return
        judged, day = judged_of(seen)
        # As the store writes it, so that what is held of a profile is found again.
        kind, profile_id = (n.replace("\x00", REPLACEMENT) for n in (seen.kind, seen.profile_id))
        self._counts[kind, profile_id, day, judged.code()] += 1

    def totals(self) -> dict[ProfileDay, list[int]]:
        """Kind, profile and day → ``COLUMNS`` and the bins of p-values."""
        found: dict[ProfileDay, list[int]] = {}
        for (kind, profile_id, day, code), times in self._counts.items():
            row = found.setdefault((kind, profile_id, day), [0] * WIDTH)
            for at in increments(code):
                row[at] += times
        return found


def judged_of(seen: VerdictSeen) -> tuple[Judged, int]:
    """What a verdict adds, and to which day."""
    body = seen.body
    observed, p_value = body.get("observed_at"), body.get("p_value")
    if not is_time(observed):
        observed = seen.scored_at
    p_bin = 0
    if isinstance(p_value, int | float) and not isinstance(p_value, bool) and 0 <= p_value <= 1:
        p_bin = 1 + min(int(p_value * P_BINS), P_BINS - 1)
    judged = Judged(
        r.STATUSES.index(body["status"]),
        0 if seen.normal else SEVERITIES.index(body["severity"]),
        body.get("suppressed") is True,
        (body.get("rule_severity") or "none") != "none",
        p_bin,
    )
    return judged, observed // DAY_MS * DAY_MS
