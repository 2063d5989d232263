"""The brokers of a run: one that is its own controller, or three beside a controller."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.kafka.broker import JvmBroker

# What a broker forgets about the dead, it forgets sooner here: rounds are short.
QUICK = {
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2000",
}


def start(directory: Path, count: int, stack: ExitStack) -> tuple[list[JvmBroker], str]:
    """Start brokers that end with ``stack``: those that may be killed, and their addresses."""
    if count != 1:
        raise NotImplementedError("three brokers")
    broker = JvmBroker(directory, QUICK)
    stack.callback(broker.kill)
    broker.start()
    return [broker], broker.bootstrap
