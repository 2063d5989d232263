"""Those who wait for an answer of the stream: a verdict, a dead letter, a receipt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from console.live.events import Happened, Item, Refused, VerdictSeen


class Inbox:
    """What has come for one who waits; made in the event loop, filled by the reading thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived = asyncio.Event()
        self._woken = False
        self.verdicts: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, Refused] = {}
        self.events: list[Happened] = []

    def wake(self) -> None:
        """Have whoever waits look again."""
        # Of many that come together the first one wakes the loop.
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        self._woken = False
        self._arrived.set()

    def put(self, seen: VerdictSeen | Refused | Happened) -> None:
        """Take in what came; called by the reading thread."""
        if isinstance(seen, VerdictSeen):
            self.verdicts[seen.verdict_id] = seen.body
        elif isinstance(seen, Refused):
            self.refused[seen.source] = seen
        else:
            self.events.append(seen)
        self.wake()

    async def more(self, seconds: float) -> bool:
        """Wait until something comes; False if nothing does."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        self._arrived.clear()
        return True


class Waiting:
    """Inboxes by what they wait for: a profile (kind and id), or the id of a command.

    A lifecycle event comes to both.
    """

    def __init__(self) -> None:
        self._inboxes: dict[Hashable, tuple[Inbox, ...]] = {}
        self._lock = threading.Lock()
        self.closing = False

    def close(self) -> None:
        """Have nobody wait any longer: the process is about to end."""
        self.closing = True
        for inboxes in list(self._inboxes.values()):
            for inbox in inboxes:
                inbox.wake()

    @contextmanager
    def for_any(self, *names: Hashable) -> Iterator[Inbox]:
        """An inbox for what comes under any of these names from now on.

        It is there before the record is sent, so no answer is too early for it.
        """
        inbox = Inbox(asyncio.get_running_loop())
        with self._lock:
            for name in names:
                self._inboxes[name] = (*self._inboxes.get(name, ()), inbox)
        try:
            yield inbox
        finally:
            with self._lock:
                for name in names:
                    left = tuple(i for i in self._inboxes.get(name, ()) if i is not inbox)
                    if left:
                        self._inboxes[name] = left
                    else:
                        self._inboxes.pop(name, None)

    def deliver(self, item: Item) -> bool:
        """Hand what a record holds to those who wait for it; whether anyone does."""
        seen = item.seen
        names: tuple[Hashable, ...]
        if isinstance(seen, VerdictSeen | Refused):
            names = ((seen.kind, seen.profile_id),)
        elif isinstance(seen, Happened):
            names = (seen.event.command_id, (seen.event.kind, seen.event.profile_id))
        else:
            return False
        inboxes = {inbox for name in names for inbox in self._inboxes.get(name, ())}
        for inbox in inboxes:
            inbox.put(seen)
        return bool(inboxes)

    def expects(self, kind: str, profile_id: str) -> bool:
        """Whether anyone waits for what is said of a profile."""
        return (kind, profile_id) in self._inboxes

    def __bool__(self) -> bool:
        return bool(self._inboxes)
