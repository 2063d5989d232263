"""Start-up: what must hold before a role joins its group."""

from __future__ import annotations

from typing import NamedTuple

from processor.artifacts.owner import Owner
from processor.kafka import authorization
from processor.kafka.acls import Permission
from processor.kafka.admin import check_counts, check_inputs, check_sizes
from processor.kafka.authorization import Admin
from processor.settings import Settings
from processor.stream.role import Role
from processor.stream.transaction import Fatal
from processor.topics import Topics


class Checked(NamedTuple):
    """What the broker says of an installation.

    Attributes:
        owner: whose model store this has to be.
        compressed: inputs that the broker stores compressed, a sentence each.
    """

    owner: Owner
    compressed: list[str]


def checked(
    admin: Admin, settings: Settings, role: Role, needed: tuple[Permission, ...]
) -> Checked:
    """Check permissions and topics.

    Raises:
        Fatal: a permission or a topic is missing, or a topic is not as it must be.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    names = sorted({p.name for p in needed if p.resource == "Topic"})
    written = {p.name for p in needed if p.resource == "Topic" and p.operation == "Write"}
    lacking = authorization.missing_permissions(admin.client, needed)
    wrong = check_counts(admin.client, names)
    wrong = wrong or check_sizes(admin.client, topics, written)
    # What follows cannot be asked of a topic that is missing.
    if lacking or wrong is not None:
        raise Fatal(authorization.describe_missing(lacking) if lacking else str(wrong))
    compressed = check_inputs(admin.client, topics, role.inputs)
    owner = authorization.installation(admin.client, settings, topics.models)
    return Checked(owner, [] if settings.compressed_inputs else compressed)
