"""Mutations of bytes, which know nothing of JSON."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random
from typing import Final

SCRAPS: Final = (
    b"\xef\xbb\xbf", b"\x00", b"\xff", b"\xfe\xff", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\xc3", b"\x80", b"\x1f\x8b", b"\\u0000",
    b"\\ud800", b"\\udfff",
    b"\\", b'"', b"'", b"`", b",", b":", b"{", b"}", b"[", b"]", b"[[[[", b"]]]]", b"{}", b"null",
    b"true", b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-0", b"e", b"E", b".", b"+", b"-", b"0",
    b"9" * 400, b" ", b"\t", b"\r\n", b"\x0b", b"\xa0", b"\x7f", b"//", b"/*", b"#", b"\x1e",
    b"[" * 70, b"{" * 1100, b'"values":', b'"values":1,', b'"kind":"series",', b" " * 3000,
)  # fmt: skip


def flip_bits(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del other
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def set_bytes(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del other
    for _ in range(rng.choice((1, 1, 2, 8))):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def set_signs(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """Bytes become others that mean something in JSON: the text often stays JSON."""
    del other
    for _ in range(rng.choice((1, 1, 2, 3))):
        raw[rng.randrange(len(raw))] = rng.choice(b'0123456789-+.eE,:[]{}"\\ ntf')
    return bytes(raw)


def truncate(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del other
    where = rng.choice((rng.randrange(len(raw)), len(raw) - 1, rng.randrange(min(20, len(raw)))))
    return bytes(raw[:where] if rng.random() < 0.8 else raw[where:])


def splice(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """The beginning of one record and the end of another."""
    return bytes(raw[: rng.randrange(len(raw))]) + other[rng.randrange(len(other)) :]


def insert(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del other
    for _ in range(rng.choice((1, 1, 1, 3))):
        where = rng.choice((0, len(raw), rng.randrange(len(raw))))
        raw[where:where] = rng.choice(SCRAPS)
    return bytes(raw)


def cut_out(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del other
    where = rng.randrange(len(raw))
    del raw[where : where + rng.choice((1, 2, 5, 50, 1000))]
    return bytes(raw)


def double(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """A piece twice, or the whole record twice."""
    del other
    if rng.random() < 0.2:
        return bytes(raw) + rng.choice((b"", b"\n", b",", b" ")) + bytes(raw)
    where, length = rng.randrange(len(raw)), rng.choice((1, 3, 20, 200))
    raw[where:where] = raw[where : where + length] * rng.choice((1, 1, 2, 50))
    return bytes(raw)


def recode(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """In another encoding, or packed."""
    del other
    text = raw.decode("utf-8", "replace")
    coding = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "gzip"))
    return gzip.compress(bytes(raw), mtime=0) if coding == "gzip" else text.encode(coding)


def garbage(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del raw, other
    return rng.randbytes(rng.choice((0, 1, 2, 10, 100, 5000)))


def scraps(rng: Random, raw: bytearray, other: bytes) -> bytes:
    del raw, other
    return b"".join(rng.choices(SCRAPS, k=rng.choice((1, 3, 10, 30))))


def flood(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """One thing very often, in a field that nobody knows or as the whole record."""
    del other
    piece = rng.choice((b"[", b"{", b"[],", b"{},", b'"",', b"1,", b'{"":0},', b'"a":1,', b"\\u00"))
    many = piece * (rng.choice((2_000, 2_000, 20_000, 200_000)) // len(piece))
    if rng.random() < 0.3:
        return many
    return b'{"x":[' + many + b"0]," + bytes(raw[1:])


def oversize(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """As large as a record may be, or larger."""
    del other
    size = rng.choice((999_999, 1_000_000, 1_000_001, 1_500_000))
    return bytes(raw).ljust(size, rng.choice((b" ", b" ", b"\x00", b"]")))


def long_names(rng: Random, raw: bytearray, other: bytes) -> bytes:
    """Names of features that take six times their bytes when they are written again."""
    del raw, other
    count = rng.choice((10, 900))
    name = rng.choice((b"\x7f", "\u2028".encode(), b"a", b"\\u0001")) * rng.choice((20, 160))
    return b'{"values":{' + b",".join(b'"%b%d":1' % (name, n) for n in range(count)) + b"}}"


BYTE_MUTATIONS: Final[tuple[Callable[[Random, bytearray, bytes], bytes], ...]] = (
    flip_bits, flip_bits, set_bytes, set_signs, set_signs, truncate, splice, insert, insert,
    cut_out, double, recode, garbage, scraps,
)  # fmt: skip
HEAVY_MUTATIONS: Final[tuple[Callable[[Random, bytearray, bytes], bytes], ...]] = (
    flood,
    oversize,
    long_names,
)
