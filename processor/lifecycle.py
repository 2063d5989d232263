"""Lifecycle events of both roles: one writer, whose records always fit their topic."""

from __future__ import annotations

from processor.records import ProducerRecord
from processor.topics import LIFECYCLE_LIMIT
from schemas import LifecycleEvent

MAX_DETAIL = 10_000
"""Characters of a sentence in an event that would not fit otherwise."""


def lifecycle_record(
    topic: str, said: LifecycleEvent, partition: int, key: bytes | None = None
) -> ProducerRecord:
    """The record of an event; if it exceeds ``LIFECYCLE_LIMIT``, without its figures.

    Args:
        key: that of the record that is answered; without it, the profile's id.
    """
    out = _record(topic, said, partition, key)
    if out.size <= LIFECYCLE_LIMIT:
        return out
    size = 0 if said.figures is None else len(out.value or b"")
    short = {
        "detail": None if said.detail is None else said.detail[:MAX_DETAIL],
        "figures": None if said.figures is None else {"omitted_bytes": size},
    }
    return _record(topic, said.model_copy(update=short), partition, key)


def _record(topic: str, said: LifecycleEvent, partition: int, key: bytes | None) -> ProducerRecord:
    value = said.model_dump_json().encode()
    return ProducerRecord(topic, value, said.profile_id.encode() if key is None else key, partition)
