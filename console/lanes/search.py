"""Search for profiles by a part of their id, in memory."""

from __future__ import annotations

from heapq import nsmallest

from console.live.profiles import Profiles, ProfileState

FOUND = 20


def search(profiles: Profiles, prefix: str, text: str, most: int = FOUND) -> list[ProfileState]:
    """Profiles whose id holds a text, in any case: the same id first, then those that begin so.

    Args:
        prefix: of the ids of the profiles that the caller sees.
    """
    wanted = text.casefold()
    found: list[tuple[int, str, str, int, ProfileState]] = []
    for state in profiles.all():
        name = state.profile_id
        place = name.casefold().find(wanted)
        if place >= 0 and name.startswith(prefix):
            same = len(name) == len(text)
            rank = 0 if place == 0 and same else 1 if place == 0 else 2
            found.append((rank, name, state.kind, state.partition, state))
    # A profile of each partition that holds an id; none is there twice.
    return [row[-1] for row in nsmallest(most, found, key=lambda row: row[:-1])]
