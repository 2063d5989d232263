"""What the endpoints work with; one of each in a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event
from time import monotonic

from fastapi import Request

from console.auth.issuer import Issuer
from console.auth.limits import Concurrent, RateLimit
from console.auth.permissions import Caller
from console.auth.tokens import Tokens
from console.gateway.idempotency import Idempotency
from console.gateway.producing import Producing
from console.gateway.submit import Gateway
from console.live.follow import Follow
from console.live.state import LiveState, load
from console.problems import Problem
from console.requests import request_id_of
from console.settings import ConsoleSettings
from console.store import audit
from console.store.database import Database
from processor.settings import Settings


@dataclass
class Services:
    """The parts of a console, for one set of topics.

    Attributes:
        accounts: users, organisations and the audit log; the store itself but for organisations
            with topics of their own.
        tokens: of the console's own users; None without a secret.
        issuer: whose tokens are taken as well.
        make_follow: what follows the topics of some settings into a store and a state.
        spaces: topic prefix → the same for the topics of an organisation.
        reports_asked: set when a report is to be made.
        stopping: whether the process is about to end; streams end with it.
    """

    settings: ConsoleSettings
    kafka: Settings
    database: Database
    accounts: Database
    state: LiveState
    follow: Follow
    producing: Producing
    gateway: Gateway
    idempotency: Idempotency
    tokens: Tokens | None
    issuer: Issuer | None
    requests: RateLimit
    logins: RateLimit
    streams: Concurrent
    make_follow: Callable[[Settings, Database, LiveState], Follow]
    spaces: dict[str, Services] = field(default_factory=dict)
    began: float = field(default_factory=monotonic)
    reports_asked: Event = field(default_factory=Event)
    stopping: bool = False

    @property
    def open(self) -> bool:
        """Whether anyone on this machine may do anything: there is no secret and no issuer."""
        return self.tokens is None and self.issuer is None

    def every(self) -> list[Services]:
        """Itself, and those of organisations with topics of their own."""
        return [self, *self.spaces.values()]

    def of(self, who: Caller) -> Services:
        """The services for the topics that a caller sees.

        Raises:
            Problem: 503, those of the organisation are not followed yet.
        """
        if not who.topic_prefix:
            return self
        found = self.spaces.get(who.topic_prefix)
        if found is None:
            raise Problem(
                503,
                "not_ready",
                "the topics of your organisation are not followed yet",
                headers={"Retry-After": "5"},
            )
        return found

    def note(
        self, who: Caller, action: str, of: str, outcome: str, request: Request | None = None
    ) -> None:
        """Add an entry to the audit log.

        Args:
            of: what it was done to; no id of a profile.
        """
        request_id = "" if request is None else request_id_of(request)
        audit.note(self.accounts, who.subject, action, of, outcome, request_id)


def make_space(root: Services, topic_prefix: str) -> Services:
    """The services for the topics under a prefix, with a store of their own; not yet following."""
    database = root.database.beside(topic_prefix)
    kafka = root.kafka.model_copy(update={"topic_prefix": topic_prefix})
    state = load(database, root.settings.console_recent)
    return replace(
        root,
        kafka=kafka,
        database=database,
        state=state,
        follow=root.make_follow(kafka, database, state),
        gateway=Gateway(kafka, database, state, root.producing),
        idempotency=Idempotency(database),
        spaces={},
    )


def services(request: Request) -> Services:
    """The services of the application that a request came to."""
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101  (set before the first request is taken)
    return found
