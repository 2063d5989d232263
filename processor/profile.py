"""``telltale profile show``: where a profile stands, read from the topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor import ring, slots, tail
from processor.names import Topics
from processor.records import Incoming, ProfileKey
from processor.settings import Settings
from processor.slots import Slot, SlotError
from processor.state import Suppression
from processor.tools import ToolError, admin_client, places_of, read
from schemas import ModelRecord, explain

VERDICTS_READ = 20_000
"""Offsets before the end of a partition that are searched for a profile's last verdicts."""


@dataclass(frozen=True)
class Standing:
    """Where a profile stands.

    Attributes:
        model: the current announcement; None while it learns.
        seen: usable samples so far, while it learns.
        needed: samples that its first training needs, by the settings of this command.
        suppression: its maintenance window, past ones included until it is resumed.
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
            "verdicts": list(self.verdicts),
        }


@dataclass(frozen=True)
class Found:
    """What the compacted topics hold of one id, by partition and kind."""

    models: dict[ProfileKey, ModelRecord]
    rings: dict[ProfileKey, dict[int, Slot]]
    windows: dict[ProfileKey, Suppression]

    def profiles(self) -> Iterator[ProfileKey]:
        """Partition and kind of each profile of that id."""
        yield from sorted({*self.models, *self.rings, *self.windows})


def stand(
    settings: Settings, profile_id: str, kind: str | None, verdicts: int = 5
) -> list[Standing]:
    """Where a profile stands, once for each kind and partition that holds it.

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
    standings = [standing_of(settings, found, key) for key in found.profiles()]
    if not standings:
        what = "" if kind is None else f" of kind {kind}"
        raise ToolError(f"no profile {profile_id!r}{what}: it has neither model nor samples")
    recent = last_verdicts(settings, topics, {s.partition for s in standings}, profile_id)
    return [with_verdicts(standing, recent, verdicts) for standing in standings]


def search(settings: Settings, topics: Topics, profile_id: str, kinds: tuple[str, ...]) -> Found:
    """Read the compacted topics to their end for what they hold of an id."""
    names = (topics.models, topics.cold_start, topics.profiles)
    wanted = {f"{kind}:{profile_id}".encode(): kind for kind in kinds}
    newest: dict[tuple[str, int, bytes], bytes] = {}
    admin = admin_client(settings)
    for record in read(settings, admin, places_of(admin, names)):
        key = record.key or b""
        whole = key.rpartition(b":")[0] if record.topic == topics.cold_start else key
        if whole not in wanted:
            continue
        if record.value is None:
            newest.pop((record.topic, record.partition, key), None)
        else:
            newest[record.topic, record.partition, key] = record.value
    found = Found({}, {}, {})
    for (topic, partition, key), value in newest.items():
        keep(found, topics, topic, (partition, key), value)
    return found


def keep(found: Found, topics: Topics, topic: str, place: tuple[int, bytes], value: bytes) -> None:
    """Note what a compacted topic holds under a key; what is being forgotten is nothing to show.

    Raises:
        ToolError: it cannot be read.
    """
    partition, raw = place
    try:
        if topic == topics.cold_start:
            kind, profile_id, number = slots.parse_key(raw)
            found.rings.setdefault((partition, kind, profile_id), {})[number] = slots.decode(value)
            return
        kind, _, profile_id = raw.decode().partition(":")
        key = (partition, kind, profile_id)
        if topic == topics.models:
            found.models[key] = ModelRecord.model_validate(orjson.loads(value))
        else:
            kept = orjson.loads(value)
            if "forgetting" not in kept:
                found.windows[key] = _window(kept)
    except (SlotError, ValueError, KeyError, TypeError) as error:
        why = explain(error) if isinstance(error, ValidationError) else error
        raise ToolError(f"{topic} [{partition}]: {raw!r} cannot be read: {why}") from None


def _window(kept: Mapping[str, Any]) -> Suppression:
    """A maintenance window of ``profiles``.

    Raises:
        KeyError, TypeError: it is none.
    """
    until, reason = kept["until"], kept.get("reason")
    if type(until) is not int or not isinstance(reason, str | None):
        raise TypeError("expected until as an integer, and reason as text or null")
    return Suppression(until, reason)


def standing_of(settings: Settings, found: Found, key: ProfileKey) -> Standing:
    """What the compacted topics say of a profile, as the scorer would restore it."""
    partition, kind, profile_id = key
    model, held = found.models.get(key), found.rings.get(key, {})
    if model is not None and any(slot.generation > model.generation for slot in held.values()):
        model = None
    learning = (
        None if model is not None else ring.restored(held, capacity=settings.cold_start(kind))
    )
    generation = model.generation if model else learning.generation if learning else None
    return Standing(
        partition=partition,
        kind=kind,
        profile_id=profile_id,
        generation=generation,
        model=model,
        seen=model.learned if model else learning.seen if learning else 0,
        needed=model.learned if model else settings.cold_start(kind),
        suppression=found.windows.get(key),
    )


def last_verdicts(
    settings: Settings, topics: Topics, partitions: set[int], profile_id: str
) -> list[Incoming]:
    """The profile's verdicts near the end of its partitions, oldest first."""
    admin = admin_client(settings)
    places = [p for p in places_of(admin, [topics.anomalies]) if p.partition in partitions]
    key = profile_id.encode()
    return [
        record for record in read(settings, admin, places, last=VERDICTS_READ) if record.key == key
    ]


def with_verdicts(standing: Standing, recent: list[Incoming], most: int) -> Standing:
    """The standing with the newest verdicts that are its own."""
    own: list[dict[str, Any]] = []
    for record in reversed(recent):
        if len(own) == most:
            break
        if record.partition == standing.partition:
            verdict = tail.parsed(record)
            if verdict is not None and verdict.get("kind") == standing.kind:
                own.append(verdict)
    return Standing(**{**vars(standing), "verdicts": tuple(own)})
