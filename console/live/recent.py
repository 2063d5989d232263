"""Recent events in memory, and the clients that follow them as they come."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BACKLOG = 1000
"""Events that a client may be behind; one that is further behind is dropped, not waited for."""


@dataclass(frozen=True, slots=True)
class Event:
    """What clients are told.

    Attributes:
        name: ``verdict`` or ``lifecycle``.
        profile_id: whose it is: nobody of another organisation is told.
    """

    number: int
    name: str
    profile_id: str
    body: dict[str, Any]


class Follower:
    """A client that follows; used in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self.dropped = False

    def put(self, event: Event) -> None:
        """Take in an event; a client that does not keep up is dropped."""
        if self.dropped:
            return
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped = True


class Recent:
    """The newest events, numbered as long as this process lives.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self.token = secrets.token_hex(4)
        self._ring: deque[Event] = deque(maxlen=most)
        self._number = 0
        self._followers: tuple[Follower, ...] = ()
        self._lock = threading.Lock()

    def add(self, name: str, profile_id: str, body: dict[str, Any]) -> None:
        """Keep an event and tell it to those who follow; called by the reading thread."""
        with self._lock:
            self._number += 1
            event = Event(self._number, name, profile_id, body)
            self._ring.append(event)
            followers = self._followers
        for follower in followers:
            follower.loop.call_soon_threadsafe(follower.put, event)

    def newest(self) -> list[Event]:
        """All that are kept, the newest first."""
        with self._lock:
            return list(reversed(self._ring))

    def clear(self) -> int:
        """Drop what is kept; how many there were."""
        with self._lock:
            count = len(self._ring)
            self._ring.clear()
            return count

    def forget(self, kind: str, profile_id: str) -> None:
        """Drop what is kept of a profile."""
        with self._lock:
            left = [
                e for e in self._ring if (e.body.get("kind"), e.profile_id) != (kind, profile_id)
            ]
            self._ring.clear()
            self._ring.extend(left)

    def event_id(self, event: Event) -> str:
        """By which a client says later how far it was told."""
        return f"{self.token}.{event.number}"

    @contextmanager
    def follow(self, last: str | None) -> Iterator[tuple[Follower, list[Event], bool]]:
        """Follow from now on, or from an event on.

        Args:
            last: id of the last event that the client was told.

        Returns:
            The follower, the events since ``last``, and whether all of these are still there.
        """
        follower = Follower(asyncio.get_running_loop())
        with self._lock:
            held = list(self._ring)
            number = self._number
            self._followers = (*self._followers, follower)
        try:
            token, _, told = (last or "").partition(".")
            if last is None:
                yield follower, [], True
            elif token == self.token and told.isascii() and told.isdigit() and len(told) < 16:
                since = [event for event in held if event.number > int(told)]
                yield follower, since, len(since) == max(0, number - int(told))
            else:
                yield follower, [], False
        finally:
            with self._lock:
                self._followers = tuple(f for f in self._followers if f is not follower)

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def followers(self) -> int:
        """Clients that follow now."""
        return len(self._followers)
