"""What the endpoints work with; one of each in a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from fastapi import Request

from console.auth.limits import RateLimit
from console.auth.tokens import Tokens
from console.gateway.idempotency import Idempotency
from console.gateway.producing import Producing
from console.gateway.submit import Gateway
from console.live.follow import Follow
from console.live.state import LiveState
from console.settings import ConsoleSettings
from console.store.database import Database
from processor.settings import Settings


@dataclass
class Services:
    """The parts of a console.

    Attributes:
        tokens: None where anyone on this machine may do anything.
        stopping: whether the process is about to end; streams end with it.
    """

    settings: ConsoleSettings
    kafka: Settings
    database: Database
    state: LiveState
    follow: Follow
    producing: Producing
    gateway: Gateway
    idempotency: Idempotency
    tokens: Tokens | None
    requests: RateLimit
    logins: RateLimit
    began: float = field(default_factory=monotonic)
    stopping: bool = False


def services(request: Request) -> Services:
    """The services of the application that a request came to."""
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101  (set before the first request is taken)
    return found
