"""``telltale tail``: verdicts as they come, a readable line each or as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.text import Text

from processor.records import Incoming
from processor.records import TopicPartition as Place
from processor.restore import beginnings, ends
from processor.settings import Settings
from processor.tools import admin_client, places_of, poll, reader

REASONS = 3
LAST_MS = 253_402_214_400_000  # the last day that a date can have: without an end
POLL_SECONDS = 0.2
POLL_RECORDS = 1000
COLOURS = {
    "none": "green",
    "low": "cyan",
    "medium": "yellow",
    "high": "red",
    "critical": "bold red",
}


@dataclass(frozen=True)
class Wanted:
    """Which verdicts are shown."""

    anomalies: bool = False
    profile: str | None = None

    def __call__(self, record: Incoming) -> bool:
        if self.profile is not None and record.key != self.profile.encode():
            return False
        headers = dict(record.headers)
        return not self.anomalies or headers.get("telltale.anomaly") == b"true"


def follow(
    settings: Settings,
    topic: str,
    wanted: Wanted,
    show: Callable[[Incoming], None],
    *,
    from_beginning: bool = False,
    count: int | None = None,
) -> None:
    """Show the committed verdicts from now on, until ``count`` of them were shown.

    Raises:
        ToolError: the topic is missing.
        KafkaException: the broker refused, or did not answer at the start.
    """
    admin = admin_client(settings)
    places = places_of(admin, [topic])
    starts: dict[Place, int] = (beginnings if from_beginning else ends)(admin, places)
    consumer = reader(settings, starts)
    shown = 0
    try:
        while count is None or shown < count:
            for record in poll(consumer, POLL_RECORDS, POLL_SECONDS)[0]:
                if wanted(record):
                    show(record)
                    shown += 1
                    if shown == count:
                        break
    finally:
        consumer.close()


def line(verdict: dict[str, Any]) -> Text:
    """A verdict as one readable line."""
    colour = COLOURS.get(verdict["severity"], "")
    text = Text(no_wrap=True)
    text.append(f"{clock(verdict['scored_at'])} ", "dim")
    text.append(f"{verdict['kind']:<10} ", "dim")
    text.append(f"{verdict['profile_id']}  ", "bold")
    if verdict["status"] != "scored":
        seen, needed = verdict["samples_seen"], verdict["samples_needed"]
        told = f"learning {seen} of {needed}" if verdict["status"] == "learning" else "abstained"
        text.append(told, "blue")
        return text
    text.append(verdict["severity"] if verdict["anomaly"] else "normal", colour)
    text.append(f"  score {verdict['score']:.3f}")
    if verdict.get("suppressed"):
        text.append("  suppressed", "dim")
    if verdict["reasons"]:
        text.append("  " + "; ".join(reason(found) for found in verdict["reasons"][:REASONS]))
    return text


def reason(found: dict[str, Any]) -> str:
    """What a feature had to do with it, as ``feature value outside [low, high]``."""
    low, high = found["typical"]
    value = found["value"]
    if value is None:
        return f"{found['feature']} absent"
    if low is None or high is None:
        return f"{found['feature']} {number(value)}, never seen before"
    where = "in" if low <= value <= high else "outside"
    return f"{found['feature']} {number(value)} {where} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """A number with four significant digits, large ones without an exponent."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{max(0, min(digits, 6))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def clock(epoch_ms: int) -> str:
    """Time of day, UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%H:%M:%S")


def parsed(record: Incoming) -> dict[str, Any]:
    """The verdict of a record of ``anomalies``."""
    verdict: dict[str, Any] = orjson.loads(record.value or b"{}")
    return verdict


def moment(epoch_ms: int) -> str:
    """Date and time of day, UTC."""
    if epoch_ms > LAST_MS:
        return "resumed"
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
