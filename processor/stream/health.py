"""Health: what a role tells the probes."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from processor.settings import Settings
from processor.stream.transaction import Fatal

BROKER_SECONDS = 15.0


@dataclass
class Health:
    """What a role's loop last said of itself; written by the loop, read by the server.

    Attributes:
        turned: monotonic time of the loop's last turn.
        waiting: why the role is not ready, or None.
        fatal: the error after which the role is never healthy again.
        broker_seen: monotonic time at which the broker last answered.
        live_seconds: how long a turn may take.
    """

    turned: float = field(default_factory=monotonic)
    waiting: str | None = "starting"
    fatal: str | None = None
    broker_seen: float = field(default_factory=monotonic)
    live_seconds: float = 60.0

    def live(self) -> str | None:
        """Why the role is not alive, or None."""
        if self.fatal is not None:
            return f"fatal: {self.fatal}"
        silent = monotonic() - self.turned
        return f"the loop has not turned for {silent:.0f} s" if silent > self.live_seconds else None

    def ready(self) -> str | None:
        """Why the role is not ready, or None."""
        dead = self.live()
        if dead is not None:
            return dead
        silent = monotonic() - self.broker_seen
        if silent > BROKER_SECONDS:
            return f"the broker has not answered for {silent:.0f} s"
        return self.waiting


def liveness_timeout(settings: Settings) -> float:
    """Seconds that a turn may take while the loop still counts as alive.

    The group gives a batch ``max.poll.interval.ms``; one call to a broker that is away can take
    twice the time-out of a transaction.
    """
    return max(settings.max_poll_interval_ms, 3 * settings.transaction_timeout_ms) / 1000


class Membership:
    """Ends a role without an assignment for too long, though the broker answers.

    librdkafka (2.16) may never join again where the coordinator moved away, or was fenced,
    between its request to join and the answer; polling goes on as if nothing were wrong.
    """

    def __init__(self, patience: float) -> None:
        """
        Args:
            patience: seconds that a role may be without an assignment.
        """
        self._patience = patience
        self._since = monotonic()

    def check(self, now: float, health: Health, complaint: str, *, held: bool) -> None:
        """Look at it once a turn.

        Args:
            now: seconds of the monotonic clock.
            complaint: what the consumer said last, as the end of a sentence.
            held: whether the role has a place; one without partitions is a place, too.

        Raises:
            Fatal: it was without an assignment for too long.
        """
        answers = now - health.broker_seen <= BROKER_SECONDS
        self._since = without_assignment_since(self._since, now, held=held, answers=answers)
        if now - self._since > self._patience:
            raise Fatal(
                f"no assignment from the group for {self._patience:.0f} s; "
                f"the broker answers{complaint}"
            )


def without_assignment_since(since: float, now: float, *, held: bool, answers: bool) -> float:
    """Since when a role is without an assignment though the broker answers; else ``now``.

    Args:
        since: what this gave before.
        held: whether the role has a place; one without partitions is a place, too.
        answers: whether the broker answers; no place can be had from one that is away.
    """
    return now if held or not answers else since
