"""The application: its parts, its layers, and how it begins and ends."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CollectorRegistry, Gauge
from starlette.middleware.trustedhost import TrustedHostMiddleware

from console import problems
from console.auth.limits import RateLimit
from console.auth.tokens import Tokens
from console.gateway.idempotency import Idempotency
from console.gateway.producing import Producing
from console.gateway.submit import Gateway
from console.live.follow import Follow
from console.live.state import load
from console.requests import RequestMetrics, Requests
from console.routes import (
    admin,
    auth,
    commands,
    fit,
    gateway,
    profiles,
    service,
    statistics,
    stream,
    verdicts,
)
from console.services import Services
from console.settings import ConsoleSettings
from console.store.database import Database
from processor.runtime import logs
from processor.settings import Settings

BATCH_BYTES = 16 * 2**20
"""The largest body of a request."""

LOGINS = (10, 60.0)
STOP_SECONDS = 4.0


def make_services(settings: ConsoleSettings, kafka: Settings, database: Database) -> Services:
    """The parts of a console, none of them running; the store is at this version's revision.

    Raises:
        SettingsError: the secret cannot be had.
    """
    state = load(database, settings.console_recent)
    producing = Producing(kafka)
    secret = settings.secret
    follow = Follow(
        kafka,
        database,
        state,
        one_in=settings.console_sample,
        retention_days=settings.console_retention_days,
        log=logs.logger("console"),
        failed=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    return Services(
        settings=settings,
        kafka=kafka,
        database=database,
        state=state,
        follow=follow,
        producing=producing,
        gateway=Gateway(kafka, database, state, producing),
        idempotency=Idempotency(database),
        tokens=None if secret is None else Tokens(secret, settings.jwt_hours, database),
        requests=RateLimit(*settings.rate),
        logins=RateLimit(*LOGINS),
    )


def make_app(console: Services, registry: CollectorRegistry) -> FastAPI:
    """The ASGI application; its lifespan starts and stops what reads, writes and produces."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        console.producing.start()
        console.follow.start()
        try:
            yield
        finally:
            await run_in_threadpool(console.follow.stop, STOP_SECONDS)
            await run_in_threadpool(console.producing.stop)
            console.database.close()

    documented = console.settings.console_environment == "development"
    app = FastAPI(
        title="Telltale console",
        summary="Telemetry in, verdicts out: the HTTP door to a stream of anomalies.",
        version=service.VERSION,
        lifespan=lifespan,
        docs_url="/docs" if documented else None,
        redoc_url="/redoc" if documented else None,
    )
    app.state.services = console
    problems.register(app)
    for module in (
        service,
        auth,
        gateway,
        fit,
        verdicts,
        statistics,
        stream,
        profiles,
        commands,
        admin,
    ):
        app.include_router(module.router)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=console.settings.origins,
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Location", "Link", "Retry-After", "x-request-id"],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=console.settings.hosts)
    app.add_middleware(
        Requests,
        metrics=RequestMetrics(registry),
        log=logs.logger("console"),
        most_bytes=BATCH_BYTES,
        failed=problems.failed,
    )
    _gauges(console, registry)
    return app


def _gauges(console: Services, registry: CollectorRegistry) -> None:
    lag = Gauge(
        "telltale_console_projection_lag", "Records not yet read.", ("topic",), registry=registry
    )
    for topic in console.follow.topics:
        lag.labels(topic).set_function(partial(_lag, console, topic))
    clients = Gauge("telltale_console_clients", "Clients that follow.", registry=registry)
    clients.set_function(lambda: console.state.recent.followers)
    known = Gauge("telltale_console_profiles", "Profiles in memory.", registry=registry)
    known.set_function(lambda: len(console.state.profiles))


def _lag(console: Services, topic: str) -> float:
    return console.state.lag.get(topic, 0)
