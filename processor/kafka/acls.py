"""What each role and command may do on Kafka: the least that it needs, declared once.

Kafka lets whoever may read or write a topic describe it as well. ``docs/security.md`` shows this
table, and a role is checked against it when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from processor.topics import Topics

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource = Literal["Topic", "Group", "TransactionalId"]


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One ACL that allows; a name that ends in ``*`` is a prefix."""

    operation: Operation
    resource: Resource
    name: str

    def __str__(self) -> str:
        what = {"Topic": "topic", "Group": "group", "TransactionalId": "transactional id"}
        return f"{self.operation} on {what[self.resource]} {self.name}"


def tool_id(topics: Topics, application: str, tool: str) -> str:
    """Transactional id of ``dead-letter replay`` or ``dead-letter skip`` on these topics."""
    name = f"{application}-dead-letter-{tool}"
    return f"{name}-{topics.prefix}" if topics.prefix else name


def permissions(
    topics: Topics, application: str, sources: Iterable[str] = ()
) -> Mapping[str, tuple[Permission, ...]]:
    """Role or command → what its user must be allowed.

    Args:
        sources: topics that ingest reads; its user must also be allowed to read each that a
            pattern matches.
    """
    telemetry = tuple(topics.kinds())
    learnt = (topics.models, topics.cold_start, topics.profiles)
    every = tuple(topics.configs())
    said = (topics.labels, topics.attributes)
    replay = f"{application}-dead-letter-replay"
    scorer, retrainer = f"{application}-scorer", f"{application}-retrainer"
    ingest = f"{application}-ingest"
    answers = (topics.anomalies, topics.accepted, topics.lifecycle, topics.dead_letter)
    proposals = (topics.pool, topics.candidates, topics.lifecycle, topics.dead_letter)
    return {
        "scorer": (
            *_on("Read", (*telemetry, topics.commands, topics.candidates, *learnt)),
            *_on("Write", (*answers, *learnt)),
            Permission("Read", "Group", scorer),
            Permission("Write", "TransactionalId", f"{scorer}-*"),
        ),
        # Without it a scorer works, and does not see that its offsets were moved back.
        "scorer, to see moved offsets": _on("Read", (topics.anomalies, topics.dead_letter)),
        "retrainer": (
            *_on("Read", (topics.accepted, topics.pool, topics.models)),
            *_on("Write", proposals),
            Permission("Read", "Group", retrainer),
            Permission("Write", "TransactionalId", f"{retrainer}-*"),
        ),
        "ingest": (
            *_on("Read", (name for name in sources if name[:1] != "^" and name not in every)),
            *_on("Read", (topics.ingest_counters,)),
            *_on("Write", (*telemetry, topics.ingest_counters, topics.dead_letter)),
            Permission("Read", "Group", ingest),
            Permission("Write", "TransactionalId", f"{ingest}-*"),
        ),
        "topics create": (*_on("Create", every), *_on("Describe", every)),
        "topics check": (*_on("Describe", every), *_on("DescribeConfigs", every)),
        "produce, simulate": _on("Write", telemetry),
        "tail": _on("Read", (topics.anomalies,)),
        "profile show": _on("Read", (*learnt, topics.anomalies)),
        "profile forget, retrain, rollback, suppress, resume": (
            *_on("Write", (topics.commands,)),
            *_on("Read", (topics.lifecycle,)),
        ),
        "profile retrain --all": (
            *_on("Read", (topics.models, topics.lifecycle)),
            *_on("Write", (topics.commands,)),
        ),
        "profile accept": (
            *_on("Read", (*telemetry, *learnt)),
            *_on("Write", (topics.accepted,)),
        ),
        "dead-letter list": (
            *_on("Read", (topics.dead_letter,)),
            Permission("Describe", "Group", replay),
        ),
        "dead-letter replay": (
            *_on("Read", (topics.dead_letter,)),
            *_on("Write", (*telemetry, topics.accepted)),
            Permission("Read", "Group", replay),
            Permission("Write", "TransactionalId", tool_id(topics, application, "replay")),
        ),
        "console": (
            *_on("Read", (*telemetry, topics.anomalies, topics.lifecycle, topics.models)),
            *_on("Read", (topics.dead_letter, topics.accepted, *said)),
            *_on("Write", (*telemetry, topics.commands, topics.accepted, topics.lifecycle, *said)),
            # For `propose` alone.
            *_on("Write", (topics.candidates,)),
            Permission("Read", "Group", replay),
            Permission("Write", "TransactionalId", tool_id(topics, application, "replay")),
        ),
        "dead-letter skip": (
            *_on("Read", topics.inputs()),
            *_on("Write", (topics.dead_letter,)),
            Permission("Read", "Group", scorer),
            Permission("Read", "Group", retrainer),
            Permission("Write", "TransactionalId", tool_id(topics, application, "skip")),
        ),
    }


def _on(operation: Operation, topics: Iterable[str]) -> tuple[Permission, ...]:
    return tuple(Permission(operation, "Topic", name) for name in topics)
