"""Whether the broker lets a client in, and whether it may do what its role has to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient

from processor.artifacts.owner import Owner
from processor.kafka import config as kafka
from processor.kafka.acls import Permission
from processor.settings import Settings

REQUEST_TIMEOUT = 5.0

_NOT_LET_IN = (
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
)
_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "TransactionalId",
}
# Brokers, and the demo's, that cannot tell what a client may do are taken at their word later.
_UNKNOWN = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.UNSUPPORTED_VERSION,
)


class Admin:
    """An admin client that remembers why it was not let in.

    librdkafka tells that to a callback only; the call itself fails as if the broker were away.
    """

    def __init__(self, settings: Settings) -> None:
        self._said: str | None = None
        self.client = AdminClient(kafka.base(settings) | {"error_cb": self._hear})

    def why(self, error: KafkaException) -> str:
        """Why the broker does not answer, in a sentence that stays the same while it lasts."""
        refused = self.refusal()
        return refused or f"the broker does not answer: {error.args[0].str()}"

    def refusal(self) -> str | None:
        """Why the broker, or its certificate, was refused or refuses us; None while it does not."""
        self.client.poll(0)
        said, self._said = self._said, None
        return None if said is None else f"no way in: {said}; see TELLTALE_KAFKA_CONFIG"

    def _hear(self, error: KafkaError) -> None:
        if error.code() in _NOT_LET_IN:
            self._said = re.sub(r" \(after \d+ms in state \w+\)", "", error.str())


def denied(error: KafkaError) -> bool:
    """Whether an error means that an ACL is missing."""
    return error.code() in _DENIED


def missing_permissions(admin: AdminClient, needed: Iterable[Permission]) -> list[Permission]:
    """Which permissions on topics a client lacks, as far as the broker tells (KIP-430).

    Raises:
        KafkaException: the broker did not answer.
    """
    by_topic: dict[str, list[Permission]] = {}
    for permission in needed:
        if permission.resource == "Topic":
            by_topic.setdefault(permission.name, []).append(permission)
    if not by_topic or not has_controller(admin):
        return []
    asked = admin.describe_topics(
        TopicCollection(list(by_topic)),
        include_authorized_operations=True,
        request_timeout=REQUEST_TIMEOUT,
    )
    lacking: list[Permission] = []
    deadline = monotonic() + REQUEST_TIMEOUT
    for topic, future in asked.items():
        try:
            allowed = future.result(max(0.1, deadline - monotonic())).authorized_operations
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                lacking += by_topic[topic]
            elif error.args[0].code() not in _UNKNOWN:
                raise
            continue
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
        names = {operation.name.replace("_", "") for operation in allowed or ()}
        lacking += [p for p in by_topic[topic] if names and p.operation.upper() not in names]
    return lacking


def installation(admin: AdminClient, settings: Settings, models: str) -> Owner:
    """What tells this installation from others, as far as the broker tells.

    Args:
        models: the topic of announcements.

    Raises:
        KafkaException: the broker did not answer.
    """
    if not has_controller(admin):
        return Owner(settings.application, settings.topic_prefix)
    cluster_id = admin.list_topics(timeout=REQUEST_TIMEOUT).cluster_id or None
    asked = admin.describe_topics(TopicCollection([models]), request_timeout=REQUEST_TIMEOUT)
    topic_id = None
    try:
        found = str(asked[models].result(REQUEST_TIMEOUT).topic_id)
        topic_id = None if found == str(Uuid(0, 0)) else found
    except KafkaException as error:
        if error.args[0].code() not in (KafkaError.TOPIC_AUTHORIZATION_FAILED, *_UNKNOWN):
            raise
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
    return Owner(settings.application, settings.topic_prefix, cluster_id, topic_id)


def has_controller(admin: AdminClient) -> bool:
    """Whether one of the brokers is the controller, for which librdkafka waits before it asks.

    The demo's broker has none, and a cluster that elects one goes on without.
    """
    known = admin.list_topics(timeout=REQUEST_TIMEOUT)
    return known.controller_id in known.brokers


def describe_missing(lacking: Iterable[Permission]) -> str:
    """What an operator must allow."""
    listed = ", ".join(str(permission) for permission in sorted(lacking))
    return f"not allowed by Kafka's ACLs: {listed} (docs/security.md lists what each role needs)"


def explain_error(admin: AdminClient, error: KafkaError, needed: Iterable[Permission]) -> str:
    """An error's text, with the ACL if one is missing."""
    resource = _DENIED.get(error.code())
    chosen = [permission for permission in needed if permission.resource == resource]
    if resource == "Topic":
        try:
            chosen = missing_permissions(admin, chosen)
        except KafkaException:
            chosen = []
    return describe_missing(chosen) if chosen else error.str()
