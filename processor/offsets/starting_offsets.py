"""Where to begin reading: committed offsets, checked against what the broker and the state hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka import topic_identity
from processor.kafka.consuming import REQUEST_TIMEOUT, earliest_offsets, latest_offsets
from processor.kafka.topic_identity import Described, Note
from processor.records import Partition


class LostOffsets(Exception):
    """Committed offsets, or records not yet read, are gone, and the policy is to stop."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the broker says of an input's partition.

    Attributes:
        committed: next offset to be answered; negative if none was committed.
        note: what was committed with it; None if another hand did, or an earlier version.
        first: first offset of the partition.
        last: its end.
    """

    committed: int
    note: Note | None
    first: int
    last: int

    @property
    def unsure(self) -> bool:
        """Whether there are unread records of which nothing tells that they are not answered."""
        return self.note is None and max(self.committed, self.first) < self.last


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost on a partition.

    Attributes:
        why: a sentence.
        known: the newest offset that must not be read again; None to read from the first on.
        anew: whether the topic was deleted and recreated.
    """

    why: str
    known: int | None
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin, and with which note offsets are committed from here on.

    Attributes:
        restated: partitions whose committed offset, or its note, is not what it is to be.
    """

    positions: dict[Partition, int]
    notes: dict[Partition, str]
    restated: list[Partition]


def find_offsets(
    consumer: Consumer, admin: AdminClient, places: Sequence[Partition]
) -> dict[Partition, Found]:
    """Committed offsets and bounds of partitions.

    Raises:
        KafkaException: the broker did not answer.
    """
    asked = topic_partitions(places)
    committed = {
        (found.topic, found.partition): found
        for found in consumer.committed(asked, timeout=REQUEST_TIMEOUT)
    }
    first, last = earliest_offsets(admin, asked), latest_offsets(admin, asked)
    return {
        place: Found(
            committed[place].offset,
            topic_identity.read_note(committed[place].metadata),
            first[place],
            last[place],
        )
        for place in places
    }


def starting_offsets(
    found: Mapping[Partition, Found],
    newest: Mapping[Partition, int],
    answered: Mapping[Partition, int],
    changelogs: Sequence[str],
    topics: Mapping[str, Described],
    policy: str,
    log: Any,
) -> Start:
    """The offset to begin at for each partition.

    Args:
        newest: the newest offset of each partition that the restored state came from.
        answered: the newest offset of each that has a verdict or a dead letter, where it was asked.
        changelogs: of the role, in their order.
        topics: what the topics are now.
        policy: ``stop``, ``earliest`` or ``latest``, where something is lost.

    Raises:
        LostOffsets: something is lost and the policy is ``stop``; the message says how to go on.
    """
    start = Start({}, {}, [])
    for place, at in found.items():
        note = topic_identity.note(place[0], changelogs, topics)
        if at.note is not None:
            note = replace(note, earlier=at.note.earlier)
        state = newest.get(place)
        loss = _renewed(at, note, state, changelogs)
        loss = loss or _loss(at, _of_this_topic(state, note), answered.get(place))
        position = at.committed if at.committed >= 0 else at.first
        if loss is not None:
            told = f"{place[0]} [{place[1]}]: {loss.why}"
            if policy == "stop":
                raise LostOffsets(
                    f"{told}. To go on, start once with --lost-offsets earliest (reads what is "
                    "left) or --lost-offsets latest (skips it)"
                )
            position = _goes_on(policy, at.first, at.last, loss.known)
            if loss.anew:
                note = replace(note, earlier=state)
            log.warning("lost_offsets", reason=told, policy=policy, begins_at=position)
        start.positions[place], start.notes[place] = position, str(note)
        if loss is not None or (at.committed >= 0 and at.note != note):
            start.restated.append(place)
    return start


def _of_this_topic(newest: int | None, note: Note) -> int | None:
    """The newest offset of the state, unless it came from an earlier topic of the same name."""
    earlier = newest is not None and note.earlier is not None and newest <= note.earlier
    return None if earlier else newest


def _renewed(at: Found, note: Note, newest: int | None, changelogs: Sequence[str]) -> Loss | None:
    """What is lost as a topic was deleted and recreated, by the note of the committed offset."""
    if at.note is None:
        return None
    if topic_identity.anew(at.note.topic, note.topic):
        return Loss(
            f"the topic was deleted and recreated: offset {at.committed} was committed for the one "
            f"with the id {at.note.topic}, and this one has {note.topic}",
            None,
            anew=True,
        )
    ids = zip(changelogs, at.note.changelogs, note.changelogs, strict=False)
    for changelog, before, now in ids:
        if topic_identity.anew(before, now):
            known = max(at.committed - 1, -1 if newest is None else newest)
            return Loss(
                f"{changelog} was deleted and recreated since offset {at.committed} was committed: "
                f"what it held of the profiles is gone, and they learn again (id {before} then, "
                f"{now} now)",
                known if known >= 0 else None,
            )
    return None


def _loss(at: Found, newest: int | None, answered: int | None = None) -> Loss | None:
    """What is lost on a partition by its offsets, or None."""
    known = max((one for one in (newest, answered) if one is not None), default=None)
    what = "state from" if known == newest else "an answer to"
    if at.committed < 0:
        if known is None:
            return None
        if known >= at.last:
            # Kafka drops committed offsets with their topic.
            return Loss(
                f"no committed offset, but {what} offset {known}, and the partition ends at "
                f"{at.last}: the topic was deleted and recreated",
                None,
                anew=True,
            )
        return Loss(f"no committed offset, but {what} offset {known}", known)
    if at.committed < at.first:
        return Loss(
            f"records {at.committed} to {at.first - 1} were deleted before they were read", known
        )
    if at.committed > at.last:
        return Loss(
            f"the committed offset is {at.committed}, but the partition ends at {at.last}", known
        )
    if known is not None and at.committed <= known:
        return Loss(
            f"the committed offset is {at.committed}, but there is {what} offset {known}", known
        )
    return None


def _goes_on(policy: str, first: int, last: int, known: int | None) -> int:
    """Where to begin after a loss: what was answered, and learnt from, is never read again."""
    if policy == "latest":
        return last
    return min(max(first, 0 if known is None else known + 1), last)


def topic_partitions(places: Iterable[Partition]) -> list[TopicPartition]:
    """The same partitions as the client wants them."""
    return [TopicPartition(*place) for place in places]
