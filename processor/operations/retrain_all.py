"""``telltale profile retrain --all``: a command for each profile with a model, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor.kafka.consuming import latest_offsets
from processor.kafka.reading import ToolError, admin_client, places_of, poll, read, reader
from processor.kafka.sending import send_records
from processor.operations.profile_command import Request, command_of
from processor.records import ConsumerRecord, ProducerRecord, ProfileKey
from processor.settings import Settings
from processor.topics import Topics
from schemas import LifecycleEvent

AT_A_TIME = 500
"""Commands under way: scorers read them before telemetry, which must not wait for long."""


@dataclass
class RetrainOutcome:
    """What became of the commands.

    Attributes:
        requested: profiles that are to be retrained.
        rejected: receipts of those that are not.
        unanswered: profiles whose command stays queued.
        unsent: profiles to which none was sent, as nobody answered.
    """

    requested: int = 0
    rejected: list[LifecycleEvent] = field(default_factory=list)
    unanswered: list[ProfileKey] = field(default_factory=list)
    unsent: list[ProfileKey] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether each profile has its receipt."""
        return not self.unanswered and not self.unsent


def retrain_all(
    settings: Settings,
    kind: str | None,
    reason: str | None,
    timeout: float,
    told: Callable[[int, int], None],
) -> RetrainOutcome:
    """Ask for the retraining of each profile that ``models`` announces, and gather the receipts.

    Args:
        kind: only of this kind.
        reason: kept with each command.
        timeout: seconds to wait for the next receipt.
        told: called now and then with how many are answered, and how many there are.

    Raises:
        ToolError: a topic is missing, or a command could not be sent.
    """
    topics = Topics(settings.topic_prefix)
    admin = admin_client(settings)
    keys = announced(read(settings, admin, places_of(admin, [topics.models])), kind)
    starts = latest_offsets(admin, places_of(admin, [topics.lifecycle]))
    consumer, outcome = reader(settings, starts), RetrainOutcome()
    try:
        for begin in range(0, len(keys), AT_A_TIME):
            if outcome.unanswered:
                outcome.unsent += keys[begin:]
                break
            some = keys[begin : begin + AT_A_TIME]
            waiting = {str(uuid4()): key for key in some}
            send_all(settings, topics.commands, waiting, reason)
            heard = monotonic()
            while waiting and monotonic() - heard < timeout:
                for record in poll(consumer, 1000, 0.1)[0]:
                    event = receipt_of(record)
                    if event is None or waiting.pop(event.command_id or "", None) is None:
                        continue
                    heard = monotonic()
                    if event.event == "command_rejected":
                        outcome.rejected.append(event)
                    else:
                        outcome.requested += 1
            outcome.unanswered += waiting.values()
            told(outcome.requested + len(outcome.rejected), len(keys))
    finally:
        consumer.close()
    return outcome


def announced(records: Iterable[ConsumerRecord], kind: str | None) -> list[ProfileKey]:
    """The profiles that the records of ``models`` announce, the newest of each key deciding."""
    newest: dict[ProfileKey, bool] = {}
    for record in records:
        of, _, profile_id = (record.key or b"").decode(errors="replace").partition(":")
        if of in KINDS and kind in (None, of):
            newest[record.partition, of, profile_id] = record.value is not None
    return [key for key, held in newest.items() if held]


def receipt_of(record: ConsumerRecord) -> LifecycleEvent | None:
    """The event of a record of ``lifecycle``; None if it is none."""
    try:
        return LifecycleEvent.model_validate(orjson.loads(record.value or b""))
    except (orjson.JSONDecodeError, ValidationError):
        return None


def send_all(
    settings: Settings, topic: str, wanted: Mapping[str, ProfileKey], reason: str | None
) -> None:
    """Send a command to the partition of each profile; ``models`` says which that is.

    Args:
        wanted: profile by command id.

    Raises:
        ToolError: the broker did not take all of them.
    """
    records = []
    for command_id, (partition, kind, profile_id) in wanted.items():
        command = command_of(Request("retrain", profile_id, kind, reason=reason), command_id)
        value = command.model_dump_json().encode()
        records.append(ProducerRecord(topic, value, profile_id.encode(), partition))
    why = send_records(settings, records)
    if why:
        raise ToolError(f"{topic}: not all commands were sent: {why}")
