"""Restore: the scorer's changelogs, read into its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from models.features import KINDS
from processor.records import ConsumerRecord, Partition, ProfileKey
from processor.settings import Settings
from processor.state import profile_codec, ring
from processor.state.changelog import LoadedSlots, Table
from processor.state.expiry import ProfileTtl
from processor.state.omitted_samples import Omitted
from processor.state.profile_codec import Executed
from processor.state.profiles import (
    ActiveProfile,
    LearningProfile,
    PendingDeletion,
    State,
    Suppression,
)
from processor.state.ring_codec import Slot
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
                if record.detector != detectors[record.kind]:
                    others[record.kind] += 1
            for (kind, profile_id), held, stored in self._slots.rings(partition):
                key = (partition, kind, profile_id)
                omitted.note(kind, self._learns(state, expiry, key, held, stored))
                if len(state.learning) % ROOM_FOR == 0:
                    make_room()
            windows, forgettings = self._kept(partition)
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
        if kind not in KINDS:
            return 0
        newest = max(slot.generation for slot in held.values())
        if isinstance(before, ActiveProfile) and before.record.generation >= newest:
            return 0
        self._note(kind, key[0], max(slot.offset for slot in held.values()))
        whole = ring.restored(held, self._settings.cold_start(kind))
        state.apply({key: None if whole is None else LearningProfile(whole)}, {})
        expiry.load(key, stored)
        return 0 if whole is None else ring.left_out(held, whole)

    def _kept(
        self, partition: int
    ) -> tuple[dict[ProfileKey, Suppression | None], dict[ProfileKey, PendingDeletion | None]]:
        """What ``profiles`` keeps: maintenance windows, and what is being forgotten."""
        windows: dict[ProfileKey, Suppression | None] = {}
        forgettings: dict[ProfileKey, PendingDeletion | None] = {}
        for key, value in self._loaded.items(self._topics.profiles, partition):
            try:
                kind, _, profile_id = key.decode().partition(":")
                match profile_codec.decode_note(key, value):
                    case Executed(offset):
                        self.offsets[self._topics.commands, partition] = offset
                    case Suppression() as window:
                        windows[partition, kind, profile_id] = window
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
        return windows, forgettings

    def _note(self, kind: str, partition: int, offset: int | None) -> None:
        place = (self._topics.telemetry(kind), partition)
        if offset is not None:
            self.offsets[place] = max(offset, self.offsets.get(place, -1))
