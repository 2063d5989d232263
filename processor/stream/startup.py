"""Start-up: what must hold before a role joins its group."""

from __future__ import annotations

from typing import NamedTuple

from processor.artifacts.owner import Owner
from processor.kafka import authorization
from processor.kafka.acls import Permission
from processor.kafka.admin import check_counts, check_inputs, check_sizes, partition_counts
from processor.kafka.authorization import Admin
from processor.settings import Settings
from processor.stream.role import Role
from processor.stream.transaction import Fatal
from processor.topics import Topics

COMPRESSED, MISSING = "compressed_input", "missing_source"


class Checked(NamedTuple):
    """What the broker says of an installation.

    Attributes:
        owner: whose model store this has to be.
        warnings: event and sentence of what does not keep the role from starting: inputs that the
            broker stores compressed, sources that do not exist yet.
    """

    owner: Owner
    warnings: list[tuple[str, str]]


def checked(
    admin: Admin, settings: Settings, role: Role, needed: tuple[Permission, ...]
) -> Checked:
    """Check permissions and topics.

    Raises:
        Fatal: a permission or a topic is missing, or a topic is not as it must be.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    # Topics of others are ingest's sources: one that does not exist yet is waited for.
    own = topics.configs()
    names = sorted({p.name for p in needed if p.resource == "Topic" and p.name in own})
    written = {p.name for p in needed if p.resource == "Topic" and p.operation == "Write"}
    lacking = authorization.missing_permissions(admin.client, needed)
    wrong = check_counts(admin.client, names)
    wrong = wrong or check_sizes(admin.client, topics, written)
    # What follows cannot be asked of a topic that is missing.
    if lacking or wrong is not None:
        raise Fatal(authorization.describe_missing(lacking) if lacking else str(wrong))
    compressed = check_inputs(admin.client, topics, [t for t in role.inputs if t in own])
    warnings = [] if settings.compressed_inputs else [(COMPRESSED, each) for each in compressed]
    sources = [t for t in role.inputs if t not in own and not t.startswith("^")]
    known = partition_counts(admin.client, sources) if sources else {}
    warnings += [
        (MISSING, f"{name} does not exist; it is read once it does")
        for name in sources
        if name not in known
    ]
    owner = authorization.installation(admin.client, settings, topics.models)
    return Checked(owner, warnings)
