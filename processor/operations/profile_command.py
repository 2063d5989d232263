"""``telltale profile forget`` and its like: a command to every partition, then its receipt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, time_ns
from uuid import uuid4

from pydantic import ValidationError

from processor.kafka.consuming import latest_offsets
from processor.kafka.reading import ToolError, admin_client, places_of, poll, reader
from processor.kafka.sending import send_records
from processor.records import ProducerRecord
from processor.settings import Settings
from processor.topics import Topics
from schemas import Command, InvalidJson, LifecycleEvent, parse_object

QUEUED = "sent, not yet confirmed; it stays queued"
MORE_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What an operator asks for; ``until`` in epoch milliseconds."""

    command: str
    profile_id: str
    kind: str | None = None
    version: int | None = None
    until: int | None = None
    reason: str | None = None


ROLES = ("retrainer", "scorer")
"""Who confirms that a profile is forgotten, wherever it runs."""


def send_and_await(
    settings: Settings, request: Request, timeout: float, roles: Sequence[str] = ROLES
) -> list[LifecycleEvent]:
    """Send a command to every partition and wait for its receipts.

    A profile id may stand for several kinds: what comes within half a second of the last receipt
    that was awaited is gathered too.

    Args:
        timeout: seconds to wait.
        roles: who confirms what is forgotten.

    Returns:
        The receipts; if empty, none came in time. ``unconfirmed_roles`` says which are missing.

    Raises:
        ToolError: a topic is missing, or the command could not be sent.
    """
    topics = Topics(settings.topic_prefix)
    admin = admin_client(settings)
    places = places_of(admin, [topics.commands])
    starts = latest_offsets(admin, places_of(admin, [topics.lifecycle]))
    command_id = str(uuid4())
    consumer = reader(settings, starts)
    try:
        send_command(settings, topics.commands, len(places), command_of(request, command_id))
        receipts: list[LifecycleEvent] = []
        deadline = last = monotonic() + timeout
        while monotonic() < deadline:
            for record in poll(consumer, 1000, 0.1)[0]:
                event = receipt(record.value)
                if event is not None and event.command_id == command_id:
                    receipts.append(event)
                    ended = monotonic() + (
                        timeout if unconfirmed_roles(receipts, roles) else MORE_SECONDS
                    )
                    deadline = min(last, ended)
        return receipts
    finally:
        consumer.close()


def receipt(value: bytes | None) -> LifecycleEvent | None:
    """The event of a record of ``lifecycle``; None if it holds none."""
    try:
        return LifecycleEvent.model_validate(parse_object(value or b""))
    except (InvalidJson, ValidationError):
        return None


def unconfirmed_roles(receipts: list[LifecycleEvent], roles: Sequence[str] = ROLES) -> list[str]:
    """Roles that have not yet confirmed that a profile is forgotten, where another one has."""
    confirmed: defaultdict[str | None, Counter[str | None]] = defaultdict(Counter)
    for event in receipts:
        if event.event == "forgotten":
            confirmed[event.role][event.kind] += 1
    # The console may say it twice: it writes its receipt again rather than lose it.
    expected = confirmed["scorer"] | confirmed["retrainer"]
    return [role for role in roles if expected - confirmed[role]]


def command_of(request: Request, command_id: str) -> Command:
    """The record of a request."""
    return Command.model_validate(
        {**vars(request), "command_id": command_id, "issued_at": time_ns() // 1_000_000}
    )


def send_command(settings: Settings, topic: str, partitions: int, command: Command) -> None:
    """Send a command to every partition: which of them holds the profile is not for us to know.

    Raises:
        ToolError: the broker did not take all of them.
    """
    value, key = command.model_dump_json().encode(), command.profile_id.encode()
    everywhere = (ProducerRecord(topic, value, key, partition) for partition in range(partitions))
    why = send_records(settings, everywhere)
    if why:
        raise ToolError(f"{topic}: the command was not sent to every partition: {why}")
