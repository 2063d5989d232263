"""Verdicts without an alarm, a batch at a time: what statistics and profiles take of them.

Nearly all verdicts are of this sort. They are read by a compiled scan of the text that the scorer
writes. ``events.read`` takes whatever is written in another way, and gives the same for these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from console.live.counts import HOUR_MS, Counts, VerdictKey
from console.live.events import Item, Place, VerdictSeen
from console.live.profiles import Profiles, ProfileState
from models.kernels.memory import SLACK
from models.kernels.text import read_verdict as r
from models.kernels.text.byte_strings import Integers, concat, factorize
from processor.record_batch import RecordBatch
from schemas.base import MAX_EPOCH_MS
from schemas.telemetry import TELEMETRY

Booleans = NDArray[np.bool_]
KINDS = tuple(TELEMETRY)
SCORED = r.STATUSES.index("scored")
LEARNING = r.STATUSES.index("learning")


def _remainders() -> Integers:
    found = np.arange(256, dtype=np.int64)
    for _ in range(8):
        found = np.where(found & 1, found >> 1 ^ 0xEDB88320, found >> 1)
    return found


def _table(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], Integers]:
    text, ends = concat(texts, SLACK)
    return text, np.concatenate([np.zeros(1, np.int64), ends])


_TEXTS = _table(r.TEXTS)
_KINDS = _table([kind.encode() for kind in KINDS])
_CRC = _remainders()


class Scanned(NamedTuple):
    """What the scan found in some records.

    Attributes:
        good: whether a record is a verdict without an alarm, written as the scorer does.
        rows: columns of ``read_verdict``.
        p_values: not a number where there is none.
        ids: the distinct profiles; None for a key that is no UTF-8.
        which: profile of each record.
    """

    good: Booleans
    rows: Integers
    p_values: NDArray[np.float64]
    ids: list[str | None]
    which: Integers


def scan(keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> Scanned:
    """Read verdicts of normal records, given by key and value."""
    count = len(keys)
    good = np.zeros(count, np.bool_)
    rows = np.zeros((count, r.WIDTH), np.int64)
    p_values = np.empty(count)
    text, ends = concat([value or b"" for value in values], SLACK)
    named, key_ends = concat([key or b"" for key in keys], SLACK)
    r.read_verdicts(*_TEXTS, *_KINDS, _CRC, text, ends, named, key_ends, good, rows, p_values)
    distinct, which = factorize([key or b"" for key in keys])
    ids = [_decoded(key) for key in distinct]
    if None in ids:
        good &= np.array([name is not None for name in ids])[which]
    good &= rows[:, r.SCORED] <= MAX_EPOCH_MS
    return Scanned(good, rows, p_values, ids, which)


def _decoded(key: bytes) -> str | None:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


class Normals(NamedTuple):
    """Verdicts without an alarm of known profiles, as columns; none that becomes a row.

    Attributes:
        topic: ``anomalies``.
        states: profiles, one at least once.
        which: profile of each verdict.
        partitions, offsets: where each lies.
        rows: columns of ``read_verdict``.
        values: as they came.
    """

    topic: str
    states: list[ProfileState]
    which: Integers
    partitions: Integers
    offsets: Integers
    rows: Integers
    values: list[bytes | None]

    def since(self, held: dict[Place, int]) -> Normals:
        """Those from given offsets on."""
        firsts = {number: at for (topic, number), at in held.items() if topic == self.topic}
        least = np.zeros(max(firsts, default=0) + 1, np.int64)
        for number, at in firsts.items():
            least[number] = at
        wanted = self.offsets >= least[self.partitions]
        return self if wanted.all() else self.filter(wanted)

    def filter(self, wanted: Booleans) -> Normals:
        """Some of them."""
        return self._replace(
            which=self.which[wanted],
            partitions=self.partitions[wanted],
            offsets=self.offsets[wanted],
            rows=self.rows[wanted],
            values=[self.values[at] for at in np.flatnonzero(wanted)],
        )

    def times(self) -> list[tuple[ProfileState, int]]:
        """The newest time of each profile, epoch milliseconds."""
        newest = np.full(len(self.states), -1)
        np.maximum.at(newest, self.which, self.rows[:, r.SCORED])
        both = zip(self.states, newest.tolist(), strict=True)
        return [(state, at) for state, at in both if at >= 0]

    def newest(self) -> int:
        """The newest time of all, epoch milliseconds."""
        return int(self.rows[:, r.SCORED].max())

    def learning(self) -> list[ProfileState]:
        """Profiles that learn."""
        found = np.unique(self.which[self.rows[:, r.OF_STATUS] == LEARNING])
        return [self.states[at] for at in found.tolist()]

    def fold(self, profiles: Profiles) -> None:
        """Have the profiles know what is new of them."""
        where = np.flatnonzero(self.rows[:, r.OF_STATUS] == LEARNING)
        which, rows = self.which[where], self.rows[where]
        generation, seen, needed = rows[:, (r.GENERATION, r.SEEN, r.NEEDED)].T
        # Of each profile the newest generation counts: what it has learnt at most, needs at last.
        most = np.lexsort((seen, generation, which))
        last = np.lexsort((np.arange(len(where)), generation, which))
        ends = np.flatnonzero(np.append(np.diff(which[most]), 1)) if len(where) else where
        for at, then in zip(most[ends].tolist(), last[ends].tolist(), strict=True):
            told = int(generation[at]), int(seen[at]), int(needed[then])
            profiles.learn(self.states[which[at]], *told)
        for state, at in self.times():
            state.last_verdict_at = max(at, state.last_verdict_at or 0)
            state.updated_at = max(at, state.updated_at)

    def counts(self, organization_of: Callable[[str], str]) -> Counts:
        """Numbers of verdicts by what they are counted by."""
        found = Counts()
        if not self.size:
            return found
        names, organization = factorize([organization_of(s.profile_id) for s in self.states])
        columns = np.column_stack(
            [
                self.rows[:, r.SCORED] // HOUR_MS,
                organization[self.which],
                self.rows[:, (r.OF_KIND, r.OF_STATUS, r.OF_RULE, r.SUPPRESSED)],
            ]
        )
        # Few differ: one number stands for all of what is counted by.
        code = columns[:, 0]
        for column, size in zip(
            columns.T[1:], (len(names), len(KINDS), len(r.STATUSES), len(r.RULES), 2), strict=True
        ):
            code = code * size + column
        _, first, times = np.unique(code, return_index=True, return_counts=True)
        for (hour, own, kind, status, rule, suppressed), records in zip(
            columns[first].tolist(), times.tolist(), strict=True
        ):
            key = VerdictKey(
                hour * HOUR_MS,
                names[own],
                KINDS[kind],
                r.STATUSES[status],
                "none",
                r.RULES[rule],
                bool(suppressed),
            )
            found.verdicts[key] = records
        return found

    def find(self, wanted: Collection[tuple[str, str, str]]) -> list[Item]:
        """Verdicts by id, kind and profile."""
        profiles = {(kind, profile_id) for _, kind, profile_id in wanted}
        ids = {verdict_id for verdict_id, _, _ in wanted}
        asked = [(s.kind, s.profile_id) in profiles for s in self.states]
        items = []
        for at in np.flatnonzero(np.array(asked, np.bool_)[self.which]).tolist():
            seen = self._seen(at)
            if seen.verdict_id in ids:
                place = (self.topic, int(self.partitions[at]))
                items.append(Item(place, int(self.offsets[at]), seen))
        return items

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.which)

    def _seen(self, at: int) -> VerdictSeen:
        body: dict[str, Any] = orjson.loads(self.values[at] or b"")
        told = (body["verdict_id"], body["kind"], body["profile_id"])
        return VerdictSeen(body, *told, normal=True, scored_at=body["scored_at"])


def joined(first: Normals, second: Normals) -> Normals:
    """Those of two, one after the other."""
    return Normals(
        first.topic,
        [*first.states, *second.states],
        np.concatenate([first.which, second.which + len(first.states)]),
        np.concatenate([first.partitions, second.partitions]),
        np.concatenate([first.offsets, second.offsets]),
        np.concatenate([first.rows, second.rows]),
        [*first.values, *second.values],
    )


def split(
    records: RecordBatch,
    profiles: Profiles,
    one_in: int,
    awaited: Callable[[str, str], bool],
) -> tuple[Normals, Booleans]:
    """Verdicts of normal records that can be taken together, and which records these are.

    Args:
        records: of ``anomalies``, not empty.
        one_in: one normal verdict in so many is drawn, and so not among them.
        awaited: whether somebody waits for what is said of a profile, by kind and id.
    """
    found = scan(records.keys, records.values)
    rows = found.rows
    good = found.good & ~(_drawn(rows, one_in) & (rows[:, r.OF_STATUS] == SCORED))
    good &= (rows[:, r.GENERATION] >= 0) | (rows[:, r.OF_STATUS] != LEARNING)
    partitions = records.partitions
    code = (rows[:, r.OF_KIND] * (partitions.max() + 1) + partitions) * len(found.ids) + found.which
    positions = np.flatnonzero(good)
    _, first, which = np.unique(code[positions], return_index=True, return_inverse=True)
    states: list[ProfileState] = []
    known = np.full(len(first), -1)
    for number, at in enumerate(positions[first].tolist()):
        kind, profile_id = KINDS[rows[at, r.OF_KIND]], found.ids[found.which[at]]
        if profile_id is None or awaited(kind, profile_id):
            continue
        state = profiles.at(kind, int(partitions[at]), profile_id)
        if state is not None:
            known[number] = len(states)
            states.append(state)
    taken = known[which] >= 0
    positions, which = positions[taken], known[which[taken]]
    good = np.zeros(len(records), np.bool_)
    good[positions] = True
    values = [records.values[at] for at in positions.tolist()]
    places = (partitions[positions], records.offsets[positions])
    return Normals(records.topics[0], states, which, *places, rows[positions], values), good


def _drawn(rows: Integers, one_in: int) -> Booleans:
    """``events.is_drawn`` of each id, by its CRC-32."""
    number = rows[:, r.HASH].astype(np.uint64) * np.uint64(0x9E3779B1) & np.uint64(0xFFFFFFFF)
    drawn: Booleans = number * np.uint64(one_in) >> np.uint64(32) == 0
    return drawn
