"""Profiles in memory: what verdicts, announcements and lifecycle events say of each.

Topics are read beside one another, and after a restart some records come again. So what a record
does here depends neither on the order of topics nor on how often it comes.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from console.live.events import Announced, Happened, Seen, VerdictSeen

_SUPPRESSED = re.compile(r"until (\d{1,15}): (.*)", re.DOTALL)
"""How the scorer says a maintenance window; the time is epoch milliseconds."""

ProfileAt = tuple[str, int, str]
"""Kind, partition, profile_id."""


@dataclass(slots=True)
class ProfileState:
    """A profile; fields as the columns of the table ``profiles``, but for ``stored_at``.

    Attributes:
        stored_at: ``updated_at`` of its row in the store.
    """

    kind: str
    partition: int
    profile_id: str
    state: str = "learning"
    generation: int | None = None
    samples_seen: int = 0
    samples_needed: int = 0
    version: int | None = None
    detector: str | None = None
    last_verdict_at: int | None = None
    last_anomaly_at: int | None = None
    suppressed: bool = False
    suppressed_until: int | None = None
    suppressed_reason: str | None = None
    drifting_since: int | None = None
    first_seen_at: int = 0
    updated_at: int = 0
    stored_at: int = 0

    @property
    def at(self) -> ProfileAt:
        return (self.kind, self.partition, self.profile_id)

    @property
    def latest(self) -> int:
        """The newest generation that was seen; -1 before any."""
        return -1 if self.generation is None else self.generation

    def row(self) -> dict[str, Any]:
        """The profile as a row of the table."""
        return {name: getattr(self, name) for name in _COLUMNS}

    def is_suppressed(self, now: int) -> bool:
        """Whether it is in a maintenance window."""
        return self.suppressed and (self.suppressed_until is None or now < self.suppressed_until)


_COLUMNS = tuple(f.name for f in fields(ProfileState) if f.name != "stored_at")


def profile_hash(key: bytes, kind: str, partition: int, profile_id: str) -> str:
    """What is kept of a forgotten profile: it can be known again, not read."""
    text = f"{kind}\0{partition}\0{profile_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=key, digest_size=16).hexdigest()


class Profiles:
    """All profiles by kind and id; written by one thread, read by any.

    Args:
        key: of the hashes of forgotten profiles.
        forgotten: hash → when, epoch milliseconds.

    Attributes:
        states: how many are learning, and active.
    """

    def __init__(self, key: bytes, forgotten: dict[str, int]) -> None:
        self.key = key
        self.forgotten = forgotten
        self.states: Counter[str] = Counter()
        self._held: dict[tuple[str, str], tuple[ProfileState, ...]] = {}

    def load(self, rows: Iterable[Any]) -> None:
        """Take over rows of the table."""
        for row in rows:
            self._put(ProfileState(**row, stored_at=row["updated_at"]))

    def __len__(self) -> int:
        return len(self._held)

    def of(self, kind: str, profile_id: str) -> tuple[ProfileState, ...]:
        """The profiles of an id, one for each partition that holds it."""
        return self._held.get((kind, profile_id), ())

    def at(self, kind: str, partition: int, profile_id: str) -> ProfileState | None:
        """The profile of an id on a partition."""
        for state in self.of(kind, profile_id):
            if state.partition == partition:
                return state
        return None

    def all(self) -> Iterator[ProfileState]:
        """All of them; what is added meanwhile may be left out."""
        for states in list(self._held.values()):
            yield from states

    def is_forgotten(self, kind: str, partition: int, profile_id: str, at: int) -> bool:
        """Whether what was said at a time is of a profile that has been forgotten since."""
        if not self.forgotten:
            return False
        since = self.forgotten.get(profile_hash(self.key, kind, partition, profile_id))
        return since is not None and at <= since

    def fold(self, partition: int, seen: Seen | None) -> ProfileState | None:
        """Take in what was seen on a partition; the profile that it changed, if any is left."""
        if isinstance(seen, VerdictSeen):
            return self._verdict(partition, seen)
        if isinstance(seen, Announced):
            return self._announced(partition, seen)
        if isinstance(seen, Happened):
            return self._happened(partition, seen)
        return None

    def _verdict(self, partition: int, seen: VerdictSeen) -> ProfileState | None:
        state = self._found(seen.kind, partition, seen.profile_id, seen.scored_at)
        if state is None:
            return None
        body, at = seen.body, seen.scored_at
        if body["status"] == "learning":
            seen_, needed = _number(body.get("samples_seen")), _number(body.get("samples_needed"))
            self.learn(state, _number(body.get("generation")), seen_ or 0, needed or 0)
        state.last_verdict_at = max(at, state.last_verdict_at or 0)
        if not seen.normal:
            state.last_anomaly_at = max(at, state.last_anomaly_at or 0)
        state.updated_at = max(at, state.updated_at)
        return state

    def learn(self, state: ProfileState, generation: int | None, seen: int, needed: int) -> None:
        """Take in how far a profile has learnt, unless it is told of an earlier generation."""
        newer = generation is not None and generation > state.latest
        if not newer and (state.state != "learning" or generation != state.generation):
            return
        if newer:
            self._become(state, "learning")
            state.version = state.detector = None
            state.samples_seen = 0
        state.generation = generation
        state.samples_seen = max(state.samples_seen, seen)
        state.samples_needed = needed

    def _announced(self, partition: int, seen: Announced) -> ProfileState | None:
        record = seen.record
        if record is None:
            return None  # the lifecycle event says when
        state = self._found(seen.kind, partition, seen.profile_id, record.trained_at)
        if state is None or record.generation < state.latest:
            return None
        self._become(state, "active")
        state.version, state.detector = record.version, record.detector
        state.generation = record.generation
        state.samples_seen = state.samples_needed = record.learned
        state.updated_at = max(record.trained_at, state.updated_at)
        return state

    def _happened(self, partition: int, seen: Happened) -> ProfileState | None:
        event = seen.event
        kind = event.kind
        if kind is None:
            return None
        if event.event == "forgotten":
            if event.role == "scorer":
                self._forget(kind, partition, event.profile_id, event.at)
            return None
        state = self._found(kind, partition, event.profile_id, event.at)
        if state is None:
            return None
        if event.event == "suppressed":
            told = _SUPPRESSED.match(event.detail or "")
            state.suppressed = True
            state.suppressed_until = None if told is None else int(told[1])
            state.suppressed_reason = event.detail if told is None else told[2]
        elif event.event == "resumed":
            state.suppressed, state.suppressed_until, state.suppressed_reason = False, None, None
        elif event.event == "drifting":
            state.drifting_since = event.at
        elif event.event in ("adopted", "rolled_back"):
            state.drifting_since = None
        else:
            return None
        state.updated_at = max(event.at, state.updated_at)
        return state

    def _found(self, kind: str, partition: int, profile_id: str, at: int) -> ProfileState | None:
        """The profile, made if there is none; None where it was forgotten since."""
        state = self.at(kind, partition, profile_id)
        if state is None:
            if self.is_forgotten(kind, partition, profile_id, at):
                return None
            state = ProfileState(kind, partition, profile_id, first_seen_at=at, updated_at=at)
            self._put(state)
        return state

    def _forget(self, kind: str, partition: int, profile_id: str, at: int) -> None:
        # Attributes are of an id, wherever it lives: for these no partition is asked for.
        for number in (partition, -1):
            name = profile_hash(self.key, kind, number, profile_id)
            self.forgotten[name] = max(at, self.forgotten.get(name, 0))
        state = self.at(kind, partition, profile_id)
        if state is None or (state.first_seen_at or 0) > at:
            return
        self.states[state.state] -= 1
        left = tuple(other for other in self.of(kind, profile_id) if other is not state)
        if left:
            self._held[kind, profile_id] = left
        else:
            del self._held[kind, profile_id]

    def _become(self, state: ProfileState, name: str) -> None:
        self.states[state.state] -= 1
        self.states[name] += 1
        state.state = name

    def _put(self, state: ProfileState) -> None:
        self.states[state.state] += 1
        where = (state.kind, state.profile_id)
        self._held[where] = (*self._held.get(where, ()), state)


def _number(value: Any) -> int | None:
    # The store takes 64 bits; a parser may give one more.
    return value if type(value) is int and -(2**63) <= value < 2**63 else None
