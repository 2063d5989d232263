"""Configuration of librdkafka for each kind of client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from processor.settings import Settings, SettingsError

RESERVED_PROPERTIES = ("group.id", "transactional.id", "enable.auto.commit", "isolation.level")
MESSAGE_MAX_BYTES = 9 * 2**20

JAVA_ONLY_PROPERTIES = {
    "sasl.jaas.config": "sasl.username and sasl.password",
    "ssl.truststore.location": "ssl.ca.location, a PEM file",
    "ssl.truststore.certificates": "ssl.ca.pem, or ssl.ca.location",
    "ssl.truststore.password": "nothing: a PEM file of certificates has no password",
    "ssl.truststore.type": "nothing: authorities are PEM",
    "ssl.keystore.type": "nothing: a key store is PKCS#12",
    "ssl.keystore.key": "ssl.key.pem, or ssl.key.location",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem, or ssl.certificate.location",
    "sasl.login.callback.handler.class": "sasl.oauthbearer.method and its like",
    "sasl.client.callback.handler.class": "sasl.oauthbearer.method and its like",
}
"""Properties that Java's clients alone know, and what librdkafka takes in their place."""

Config = dict[str, Any]


def base(settings: Settings) -> Config:
    """What every client has: addresses and the operator's properties file.

    Raises:
        SettingsError: the file is missing, malformed, or sets what only Telltale may set.
    """
    config: Config = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.application,
        "reconnect.backoff.max.ms": 2000,
        # What the library would print at each reconnection, the loops say once and in their form.
        "log_level": 0,
        "topic.metadata.refresh.interval.ms": 30_000,
    }
    if settings.kafka_config is not None:
        config |= properties(settings.kafka_config)
    return config


def properties(path: Path) -> dict[str, str]:
    """Parse a ``client.properties`` file.

    Raises:
        SettingsError: unreadable, a line without ``=``, a property that is Telltale's to set, or
            one that only Java's clients know. No message holds a value.
    """
    variable = "TELLTALE_KAFKA_CONFIG"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: expected a readable file, got {path}: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(("#", "!")):
            continue
        key, separator, value = text.partition("=")
        if not separator:
            # The line may hold a secret: its number alone is told.
            raise SettingsError(f"{variable}: {path} line {number}: expected key=value")
        found[key.strip()] = value.strip()
    for key in RESERVED_PROPERTIES:
        if key in found:
            raise SettingsError(f"{variable}: {path} sets {key}, which Telltale sets itself")
    javas = [
        f"{key} (here: {JAVA_ONLY_PROPERTIES[key]})" for key in found if key in JAVA_ONLY_PROPERTIES
    ]
    if javas:
        raise SettingsError(
            f"{variable}: {path} holds what only Java's clients know: {', '.join(javas)}"
        )
    return found


def group_consumer(settings: Settings, group: str) -> Config:
    """The consumer of a role: explicit offsets, eager range assignment, committed records only."""
    return base(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": max(200, settings.session_timeout_ms // 3),
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 20,
        "queued.max.messages.kbytes": 32_768,
        # librdkafka names every partition again in each request, and a broker would answer for each
        # single record: a thousand times a second at 2,000 records/s.
        "fetch.min.bytes": 4096,
        "fetch.wait.max.ms": 20,
    }


def reader_config(settings: Settings) -> Config:
    """A consumer that reads assigned partitions to their end and commits nothing."""
    return base(settings) | {
        "group.id": f"{settings.application}-reader",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 20,
        "queued.max.messages.kbytes": 65_536,
        "fetch.wait.max.ms": 50,
    }


def transactional_producer(settings: Settings, transactional_id: str) -> Config:
    """The one producer of a role."""
    return base(settings) | {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "enable.idempotence": True,
        "message.max.bytes": MESSAGE_MAX_BYTES,
        # The default of 100 ms is what a transaction right after another would wait.
        "retry.backoff.ms": 2,
        "linger.ms": 5,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
    }


def plain_producer(settings: Settings) -> Config:
    """An idempotent producer for tools; its partitioner is the one of Java's clients."""
    return base(settings) | {
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "linger.ms": 5,
        "compression.type": "lz4",
    }
