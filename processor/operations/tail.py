"""``telltale tail``: verdicts as they come, a readable line each or as JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from processor.kafka.consuming import earliest_offsets, latest_offsets
from processor.kafka.reading import Patience, admin_client, places_of, poll, reader
from processor.records import ConsumerRecord, Partition
from processor.settings import Settings
from processor.text.escaping import json_line, printable, shortened
from schemas import InvalidJson, parse_object

REASONS = 3
LAST_MS = 253_402_214_400_000  # the last day that a date can have: without an end
POLL_SECONDS = 0.2
POLL_RECORDS = 1000
SHOWN = 120
"""Characters of a record that is no verdict, as a line shows them."""

COLOURS = {
    "none": "green",
    "low": "cyan",
    "medium": "yellow",
    "high": "red",
    "critical": "bold red",
}


@dataclass(frozen=True)
class VerdictFilter:
    """Which verdicts are shown."""

    anomalies: bool = False
    profile: str | None = None

    def __call__(self, record: ConsumerRecord) -> bool:
        if self.profile is not None and record.key != os.fsencode(self.profile):
            return False
        headers = dict(record.headers)
        return not self.anomalies or headers.get("telltale.anomaly") == b"true"


def follow(
    settings: Settings,
    topic: str,
    wanted: VerdictFilter,
    show: Callable[[ConsumerRecord], None],
    *,
    from_beginning: bool = False,
    count: int | None = None,
    unread: Callable[[], bool] = lambda: False,
) -> None:
    """Show the committed verdicts from now on, until ``count`` of them were shown.

    Args:
        unread: whether nobody reads any more what is shown.

    Raises:
        ToolError: the topic is missing, or the client cannot read what comes next.
        KafkaException: the broker refused, or did not answer at the start.
    """
    admin = admin_client(settings)
    places = places_of(admin, [topic])
    starts: dict[Partition, int] = (earliest_offsets if from_beginning else latest_offsets)(
        admin, places
    )
    consumer = reader(settings, starts)
    shown = 0
    patience = Patience()
    try:
        while (count is None or shown < count) and not unread():
            for record in poll(consumer, POLL_RECORDS, POLL_SECONDS, patience)[0]:
                if wanted(record):
                    show(record)
                    shown += 1
                    if shown == count:
                        break
    finally:
        consumer.close()


def line_of(record: ConsumerRecord) -> Text:
    """A record of ``anomalies`` as one readable line, also if it holds no verdict."""
    verdict = parsed(record)
    found = None if verdict is None else readable(verdict)
    return found or Text(f"{unknown(record)}: {_beginning(record.value)}", "dim", no_wrap=True)


def json_of(record: ConsumerRecord) -> bytes | None:
    """A record of ``anomalies`` as one line of JSON; None if it is no JSON object."""
    return None if parsed(record) is None else json_line(record.value or b"")


def unknown(record: ConsumerRecord) -> str:
    """What is said of a record of ``anomalies`` that is no verdict."""
    return f"{record.topic} [{record.partition}] offset {record.offset}: not a verdict"


def _beginning(value: bytes | None) -> str:
    return "no value" if value is None else shortened(repr(value[:SHOWN])[1:], SHOWN)


def readable(verdict: dict[str, Any]) -> Text | None:
    """A verdict as one readable line; None if it lacks something, or something is of another type.

    Only the scorer may write verdicts, but whoever may will not end a command with a traceback.
    """
    try:
        return line(verdict)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, OSError):
        return None


def line(verdict: dict[str, Any]) -> Text:
    """A verdict as one readable line."""
    colour = COLOURS.get(verdict["severity"], "")
    text = Text(no_wrap=True)
    text.append(f"{clock(verdict['scored_at'])} ", "dim")
    text.append(f"{printable(verdict['kind']):<10} ", "dim")
    text.append(f"{printable(verdict['profile_id'])}  ", "bold")
    if verdict["status"] != "scored":
        seen, needed = verdict["samples_seen"], verdict["samples_needed"]
        learns = verdict["status"] == "learning"
        told = f"learning {seen:d} of {needed:d}" if learns else "abstained"
        text.append(told, "blue")
        return text
    text.append(printable(verdict["severity"]) if verdict["anomaly"] else "normal", colour)
    text.append(f"  score {verdict['score']:.3f}")
    if verdict.get("suppressed"):
        text.append("  suppressed", "dim")
    if verdict["reasons"]:
        text.append("  " + "; ".join(reason(found) for found in verdict["reasons"][:REASONS]))
    return text


def reason(found: dict[str, Any]) -> str:
    """What a feature had to do with it, as ``feature value outside [low, high]``."""
    low, high = found["typical"]
    value, feature = found["value"], printable(found["feature"])
    if value is None:
        return f"{feature} absent"
    if low is None or high is None:
        return f"{feature} {format_number(value)}, never seen before"
    where = "in" if low <= value <= high else "outside"
    return f"{feature} {format_number(value)} {where} [{format_number(low)}, {format_number(high)}]"


def format_number(value: float) -> str:
    """A number with four significant digits, large ones without an exponent."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{max(0, min(digits, 6))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def clock(epoch_ms: int) -> str:
    """Time of day, UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%H:%M:%S")


def parsed(record: ConsumerRecord) -> dict[str, Any] | None:
    """The JSON object that a record of ``anomalies`` holds; None if it holds none."""
    try:
        return parse_object(record.value or b"")
    except InvalidJson:
        return None


def moment(epoch_ms: int) -> str:
    """Date and time of day, UTC, of a window's end."""
    return "resumed" if epoch_ms > LAST_MS else date(epoch_ms)


def date(epoch_ms: int) -> str:
    """Date and time of day, UTC; ``?`` of what is no time: a producer may set any timestamp."""
    if not 0 <= epoch_ms <= LAST_MS:
        return "?"
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
