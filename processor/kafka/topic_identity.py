"""Which topic a name stands for: topic ids, and the note of ours that committed offsets carry.

A topic that was deleted and recreated under its name has another id. So offsets are committed with
``telltale:1:<id of the topic>:<ids of the role's changelogs>:<offset>`` as their metadata: what
was committed for another topic, beside other state, or by another hand, is told apart. The offset
at the end is empty as a rule; see ``Note``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from processor.kafka.admin import partition_counts
from processor.kafka.authorization import has_controller

REQUEST_TIMEOUT = 5.0
UNKNOWN = "-"
"""In the place of an id that the broker does not tell: the demo's, or one before Kafka 2.8."""

_ZERO = "AAAAAAAAAAAAAAAAAAAAAA"
_FORMAT = "telltale:1:"


class Described(NamedTuple):
    """A topic as the broker knows it now."""

    id: str
    partitions: int


def described(admin: AdminClient, names: Sequence[str]) -> dict[str, Described]:
    """Those of these topics that exist.

    Raises:
        KafkaException: the broker did not answer, or refused.
    """
    # The demo's broker never answers what is asked of its topics.
    if not has_controller(admin):
        counts = partition_counts(admin, list(names))
        return {name: Described(UNKNOWN, count) for name, count in counts.items()}
    return told(asked(admin, names), REQUEST_TIMEOUT)


def asked(admin: AdminClient, names: Sequence[str]) -> dict[str, Future[Any]]:
    """The question, sent; ``admin`` is to be kept until it is answered."""
    wanted = TopicCollection(list(names))
    found: dict[str, Future[Any]] = admin.describe_topics(wanted, request_timeout=REQUEST_TIMEOUT)
    return found


def told(answers: Mapping[str, Future[Any]], timeout: float) -> dict[str, Described]:
    """The answer, within so many seconds; what does not exist is left out.

    Raises:
        KafkaException: the broker did not answer, or refused.
    """
    found: dict[str, Described] = {}
    deadline = monotonic() + timeout
    for name, answer in answers.items():
        try:
            topic = answer.result(max(0.0, deadline - monotonic()))
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            continue
        identity = str(topic.topic_id)
        found[name] = Described(UNKNOWN if identity == _ZERO else identity, len(topic.partitions))
    return found


def anew(before: str, now: str) -> bool:
    """Whether two ids are known, and are of two topics."""
    return UNKNOWN not in (before, now) and before != now


@dataclass(frozen=True, slots=True)
class Note:
    """What is committed beside an offset.

    Attributes:
        topic: id of the topic whose offset it is.
        changelogs: ids of the role's changelogs, in their order.
        earlier: the newest offset of state that came from an earlier topic of this name, when an
            operator had the role go on with the new one: up to it, state says nothing of the new.
    """

    topic: str
    changelogs: tuple[str, ...]
    earlier: int | None = None

    def __str__(self) -> str:
        earlier = "" if self.earlier is None else self.earlier
        return f"{_FORMAT}{self.topic}:{','.join(self.changelogs)}:{earlier}"


def note(topic: str, changelogs: Iterable[str], topics: Mapping[str, Described]) -> Note:
    """The note for offsets of a topic as things are now."""

    def identity(name: str) -> str:
        return topics[name].id if name in topics else UNKNOWN

    return Note(identity(topic), tuple(map(identity, changelogs)))


def read_note(metadata: str | None) -> Note | None:
    """The note of a committed offset; None if the metadata is none of ours."""
    if not metadata or not metadata.startswith(_FORMAT):
        return None
    parts = metadata.removeprefix(_FORMAT).split(":")
    if len(parts) < 3:
        return None
    digits = parts[2]
    earlier = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
    return Note(parts[0], tuple(filter(None, parts[1].split(","))), earlier)
