"""Which partitions of a process can be answered, and why the others cannot.

A record of partition n is answered on partition n of every other topic of the role. So a partition
is read only if the group gave it of every input, and if every topic that is written has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import inf
from typing import NamedTuple

from processor.records import Partition

NAMED = 10
"""Partitions of a topic that a sentence names, at most."""


class Parts(NamedTuple):
    """What a process does with the partitions that the group gave it.

    Attributes:
        common: the numbers that are read, of every input alike, and restored of the changelogs.
        unread: the partitions that it was given and does not read.
        why: why not, and what to do; None if it reads all of them.
        places: the partitions of the inputs that are read.
    """

    common: tuple[int, ...]
    unread: tuple[Partition, ...]
    why: str | None
    places: tuple[Partition, ...]


def parts(given: Mapping[str, Collection[int]], counts: Mapping[str, int]) -> Parts:
    """Divide what was given.

    Args:
        given: partitions that the group gave of each input.
        counts: partition count of each topic of the role, 0 for one that is missing; empty before
            they are known.
    """
    shared: set[int] = set.intersection(*map(set, given.values())) if given else set()
    others = [count for name, count in counts.items() if name not in given]
    common = tuple(sorted(number for number in shared if number < min(others, default=inf)))
    unread = tuple(
        (topic, number)
        for topic, numbers in given.items()
        for number in sorted(numbers)
        if number not in common
    )
    places = tuple((topic, number) for topic in given for number in common)
    return Parts(common, unread, _why(unread, counts) if unread else None, places)


def _why(unread: Iterable[Partition], counts: Mapping[str, int]) -> str:
    missing = sorted(name for name, count in counts.items() if not count)
    if missing:
        return (
            f"topics missing: {', '.join(missing)}; nothing is answered until they are there; "
            "create them with: telltale topics create"
        )
    named = f"nobody answers {listed(unread)}"
    values = list(counts.values())
    if len(set(values)) < 2:
        return (
            f"{named}: the group gave them without the same partitions of the other inputs; all "
            "processes of a role must read the same topics: stop them all and start them anew"
        )
    usual, most = max(sorted(set(values)), key=values.count), max(values)
    odd = ", ".join(f"{name} {count}" for name, count in counts.items() if count != usual)
    return (
        f"{named}: topics must have the same number of partitions, most have {usual}, but: {odd}; "
        f"give each topic {most}: kafka-topics.sh --alter --topic NAME --partitions {most} "
        "(docs/operations.md, TelltaleInputUnread, says which profiles move)"
    )


def listed(places: Iterable[Partition]) -> str:
    """Partitions as ``topic [4, 5]``, a long list cut."""
    numbers: dict[str, list[int]] = {}
    for topic, number in places:
        numbers.setdefault(topic, []).append(number)
    return ", ".join(
        f"{topic} [{', '.join(map(str, held[:NAMED]))}{', …' if len(held) > NAMED else ''}]"
        for topic, held in numbers.items()
    )
