"""Where to begin reading: committed offsets, checked against what the broker and the state hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.records import TopicPartition as Place
from processor.restore import REQUEST_TIMEOUT, beginnings, ends


class LostOffsets(Exception):
    """Committed offsets, or records not yet read, are gone, and the policy is to stop."""


def starting_offsets(
    consumer: Consumer,
    admin: AdminClient,
    places: Sequence[Place],
    newest: Mapping[Place, int],
    policy: str,
    log: Any,
) -> dict[Place, int]:
    """The offset to begin at for each partition.

    Args:
        newest: the newest offset of each partition that the restored state came from.
        policy: ``stop``, ``earliest`` or ``latest``, where something is lost.

    Raises:
        LostOffsets: something is lost and the policy is ``stop``; the message says how to go on.
        KafkaException: the broker did not answer.
    """
    asked = topic_partitions(places)
    committed = {
        (found.topic, found.partition): found.offset
        for found in consumer.committed(asked, timeout=REQUEST_TIMEOUT)
    }
    first, last = beginnings(admin, asked), ends(admin, asked)
    chosen: dict[Place, int] = {}
    for place in places:
        offset = committed[place]
        why = _loss(offset, first[place], last[place], newest.get(place))
        if why is None:
            chosen[place] = offset if offset >= 0 else first[place]
            continue
        told = f"{place[0]} [{place[1]}]: {why}"
        if policy == "stop":
            raise LostOffsets(
                f"{told}. To go on, start once with --lost-offsets earliest (reads what is left) "
                "or --lost-offsets latest (skips it)"
            )
        chosen[place] = _goes_on(policy, first[place], last[place], newest.get(place))
        log.warning("lost_offsets", reason=told, policy=policy, begins_at=chosen[place])
    return chosen


def _loss(committed: int, first: int, last: int, newest: int | None) -> str | None:
    """What is lost on a partition, or None; a negative offset means none was committed."""
    if committed < 0:
        if newest is None:
            return None
        return f"no committed offset, but state from offset {newest}"
    if committed < first:
        return f"records {committed} to {first - 1} were deleted before they were read"
    if committed > last:
        return f"the committed offset is {committed}, but the partition ends at {last}"
    if newest is not None and committed <= newest:
        return f"the committed offset is {committed}, but there is state from offset {newest}"
    return None


def _goes_on(policy: str, first: int, last: int, newest: int | None) -> int:
    """Where to begin after a loss: what the state knows is never read, and learnt, again."""
    if policy == "latest":
        return last
    return min(max(first, 0 if newest is None else newest + 1), last)


def topic_partitions(places: Iterable[Place]) -> list[TopicPartition]:
    """The same partitions as the client wants them."""
    return [TopicPartition(*place) for place in places]
