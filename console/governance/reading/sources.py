"""What reports are made from: a store, Kafka, and settings."""

from __future__ import annotations

from typing import Protocol

from console.settings import ConsoleSettings
from console.store.database import Database
from processor.settings import Settings


class Sources(Protocol):
    """The parts of a console that analyses need; its services have them, and so has a job."""

    settings: ConsoleSettings
    kafka: Settings
    database: Database


def asks_for_login(settings: ConsoleSettings) -> bool:
    """Whether the console knows who asks: it has a secret, or an issuer's keys."""
    return settings.secret is not None or settings.jwt_jwks is not None
