"""What a process knows of the new normals of its profiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from models.learning.shifts.levels import LevelWatch
from models.learning.shifts.recent import NOT_WATCHED, Recent
from processor.state.ring import Floats, Ring
from schemas import ModelRecord


@dataclass(frozen=True, slots=True)
class Shift:
    """What abnormal records of an active profile say of a new normal, and whether it may learn it.

    Attributes:
        ring: abnormal samples that are stored, of the profile's generation.
        pending: those of a watch that has just begun, (offset, samples) each; not stored.
        recent: the last scored records; none where the profile is not watched.
        begins: number in the ring of the first record that belongs to the new normal.
        watched: number in the ring of the first record of this watch.
        since: verdict id of the first abnormal record, once the shift is told.
        renamed: it is other names that are learnt, from all records, not from abnormal ones.
        retry_at: records in the ring from which on it is tried again, after that failed.
        held_until: nothing is learnt from it before, epoch milliseconds; None where it may be.
        level: of a detector that follows a new level by itself, the points since there is evidence
            of one; of these no samples are stored.
        adopted: an operator has adopted its level, and no version knows it yet.
    """

    ring: Ring
    pending: tuple[tuple[int, Floats], ...] = ()
    recent: Recent = NOT_WATCHED
    begins: int = 0
    watched: int = 0
    since: str | None = None
    held_until: int | None = None
    renamed: bool = False
    retry_at: int = 0
    level: LevelWatch | None = None
    adopted: bool = False

    @classmethod
    def empty(cls, announced: ModelRecord) -> Self:
        """Nothing but what samples of the version in force would have."""
        return cls(Ring(announced.generation, tuple(announced.features)))

    def only_held(self, announced: ModelRecord) -> Self | None:
        """What is left without its samples: the hold, or nothing."""
        if self.held_until is None:
            return None
        return replace(self.empty(announced), held_until=self.held_until)

    @property
    def nbytes(self) -> int:
        """Bytes of its samples and points, as if each record had as many as the newest."""
        newest = self.ring.newest
        kept = 0 if newest is None else newest.rows.nbytes * len(self.ring.slots)
        points = 0 if self.level is None else 16 * len(self.level.values)
        return kept + points + sum(rows.nbytes for _, rows in self.pending)

    @property
    def told(self) -> bool:
        """Whether there is a new normal to adopt."""
        return self.since is not None

    @property
    def shifted(self) -> bool:
        """Whether the profile's records are abnormal in one and the same way."""
        return self.since is not None and not self.renamed


class NameWatch(NamedTuple):
    """How the names of a profile's last records differ from those that it learnt.

    Attributes:
        recent: of each record the names that the profile does not have, and those that are missing.
        records: how many were looked at.
    """

    recent: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    records: int = 0
