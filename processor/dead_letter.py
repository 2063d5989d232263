"""Dead letters: how a record that cannot be answered is written, and read again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from processor.records import ConsumerRecord, DeadLetter, Headers, ProducerRecord
from processor.text import headers
from processor.topics import DEAD_LETTER_LIMIT, Topics

REPLAYED = "telltale.replayed"


CUTS = ("telltale.truncated", "telltale.headers_omitted", "telltale.key_truncated")
"""Headers that say what of its record a dead letter does not hold whole."""


MAX_REASON, MAX_TOPIC, MAX_DETAIL, MAX_KEY = 100, 249, 2000, 256
"""Characters of a header, and of a key, that are kept: the topic's producers choose their length.
"""


ADDED = (
    "telltale.reason",
    "telltale.detail",
    "telltale.topic",
    "telltale.partition",
    "telltale.offset",
    *CUTS,
)
"""Headers that a dead letter has beyond those of its record, in their order."""


SOURCE_REASONS = ("unmapped", "undecodable", "schema_unavailable", "too_large")
"""Reasons of ingest, whose records come from topics of any name."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        record: as it lies in the dead-letter topic.
        topic: where it came from, with ``partition`` and ``offset``, None if no header tells.
        replayed: how often it was sent back before.
        truncated: not all of its value, key and headers was kept.
    """

    record: ConsumerRecord
    reason: str
    detail: str
    topic: str
    partition: int | None
    offset: int | None
    replayed: int
    truncated: bool

    @property
    def came_from(self) -> str:
        places = ("?" if n is None else str(n) for n in (self.partition, self.offset))
        return "-".join((self.topic or "?", *places))


def letter(record: ConsumerRecord) -> Letter:
    """Read a dead letter's headers; the last of a name counts: an earlier one is the producer's."""
    held = dict(record.headers)
    return Letter(
        record=record,
        reason=headers.header_text(held.get("telltale.reason"), MAX_REASON) or "unknown",
        detail=headers.header_text(held.get("telltale.detail"), MAX_DETAIL),
        topic=headers.header_text(held.get("telltale.topic"), MAX_TOPIC),
        partition=headers.header_number(held.get("telltale.partition")),
        offset=headers.header_number(held.get("telltale.offset")),
        replayed=headers.header_number(held.get(REPLAYED)) or 0,
        truncated=any(name in CUTS for name, _ in record.headers[-1:]),
    )


def original(found: Letter, topics: Topics, counts: Mapping[str, int]) -> ProducerRecord | str:
    """The record as it was, for where it came from, or why it cannot be sent back.

    Args:
        counts: partitions of the topics that there are.
    """
    if found.truncated:
        return "truncated: the whole record was not kept"
    if found.topic == topics.candidates:
        return "a candidate: the retrainer proposes another one"
    # Telltale's own topics are read by no source, and ingest alone gives these reasons for others.
    of_source = found.topic not in topics.configs() and found.reason in SOURCE_REASONS
    if found.topic not in (*topics.kinds(), topics.accepted) and not of_source:
        return f"not from a topic that is read here: {found.topic or 'none named'!r}"
    # The broker would refuse the whole transaction, and again at each replay.
    if found.partition is None or found.partition >= counts.get(found.topic, 0):
        return f"not from a partition that {found.topic} has"
    count = (REPLAYED, str(found.replayed + 1).encode())
    record = found.record
    own = [*(h for h in _own_headers(record.headers) if h[0] != REPLAYED), count]
    return ProducerRecord(found.topic, record.value, record.key, found.partition, headers=own)


def _own_headers(held: Headers) -> Headers:
    """Headers without those that were added at the end."""
    own = list(held)
    for name in reversed(ADDED):
        if own and own[-1][0] == name:
            own.pop()
    return tuple(own)


TRUNCATED_BYTES = 64 * 1024


def dead_letter(record: ConsumerRecord, why: DeadLetter, topic: str) -> ProducerRecord:
    """The record for the dead-letter topic: key, value and headers untouched, reason in headers.

    If that exceeds ``DEAD_LETTER_LIMIT``, the value is cut, then headers are left out, then the key
    is cut, until it fits; a header tells the whole length and SHA-256 of what is not whole.
    """
    value, key, own = record.value, record.key, list(record.headers)
    reason = [
        ("telltale.reason", why.reason.encode()),
        ("telltale.detail", why.detail.encode("utf-8", "backslashreplace")),
        ("telltale.topic", record.topic.encode()),
        ("telltale.partition", str(record.partition).encode()),
        ("telltale.offset", str(record.offset).encode()),
    ]
    cuts: list[tuple[str, bytes | None]] = []

    def letter() -> ProducerRecord:
        headers = [*own, *reason, *cuts]
        return ProducerRecord(topic, value, key, record.partition, headers=headers)

    whole = letter()
    if whole.size <= DEAD_LETTER_LIMIT:
        return whole
    if value is not None and len(value) > TRUNCATED_BYTES:
        cuts.append(("telltale.truncated", _whole(value)))
        value = value[:TRUNCATED_BYTES]
    if letter().size > DEAD_LETTER_LIMIT and own:
        text = b"".join(name.encode() + b"\0" + (held or b"") + b"\0" for name, held in own)
        cuts.append(("telltale.headers_omitted", b"%d %s" % (len(own), _whole(text))))
        own = []
    if letter().size > DEAD_LETTER_LIMIT and key is not None:
        cuts.append(("telltale.key_truncated", _whole(key)))
        key = key[:TRUNCATED_BYTES]
    return letter()


def _whole(data: bytes) -> bytes:
    """Length and SHA-256 of bytes that are not kept whole."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
