"""Restore: the scorer's changelogs, read into its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from models.detectors import detector_of
from models.detectors.forecast.state import from_bytes
from models.features import KINDS
from models.learning.shifts.levels import Level, LevelWatch
from models.learning.shifts.recent import NOT_WATCHED, WINDOW, Recent
from processor.records import ConsumerRecord, Partition, ProfileKey
from processor.settings import Settings
from processor.state import profile_codec, ring, ring_codec
from processor.state.changelog import LoadedSlots, Table
from processor.state.expiry import ProfileTtl
from processor.state.omitted_samples import Omitted
from processor.state.profile_codec import SHIFT, Executed, ShiftNote
from processor.state.profiles import (
    ActiveProfile,
    LearningProfile,
    PendingDeletion,
    State,
    Suppression,
)
from processor.state.ring import Ring
from processor.state.ring_codec import HEAD, Slot, decode_online
from processor.state.shifts import NameWatch, Shift
from processor.text.escaping import key_digest
from processor.topics import Topics

ROOM_FOR = 500
"""Profiles restored between two looks at whether memory holds too many."""


class Restored:
    """What was read of the changelogs, until it is taken into the state.

    Attributes:
        offsets: the newest offset of each input that the state came from.
    """

    def __init__(self, settings: Settings, topics: Topics, log: Any) -> None:
        self.offsets: dict[Partition, int] = {}
        self._settings = settings
        self._topics = topics
        self._log = log
        self._loaded = Table()
        self._slots = LoadedSlots(settings.spill_bytes, log)

    def load(self, record: ConsumerRecord) -> None:
        """Take a record of a changelog."""
        if record.topic == self._topics.cold_start:
            self._slots.load(record)
        else:
            self._loaded.load(record)

    def into(
        self,
        state: State,
        expiry: ProfileTtl,
        make_room: Callable[[], None],
        partitions: Iterable[int],
    ) -> None:
        """State of these partitions from their models, rings and maintenance windows.

        Args:
            make_room: spills learning profiles if memory holds too many.
        """
        omitted, others = Omitted(), Counter[str]()
        detectors = {
            name: self._settings.detector_for(name, kind.detector) for name, kind in KINDS.items()
        }
        for partition in partitions:
            for record in self._loaded.models(self._topics.models, partition, self._log):
                key = (partition, record.kind, record.profile_id)
                self._note(record.kind, partition, record.source_offset)
                state.apply({key: ActiveProfile(record)}, {})
                expiry.load(key, None)
                if record.detector != detector_of(detectors[record.kind], record.trained_on):
                    others[record.kind] += 1
            windows, forgettings, notes = self._kept(partition)
            for key, note in notes.items():
                self._holds(state, key, note)
            for (kind, profile_id), held, stored, head in self._slots.rings(partition):
                key = (partition, kind, profile_id)
                if head is not None:
                    self._continue(state, key, head)
                if held and self._shifts(state, key, held, notes.get(key)):
                    continue
                omitted.note(kind, self._learns(state, expiry, key, held, stored))
                if len(state.learning) % ROOM_FOR == 0:
                    make_room()
            self._loaded.drop(partition)
            state.apply({}, windows, forgettings)
            make_room()
        self._loaded = Table()
        self._slots.clear()
        omitted.tell(self._log, self._topics.cold_start, "TELLTALE_COLD_START_SAMPLES")
        for kind, profiles in others.items():
            self._log.warning(
                "detector_differs",
                kind=kind,
                configured=detectors[kind],
                profiles=profiles,
                detail="they keep their detector until they are retrained, which moves them over: "
                f"telltale profile retrain --all --kind {kind}",
            )

    def clear(self) -> None:
        """Let go of everything, the local file included."""
        self._loaded = Table()
        self._slots.clear()
        self.offsets.clear()

    def _continue(self, state: State, key: ProfileKey, stored: bytes) -> None:
        """Give an active profile the online state of its generation."""
        before = state.profiles.get(key)
        try:
            generation, online = decode_online(stored)
            from_bytes(online)
        except ValueError as error:
            name = key_digest(ring_codec.key(key[1], key[2], HEAD))
            self._log.error("online_state_unreadable", key_sha256=name, error=str(error))
            return
        if isinstance(before, ActiveProfile) and before.record.generation == generation:
            state.apply({key: before._replace(online=online)}, {})

    def _learns(
        self,
        state: State,
        expiry: ProfileTtl,
        key: ProfileKey,
        held: Mapping[int, Slot],
        stored: int,
    ) -> int:
        """Take the ring of a profile, unless its model is as new; samples that it leaves out.

        Args:
            stored: epoch milliseconds of its newest record.
        """
        kind, before = key[1], state.profiles.get(key)
        if kind not in KINDS or not held:
            return 0
        newest = max(slot.generation for slot in held.values())
        if isinstance(before, ActiveProfile) and before.record.generation >= newest:
            return 0
        self._note(kind, key[0], max(slot.offset for slot in held.values()))
        whole = ring.restored(held, self._settings.cold_start(kind))
        state.apply({key: None if whole is None else LearningProfile(whole)}, {})
        expiry.load(key, stored)
        return 0 if whole is None else ring.left_out(held, whole)

    def _holds(self, state: State, key: ProfileKey, note: ShiftNote) -> None:
        """Take what is kept of an active profile's shift, whose samples may follow."""
        active = state.profiles.get(key)
        if isinstance(active, ActiveProfile) and active.record.generation == note.generation:
            empty = Shift.empty(active.record).ring
            # Whether its names have come back is looked at from here on.
            watch = {key: NameWatch()} if note.renamed else {}
            state.apply({}, {}, shifts={key: restored_shift(empty, note)}, names=watch)

    def _shifts(
        self, state: State, key: ProfileKey, held: Mapping[int, Slot], note: ShiftNote | None
    ) -> bool:
        """Take the ring of an active profile: what it learns beside is a new normal."""
        active = state.profiles.get(key)
        if not isinstance(active, ActiveProfile) or key[1] not in KINDS:
            return False
        generation, names = active.record.generation, tuple(active.record.features)
        capacity = max(self._settings.shift_samples_for(key[1]), WINDOW)
        renamed = note is not None and note.renamed
        if not renamed:
            # Of a version with other features, which a process that died did not clear.
            held = {at: slot for at, slot in held.items() if slot.rows.shape[1] == len(names)}
        whole = ring.restored(held, capacity, None if renamed else names)
        if whole is None or whole.generation != generation:
            return False
        if note is not None and note.generation != generation:
            note = None
        self._note(key[1], key[0], max(slot.offset for slot in held.values()))
        state.apply({}, {}, shifts={key: restored_shift(whole, note)})
        return True

    def _kept(
        self, partition: int
    ) -> tuple[
        dict[ProfileKey, Suppression | None],
        dict[ProfileKey, PendingDeletion | None],
        dict[ProfileKey, ShiftNote],
    ]:
        """What ``profiles`` keeps: maintenance windows, what is being forgotten, and shifts."""
        notes: dict[ProfileKey, ShiftNote] = {}
        windows: dict[ProfileKey, Suppression | None] = {}
        forgettings: dict[ProfileKey, PendingDeletion | None] = {}
        for key, value in self._loaded.items(self._topics.profiles, partition):
            try:
                kind, _, profile_id = key.removeprefix(SHIFT).decode().partition(":")
                match profile_codec.decode_note(key, value):
                    case Executed(offset):
                        self.offsets[self._topics.commands, partition] = offset
                    case Suppression() as window:
                        windows[partition, kind, profile_id] = window
                    case ShiftNote() as note:
                        notes[partition, kind, profile_id] = note
                    case deletion:
                        forgettings[partition, kind, profile_id] = deletion
            except ValueError as error:
                # The text of the error may hold the id: the log names no profile.
                self._log.error(
                    "profile_unreadable",
                    partition=partition,
                    key_sha256=key_digest(key),
                    error=type(error).__name__,
                )
        return windows, forgettings, notes

    def _note(self, kind: str, partition: int, offset: int | None) -> None:
        place = (self._topics.telemetry(kind), partition)
        if offset is not None:
            self.offsets[place] = max(offset, self.offsets.get(place, -1))


def restored_shift(held: Ring, note: ShiftNote | None) -> Shift:
    """A shift by its ring and its note; which of the last records were normal is not kept.

    Samples behind what the note tells of are those of a watch.
    """
    first = min((slot.number for slot in held.slots.values()), default=held.records)
    if note is None:
        begins = watched = first
    else:
        begins, watched = note.begins, held.records if note.ends is None else note.ends
    since = None if note is None else note.since
    renamed = note is not None and note.renamed
    seen = min(max(held.records - watched, 0), WINDOW)
    if since is not None:
        seen = 0 if renamed else WINDOW
    recent = Recent((1 << seen) - 1, seen) if seen else NOT_WATCHED
    until = None if note is None else note.held_until
    level = None
    if note is not None and note.level is not None:
        level, recent = LevelWatch(Level(*note.level)), NOT_WATCHED
    adopted = level is not None and since is None
    return Shift(
        held, (), recent, begins, watched, since, until, renamed, level=level, adopted=adopted
    )
