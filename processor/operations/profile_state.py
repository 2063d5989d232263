"""``telltale profile show``: the state of a profile, read from the topics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor.kafka.reading import ToolError, admin_client, places_of, read
from processor.operations import tail
from processor.records import ConsumerRecord, ProfileKey
from processor.settings import Settings
from processor.state import profile_codec, ring, ring_codec
from processor.state.profile_codec import SHIFT, ShiftNote
from processor.state.profiles import Suppression
from processor.state.ring_codec import HEAD, Slot, SlotError
from processor.topics import Topics
from schemas import ModelRecord, explain

VERDICTS_READ = 20_000
"""Offsets before the end of a partition that are searched for a profile's last verdicts."""


@dataclass(frozen=True)
class ProfileStatus:
    """The state of a profile.

    Attributes:
        model: the current announcement; None while it learns.
        seen: usable samples so far, while it learns.
        needed: samples that its first training needs, by the settings of this command.
        suppression: its maintenance window, past ones included until it is resumed.
        shift: what is kept of a new normal or a hold; None where nothing is.
        shift_samples: of the new normal, that are stored.
        shift_needed: after how many of them it is adopted, by the settings of this command.
        verdicts: the last ones, newest first, of those near the end of its partition.
    """

    partition: int
    kind: str
    profile_id: str
    generation: int | None
    model: ModelRecord | None
    seen: int
    needed: int
    suppression: Suppression | None
    verdicts: tuple[dict[str, Any], ...] = ()
    shift: ShiftNote | None = None
    shift_samples: int = 0
    shift_needed: int = 0

    @property
    def regime(self) -> str | None:
        """``usual`` or ``shifted``; None while it learns."""
        if self.model is None:
            return None
        return "usual" if self.shift is None or self.shift.since is None else "shifted"

    @property
    def state(self) -> str:
        return "learning" if self.model is None else "active"

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "profile_id": self.profile_id,
            "kind": self.kind,
            "partition": self.partition,
            "state": self.state,
            "generation": self.generation,
            "samples_seen": self.seen,
            "samples_needed": self.needed,
            "model": None if self.model is None else self.model.model_dump(mode="json"),
            "suppressed_until": None if self.suppression is None else self.suppression.until,
            "suppressed_reason": None if self.suppression is None else self.suppression.reason,
            "regime": self.regime,
            "shifted_since": None if self.shift is None else self.shift.since,
            "shift_samples": self.shift_samples,
            "shift_needed": self.shift_needed,
            "held_until": None if self.shift is None else self.shift.held_until,
            "verdicts": list(self.verdicts),
        }


class Alarm(NamedTuple):
    """Offset of the telemetry of an anomaly, and when it was observed (epoch ms)."""

    offset: int
    observed_at: int


@dataclass(frozen=True)
class ChangelogView:
    """What the compacted topics hold of one id, by partition and kind."""

    models: dict[ProfileKey, ModelRecord]
    rings: dict[ProfileKey, dict[int, Slot]]
    windows: dict[ProfileKey, Suppression]
    shifts: dict[ProfileKey, ShiftNote] = field(default_factory=dict)

    def profiles(self) -> Iterator[ProfileKey]:
        """Partition and kind of each profile of that id."""
        yield from sorted({*self.models, *self.rings, *self.windows})


def profile_statuses(
    settings: Settings, profile_id: str, kind: str | None, verdicts: int = 5
) -> list[ProfileStatus]:
    """The state of a profile, once for each kind and partition that holds it.

    Args:
        kind: only this kind; all where None.
        verdicts: how many of the last ones.

    Raises:
        ToolError: nothing is known of it, or a topic is missing.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    kinds = tuple(KINDS) if kind is None else (kind,)
    found = search(settings, topics, profile_id, kinds)
    standings = [profile_status(settings, found, key) for key in found.profiles()]
    if not standings:
        what = "" if kind is None else f" of kind {kind}"
        raise ToolError(f"no profile {profile_id!r}{what}: it has neither model nor samples")
    recent = last_verdicts(settings, topics, {s.partition for s in standings}, profile_id)
    return [with_verdicts(standing, recent, verdicts) for standing in standings]


def search(
    settings: Settings, topics: Topics, profile_id: str, kinds: tuple[str, ...]
) -> ChangelogView:
    """Read the compacted topics to their end for what they hold of an id."""
    names = (topics.models, topics.cold_start, topics.profiles)
    wanted = {f"{kind}:{profile_id}".encode(): kind for kind in kinds}
    newest: dict[tuple[str, int, bytes], bytes] = {}
    admin = admin_client(settings)
    for record in read(settings, admin, places_of(admin, names)):
        key = record.key or b""
        whole = key.removeprefix(SHIFT)
        if record.topic == topics.cold_start:
            whole = key.rpartition(b":")[0]
        if whole not in wanted:
            continue
        if record.value is None:
            newest.pop((record.topic, record.partition, key), None)
        else:
            newest[record.topic, record.partition, key] = record.value
    found = ChangelogView({}, {}, {})
    for (topic, partition, key), value in newest.items():
        decode_into(found, topics, topic, (partition, key), value)
    return found


def decode_into(
    found: ChangelogView, topics: Topics, topic: str, place: tuple[int, bytes], value: bytes
) -> None:
    """Note what a compacted topic holds under a key; what is being forgotten is nothing to show.

    Raises:
        ToolError: it cannot be read.
    """
    partition, raw = place
    try:
        if topic == topics.cold_start:
            kind, profile_id, number = ring_codec.parse_key(raw)
            if number == HEAD:
                return
            found.rings.setdefault((partition, kind, profile_id), {})[number] = (
                ring_codec.decode_slot(value)
            )
            return
        kind, _, profile_id = raw.removeprefix(SHIFT).decode().partition(":")
        key = (partition, kind, profile_id)
        if topic == topics.models:
            found.models[key] = ModelRecord.model_validate(orjson.loads(value))
        else:
            note = profile_codec.decode_note(raw, value)
            if isinstance(note, Suppression):
                found.windows[key] = note
            elif isinstance(note, ShiftNote):
                found.shifts[key] = note
    except (SlotError, ValueError, KeyError, TypeError) as error:
        why = explain(error) if isinstance(error, ValidationError) else error
        raise ToolError(f"{topic} [{partition}]: {raw!r} cannot be read: {why}") from None


def profile_status(settings: Settings, found: ChangelogView, key: ProfileKey) -> ProfileStatus:
    """What the compacted topics say of a profile, as the scorer would restore it."""
    partition, kind, profile_id = key
    model, held = found.models.get(key), found.rings.get(key, {})
    if model is not None and any(slot.generation > model.generation for slot in held.values()):
        model = None
    learning = (
        None if model is not None else ring.restored(held, capacity=settings.cold_start(kind))
    )
    shift = found.shifts.get(key)
    if model is None or shift is None or shift.generation != model.generation:
        shift = None
    kept = 0
    if model is not None and held:
        begins = 0 if shift is None else shift.begins
        counted = [slot for slot in held.values() if slot.number >= begins]
        kept = sum(len(slot.rows) for slot in counted if slot.generation == model.generation)
    generation = model.generation if model else learning.generation if learning else None
    return ProfileStatus(
        partition=partition,
        kind=kind,
        profile_id=profile_id,
        generation=generation,
        model=model,
        seen=model.learned if model else learning.seen if learning else 0,
        needed=model.learned if model else settings.cold_start(kind),
        suppression=found.windows.get(key),
        shift=shift,
        shift_samples=kept,
        shift_needed=settings.shift_samples_for(kind),
    )


def last_verdicts(
    settings: Settings, topics: Topics, partitions: set[int], profile_id: str
) -> list[ConsumerRecord]:
    """The profile's verdicts near the end of its partitions, oldest first."""
    admin = admin_client(settings)
    places = [p for p in places_of(admin, [topics.anomalies]) if p.partition in partitions]
    key = profile_id.encode()
    return [
        record for record in read(settings, admin, places, last=VERDICTS_READ) if record.key == key
    ]


def last_alarms(settings: Settings, topics: Topics, key: ProfileKey) -> list[Alarm]:
    """The anomalies of a profile near the end of its partition, the oldest first."""
    partition, kind, profile_id = key
    recent = last_verdicts(settings, topics, {partition}, profile_id)
    told = [said for record in recent if (said := tail.parsed(record)) is not None]
    return [
        Alarm(int(said["verdict_id"].rpartition("-")[2]), said["observed_at"])
        for said in told
        if said.get("kind") == kind and said.get("anomaly") and not said.get("suppressed")
    ]


def with_verdicts(
    standing: ProfileStatus, recent: list[ConsumerRecord], most: int
) -> ProfileStatus:
    """The standing with the newest verdicts that are its own."""
    own: list[dict[str, Any]] = []
    for record in reversed(recent):
        if len(own) == most:
            break
        if record.partition == standing.partition:
            verdict = tail.parsed(record)
            if verdict is not None and verdict.get("kind") == standing.kind:
                own.append(verdict)
    return ProfileStatus(**{**vars(standing), "verdicts": tuple(own)})
