"""The topics on the broker: how they are created and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import TimeoutError as NoAnswer

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from processor.kafka import config as kafka
from processor.kafka.authorization import has_controller
from processor.settings import Settings
from processor.topics import Topics

REQUEST_TIMEOUT = 10.0
CHECKED = ("cleanup.policy", "max.message.bytes", "compression.type")
UNSEEN = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,
)


def partition_counts(admin: AdminClient, names: Iterable[str] | None = None) -> dict[str, int]:
    """Partition count of each of ``names`` that exists, or of every topic.

    Raises:
        KafkaException: the broker did not answer.
    """
    known = admin.list_topics(timeout=REQUEST_TIMEOUT).topics
    wanted = known if names is None else names
    return {name: len(known[name].partitions) for name in wanted if name in known}


def create(admin: AdminClient, topics: Topics, partitions: int, replication: int) -> list[str]:
    """Create the topics that are missing; the names of those created.

    Raises:
        KafkaException: the broker refused one or did not answer.
    """
    configs = topics.configs()
    existing = partition_counts(admin, list(configs))
    missing = [
        NewTopic(name, partitions, replication, config=dict(config))
        for name, config in configs.items()
        if name not in existing
    ]
    if missing:
        for future in admin.create_topics(missing, request_timeout=REQUEST_TIMEOUT).values():
            future.result()
    return [topic.topic for topic in missing]


def apart(admin: AdminClient, topics: Topics, partitions: int) -> list[str]:
    """Which topics there are with another partition count than ``partitions``, a sentence each.

    Raises:
        KafkaException: the broker did not answer.
    """
    counts = partition_counts(admin, list(topics.configs()))
    return different(counts, partitions)


def different(counts: Mapping[str, int], partitions: int) -> list[str]:
    """The same of known counts."""
    if len(set(counts.values())) == 1 and partitions not in counts.values():
        (held,) = set(counts.values())
        remedy = (
            f"to keep what is there: --partitions {held} (TELLTALE_PARTITIONS={held}); none can "
            "be added later, since profiles would move away from their state"
        )
    else:
        remedy = (
            "all topics must have the same number; delete this one if what it holds may be lost, "
            "and create it again"
        )
    return [
        f"{name}: exists with {count} partition{'' if count == 1 else 's'}, expected {partitions}; "
        f"{remedy}"
        for name, count in counts.items()
        if count != partitions
    ]


def check(admin: AdminClient, topics: Topics, *, compressed_inputs: bool = False) -> list[str]:
    """What differs from the design, a sentence each; empty when all is right.

    Args:
        compressed_inputs: whether input topics may be compressed on the broker.

    Raises:
        KafkaException: the broker did not answer.
    """
    configs = topics.configs()
    counts = partition_counts(admin, list(configs))
    found = [f"{name}: missing (telltale topics create)" for name in configs if name not in counts]
    if len(set(counts.values())) > 1:
        usual = max(set(counts.values()), key=list(counts.values()).count)
        found += [
            f"{name}: {count} partitions, the others have {usual}; all must have the same number"
            for name, count in counts.items()
            if count != usual
        ]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in counts]
    for resource, future in admin.describe_configs(resources).items() if resources else ():
        actual = future.result(timeout=REQUEST_TIMEOUT)
        for key, wanted in configs[resource.name].items():
            value = actual[key].value if key in actual else None
            allowed = compressed_inputs and key == "compression.type"
            if value != wanted and key in CHECKED and not allowed:
                found.append(f"{resource.name}: {key} is {value}, expected {wanted}")
    return found


def check_counts(admin: AdminClient, names: list[str]) -> str | None:
    """Why a role cannot start on these topics, or None: one is missing, or the counts differ.

    Raises:
        KafkaException: the broker did not answer.
    """
    counts = partition_counts(admin, names)
    missing = [name for name in names if name not in counts]
    if missing:
        return f"topics missing: {', '.join(missing)}; create them with: telltale topics create"
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        return f"topics must have the same number of partitions, but: {listed}"
    return None


def check_sizes(admin: AdminClient, topics: Topics, names: Iterable[str]) -> str | None:
    """Why a role cannot write to these topics, or None: one takes less than it may have to.

    A record that the broker refuses as too large would be sent again for ever. If the broker does
    not let us see the limit, nothing is said.

    Raises:
        KafkaException: the broker did not answer.
    """
    limits = {name: limit for name, limit in topics.limits().items() if name in set(names)}
    for name, actual in _described(admin, limits):
        wanted = limits[name]
        if int(actual["max.message.bytes"]) < wanted:
            return (
                f"{name}: max.message.bytes is {actual['max.message.bytes']}, but records of up to "
                f"{wanted} bytes go there; raise it: {_alter(name)} max.message.bytes={wanted}"
            )
    return None


def check_inputs(admin: AdminClient, topics: Topics, names: Iterable[str]) -> list[str]:
    """What of a role's inputs lets a few kB unpack to hundreds of MB, a sentence each.

    Raises:
        KafkaException: the broker did not answer.
    """
    found = []
    for name, actual in _described(admin, names):
        wanted = topics.configs()[name]["compression.type"]
        if actual["compression.type"] != wanted:
            found.append(
                f"{name}: compression.type is {actual['compression.type']}, so a small batch may "
                f"unpack to any size in whoever reads it; {_alter(name)} compression.type={wanted}"
            )
    return found


def _alter(name: str) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config"


def _described(admin: AdminClient, names: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The configuration of topics, of those that the broker lets us see."""
    # The demo's broker never answers what is asked of its topics' configuration.
    asked = list(names) if has_controller(admin) else []
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in asked]
    for resource, future in admin.describe_configs(resources).items() if resources else ():
        try:
            entries = future.result(timeout=REQUEST_TIMEOUT)
        except NoAnswer:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
        except KafkaException as error:
            if error.args[0].code() in UNSEEN:
                continue
            raise
        yield resource.name, {key: str(entry.value) for key, entry in entries.items()}


ANSWER_SECONDS = 5.0


def retention(settings: Settings, topics: Topics) -> dict[str, int | None]:
    """``retention.ms`` of each topic that only ages out; None if the broker does not say.

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
