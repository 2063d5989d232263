"""Whether each role has a principal of its own, by the broker's access control lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from models.governance.compliance import FAIL, PARTIAL, PASS, UNKNOWN, Status
from processor.kafka import config as kafka
from processor.kafka.acls import Permission, permissions
from processor.kafka.authorization import has_controller
from processor.settings import Settings, SettingsError
from processor.topics import Topics

ANSWER_SECONDS = 5.0
NEEDED: Final = ("scorer", "retrainer", "console")
"""Roles that always run; ingest may not."""

RESOURCES: Final = {
    "Topic": ResourceType.TOPIC,
    "Group": ResourceType.GROUP,
    "TransactionalId": ResourceType.TRANSACTIONAL_ID,
}
EVERYONE: Final = "User:*"


def of_principals(settings: Settings) -> tuple[Status, str]:
    """The control P4: read from the broker; unknown if it does not tell."""
    try:
        bindings = _bindings(settings)
    except SettingsError:
        return UNKNOWN, "TELLTALE_KAFKA_CONFIG cannot be read"
    except KafkaException:
        bindings = None
    if bindings is None:
        return UNKNOWN, "the broker did not tell its access control lists"
    if not bindings:
        # librdkafka answers so where there is no authorizer, or where it refuses.
        told = "the broker told none: there are none, or the console may not Describe the cluster"
        return UNKNOWN, f"access control lists: {told}"
    return judged_principals(bindings, Topics(settings.topic_prefix), settings.application)


def judged_principals(
    bindings: Sequence[AclBinding], topics: Topics, application: str
) -> tuple[Status, str]:
    """Fail if a principal may act as two roles; pass if each role that always runs has its own.

    Super users are in no list: a role that runs as one has no principal here.
    """
    marks = marks_of(topics, application)
    found: dict[str, set[str]] = {
        role: {
            principal
            for principal in {binding.principal for binding in bindings}
            if all(allows(bindings, principal, each) for each in needed)
        }
        for role, needed in marks.items()
    }
    principals = sorted(set().union(*found.values()))
    for principal in principals:
        roles = sorted(role for role, held in found.items() if principal in held)
        if len(roles) > 1 or principal == EVERYONE:
            return FAIL, f"{principal} may act as {', '.join(roles)}"
    none = [role for role in NEEDED if not found[role]]
    if len(none) == len(NEEDED):
        return FAIL, "no access control list names a principal of a role"
    if none:
        return PARTIAL, f"no access control list names a principal of {', '.join(none)}"
    held = {role: len(principals) for role, principals in found.items() if principals}
    told = ", ".join(f"{role} {count}" for role, count in held.items())
    return PASS, f"principals by role: {told}; none may act as two"


def marks_of(topics: Topics, application: str) -> Mapping[str, tuple[Permission, ...]]:
    """Role → the permissions without which nobody can act as it, and which no other role needs."""
    table = permissions(topics, application)
    found = {
        role: tuple(each for each in table[role] if each.resource != "Topic")
        for role in ("scorer", "retrainer", "ingest")
    }
    own = (topics.labels, topics.attributes)
    found["console"] = tuple(
        each for each in table["console"] if each.operation == "Write" and each.name in own
    )
    return found


def allows(bindings: Iterable[AclBinding], principal: str, wanted: Permission) -> bool:
    """Whether the lists let a principal do something; what is denied is denied, as in Kafka."""
    allowed = False
    for binding in bindings:
        if binding.principal not in (principal, EVERYONE) or not _covers(binding, wanted):
            continue
        if binding.permission_type == AclPermissionType.DENY:
            return False
        allowed = True
    return allowed


def _covers(binding: AclBinding, wanted: Permission) -> bool:
    operations = (AclOperation.ALL, AclOperation[wanted.operation.upper()])
    if binding.restype != RESOURCES[wanted.resource] or binding.operation not in operations:
        return False
    name = wanted.name.removesuffix("*")
    if binding.resource_pattern_type == ResourcePatternType.PREFIXED:
        return name.startswith(binding.name)
    if binding.name == "*":
        return True
    # One id of a role's many is enough to act as it.
    return bool(binding.name.startswith(name) if name != wanted.name else binding.name == name)


def _bindings(settings: Settings) -> list[AclBinding] | None:
    """All lists of the broker; None if there is no controller to ask."""
    admin = AdminClient(kafka.base(settings))
    if not has_controller(admin):
        return None
    every = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    try:
        told = admin.describe_acls(every, request_timeout=ANSWER_SECONDS)
        return list(told.result(ANSWER_SECONDS))
    except TimeoutError:
        return None
