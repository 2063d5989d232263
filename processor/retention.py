"""How long the topics that are not compacted keep what was said of a forgotten profile."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from processor import kafka
from processor.names import Topics
from processor.settings import Settings

ANSWER_SECONDS = 5.0


def retention(settings: Settings, topics: Topics) -> dict[str, int | None]:
    """``retention.ms`` of each topic that only ages out; None where the broker does not say.

    −1 means for ever, as in Kafka.
    """
    admin = AdminClient(kafka.base(settings))
    names = topics.aging()
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    answers = admin.describe_configs(resources, request_timeout=ANSWER_SECONDS)
    found: dict[str, int | None] = dict.fromkeys(names)
    for resource, answer in answers.items():
        try:
            found[resource.name] = int(answer.result()["retention.ms"].value)
        except (KafkaException, KeyError, TypeError, ValueError):
            # A role that may not describe topics forgets all the same.
            continue
    return found
