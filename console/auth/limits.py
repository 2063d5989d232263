"""Rate limits in memory: a bucket of requests for each subject or address."""

from __future__ import annotations

import threading
from collections import OrderedDict
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
