"""Payload n of a seed: a valid record, changed or not, under a key and with headers of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import orjson

from models.features import KINDS
from processor.records import ConsumerRecord, Headers
from processor.topics import Topics
from tests.fuzz.bytewise import BYTE_MUTATIONS, HEAVY_MUTATIONS
from tests.fuzz.corpus import Source
from tests.fuzz.trees import ODD_TEXT, TREE_MUTATIONS, Marks

NOW: Final = 1_700_000_000_000
FIRST_OFFSET: Final = 1_000_000
PARTITION: Final = 3
UNTOUCHED: Final = "untouched"

TOPICS: Final = Topics()
ODD_KEYS: Final = (
    None, b"", b"x" * 256, b"x" * 257, b"x" * 70_000, "é".encode() * 128, "é".encode() * 129,
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00", b"a\x00b", b"\x1f", b"\x7f", b"\xc2\x85", b"\n",
    b" ", b"..", b"../../x", b"/", b"a:b:0", b":", b"%2e", "😀".encode(), "\u202e".encode(),
    b"\xef\xbb\xbf", "\ufffe".encode(), "\u00a0".encode(), b"features:simulated-active",
)  # fmt: skip
ODD_HEADERS: Final[tuple[tuple[str, bytes | None], ...]] = (
    ("", b""), ("", None), ("a", None), ("é", b"\xff\xfe"), ("telltale.reason", b"forged"),
    ("telltale.detail", b""), ("telltale.topic", b"other"), ("telltale.offset", b"-1"),
    ("telltale.partition", b"x"), ("telltale.truncated", b"1 2"), ("telltale.replayed", b"1"),
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("traceparent", b"\x00"), ("traceparent", b"x" * 5000), ("content-type", b"application/json"),
    ("x" * 1000, b"y"), ("big", b"z" * 60_000), ("\u0000", b"\x00"),
)  # fmt: skip
ODD_TIMES: Final = (-1, 0, 1, NOW - 1, 2**31, 2**53, 2**63 - 1, -(2**63), 253_402_300_799_999)
HEAVY: Final = 0.002


@dataclass(frozen=True)
class Payload:
    """One record of the fuzzing.

    Attributes:
        number: which one of its seed.
        what: what was done to it.
    """

    number: int
    kind: str
    what: str
    record: ConsumerRecord


def payload(seed: int, number: int, sources: Mapping[str, Sequence[Source]]) -> Payload:
    """Payload ``number`` of a seed; the same whenever the sources are the same."""
    rng = Random(f"{seed} {number}")
    kind = rng.choice(tuple(KINDS))
    source = rng.choice(sources[kind])
    valid = rng.choice(source.seeds)
    drawn = rng.random()
    if drawn < 0.08:
        value, what = valid, UNTOUCHED
    elif drawn < 0.58:
        value, what = restructured(rng, valid)
    elif drawn < 0.58 + HEAVY:
        mutation = rng.choice(HEAVY_MUTATIONS)
        value, what = mutation(rng, bytearray(valid), valid), mutation.__name__
    elif drawn < 0.99:
        value, what = rewritten(rng, valid, sources)
    else:
        value, what = rng.choice(((None, "tombstone"), (b"", "nothing"), (b"{}", "empty object")))
    topic = kind
    if what != UNTOUCHED and rng.random() < 0.02:
        topic, what = rng.choice(tuple(KINDS)), f"{what}+other_topic"
    key: bytes | None = rng.choice(
        (f"{source.name}-active", f"{source.name}-active", f"{source.name}-learning")
    ).encode()
    headers: Headers = ()
    at = NOW
    if what != UNTOUCHED:
        odd = rng.random()
        if odd < 0.04:
            key = odd_key(rng)
        elif odd < 0.08:
            key = f"new-{rng.randrange(6)}".encode()
        if rng.random() < 0.08:
            headers = tuple(rng.choices(ODD_HEADERS, k=rng.choice((1, 1, 2, 5))))
        if rng.random() < 0.05:
            at = rng.choice(ODD_TIMES)
    record = ConsumerRecord(
        TOPICS.telemetry(topic), PARTITION, FIRST_OFFSET + number, key, value, headers, at
    )
    return Payload(number, topic, what, record)


def restructured(rng: Random, valid: bytes) -> tuple[bytes, str]:
    tree, marks = orjson.loads(valid), Marks()
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if tree:
            mutation = rng.choice(TREE_MUTATIONS)
            mutation(rng, tree, marks)
            names.append(mutation.__name__)
    return marks.written(tree), "+".join(names)


def rewritten(
    rng: Random, valid: bytes, sources: Mapping[str, Sequence[Source]]
) -> tuple[bytes, str]:
    other = rng.choice(rng.choice(sources[rng.choice(tuple(KINDS))]).seeds)
    names, value = [], valid
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if value:
            mutation = rng.choice(BYTE_MUTATIONS)
            value = mutation(rng, bytearray(value), other)
            names.append(mutation.__name__)
    return value, "+".join(names)


def odd_key(rng: Random) -> bytes | None:
    drawn = rng.random()
    if drawn < 0.6:
        return rng.choice(ODD_KEYS)
    if drawn < 0.8:
        return rng.choice(ODD_TEXT).encode()
    return rng.randbytes(rng.choice((1, 4, 16, 255, 256, 257, 300)))
