"""Limits in memory, for each subject or address: of requests, and of streams at a time."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic

from console.problems import Problem

MOST_NAMES = 100_000


class RateLimit:
    """So many requests in so many seconds; they come back one by one.

    Args:
        requests: how many may come at once.
        seconds: in which as many come back.
    """

    def __init__(self, requests: int, seconds: float) -> None:
        self._most = float(requests)
        self._rate = requests / seconds
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now: float | None = None) -> None:
        """Count a request.

        Raises:
            Problem: 429, with ``Retry-After`` in seconds.
        """
        at = monotonic() if now is None else now
        with self._lock:
            left, since = self._left.pop(name, (self._most, at))
            left = min(self._most, left + (at - since) * self._rate)
            allowed = left >= 1
            self._left[name] = (left - 1 if allowed else left, at)
            if len(self._left) > MOST_NAMES:
                self._left.popitem(last=False)
        if not allowed:
            wait = ceil((1 - left) / self._rate)
            raise Problem(
                429,
                "too_many_requests",
                f"too many requests: try again in {wait} s",
                headers={"Retry-After": str(wait)},
            )


class Concurrent:
    """So many at a time of each name.

    Args:
        most: how many.
        what: they are, in the plural.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Count one as long as the context lasts.

        Raises:
            Problem: 429, there are as many as are allowed.
        """
        with self._lock:
            if self._held[name] >= self._most:
                raise Problem(
                    429,
                    "too_many_requests",
                    f"expected at most {self._most} {self._what} at a time",
                )
            self._held[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[name] -= 1
                if not self._held[name]:
                    del self._held[name]
