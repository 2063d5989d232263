"""Placing: the key of a profile, and the partition that Kafka's own clients would choose for it."""

from __future__ import annotations

from typing import Final

from schemas.base import profile_id_of

MOST_KNOWN: Final = 200_000
"""Profiles whose place is remembered."""

_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash of Kafka's default partitioner, 32 bits unsigned (MurmurHash2, its own seed)."""
    length = len(data)
    found = (0x9747B28C ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        found = (found * _M & _MASK) ^ k
    rest = data[whole:]
    if rest:
        found = (found ^ int.from_bytes(rest, "little")) * _M & _MASK
    found = (found ^ found >> 13) * _M & _MASK
    return found ^ found >> 15


class Placing:
    """Key and partition of profiles, for a partition count."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._known: dict[str, tuple[bytes, int]] = {}

    def place(self, profile: str) -> tuple[bytes, int]:
        """Key and partition of a profile.

        Raises:
            ValueError: it cannot be an id; the message says why.
        """
        found = self._known.get(profile)
        if found is not None:
            return found
        try:
            key = profile.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"not UTF-8 at character {error.start}") from None
        try:
            profile_id_of(key)
        except ValueError as error:
            raise ValueError(str(error).removeprefix("key: ")) from None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        found = self._known[profile] = (key, (murmur2(key) & 0x7FFFFFFF) % self.partitions)
        return found
