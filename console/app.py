"""The application: its parts, its layers, and how it begins and ends."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CollectorRegistry, Gauge
from starlette.middleware.trustedhost import TrustedHostMiddleware

from console import problems
from console.auth.issuer import Issuer
from console.auth.limits import Concurrent, RateLimit
from console.auth.tokens import Tokens
from console.curation import attributes, dead_letters, labels, model_metrics
from console.gateway.idempotency import Idempotency
from console.gateway.producing import Producing
from console.gateway.submit import Gateway
from console.governance import monitor_routes
from console.governance import routes as governance_routes
from console.governance.evidence import routes as evidence_routes
from console.governance.metrics import Reported
from console.governance.worker import Worker
from console.jobs import endpoints as jobs
from console.jobs import stream as job_stream
from console.jobs.workers import Workers, variables
from console.lab import experiments, rooms, uploads
from console.lab.charts import endpoints as charts
from console.lab.data import endpoints as datasets
from console.lab.registry import endpoints as registry
from console.lab.registry import proposing
from console.lanes import routes as lanes
from console.live.state import load
from console.pages import rendering, static_files
from console.pages.pulse import Pulse
from console.pages.views import anomalies, login, overview, pwa
from console.pages.views import data as data_page
from console.pages.views import dead_letters as dead_letters_page
from console.pages.views import explorer as explorer_page
from console.pages.views import governance as governance_page
from console.pages.views import jobs as jobs_page
from console.pages.views import models as models_page
from console.pages.views import profile as profile_page
from console.pages.views import settings as settings_page
from console.pages.warming import warm_lanes, warm_pages, warm_routes
from console.requests import RequestMetrics, Requests
from console.routes import (
    admin,
    auth,
    commands,
    fit,
    gateway,
    models,
    profiles,
    samples,
    service,
    statistics,
    stream,
    verdicts,
)
from console.services import Services
from console.settings import ConsoleSettings
from console.spaces import Spaces, follow_maker
from console.store.database import Database
from processor.runtime import logs
from processor.settings import Settings

BATCH_BYTES = 16 * 2**20
"""The largest body of a request."""

LOGINS = (10, 60.0)
STREAMS = 20
"""That a subject may have open at a time, of both kinds together."""

STOP_SECONDS = 4.0


def make_services(settings: ConsoleSettings, kafka: Settings, database: Database) -> Services:
    """The parts of a console, none of them running; the store is at this version's revision.

    Raises:
        SettingsError: the secret cannot be had.
    """
    state = load(database, settings.console_recent)
    producing = Producing(kafka)
    secret = settings.secret
    make_follow = follow_maker(
        settings,
        producing,
        logs.logger("console"),
        lambda: os.kill(os.getpid(), signal.SIGTERM),
        live="live" in settings.parts,
    )
    issuer = None
    if settings.jwt_jwks is not None:
        issuer = Issuer(settings.jwt_jwks, database, settings.jwt_issuer, settings.jwt_audience)
    return Services(
        settings=settings,
        kafka=kafka,
        database=database,
        accounts=database,
        state=state,
        follow=make_follow(kafka, database, state),
        producing=producing,
        gateway=Gateway(kafka, database, state, producing),
        idempotency=Idempotency(database),
        tokens=None if secret is None else Tokens(secret, settings.jwt_hours, database),
        issuer=issuer,
        requests=RateLimit(*settings.rate),
        logins=RateLimit(*LOGINS),
        streams=Concurrent(STREAMS, "streams"),
        make_follow=make_follow,
    )


def routers(parts: Collection[str]) -> list[APIRouter]:
    """The endpoints of the parts that a process runs, each once."""
    modules = [service, auth, admin, verdicts]
    if "gateway" in parts:
        modules += [gateway, fit]
    if "live" in parts:
        modules += [statistics, stream, profiles, samples, registry, models, commands, rooms]
        modules += [proposing]
        modules += [labels, attributes, dead_letters, lanes, model_metrics]
        modules += [monitor_routes, evidence_routes, governance_routes]
    if "jobs" in parts:
        modules += [jobs, job_stream, datasets, charts, experiments]
    if "ui" in parts:
        modules += [static_files, login, pwa, overview]
        modules += [anomalies, dead_letters_page, models_page, settings_page]
        modules += [explorer_page, profile_page, governance_page, jobs_page, data_page]
    return [module.router for module in modules]


def described(parts: Collection[str], **options: Any) -> FastAPI:
    """The application with the endpoints of some parts; without services it answers nothing."""
    app = FastAPI(
        title="Telltale console",
        summary="Telemetry in, verdicts out: the HTTP door to a stream of anomalies.",
        version=service.VERSION,
        **options,
    )
    for router in routers(parts):
        app.include_router(router, responses=problems.RESPONSES)
    return app


def make_app(console: Services, registry: CollectorRegistry) -> FastAPI:
    """The ASGI application; its lifespan starts and stops what reads, writes and produces."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        spaces = Spaces(console, logs.logger("console"))
        makes = "live" in console.settings.parts
        worker = Worker(console, logs.logger("console")) if makes else None
        count = console.settings.job_workers if "jobs" in console.settings.parts else 0
        given = variables(console.settings, console.kafka)
        workers = Workers(count, given, logs.logger("console"))
        await run_in_threadpool(warm_routes, app)
        if pages:
            await run_in_threadpool(warm_pages)
            await run_in_threadpool(warm_lanes, console)
        console.producing.start()
        console.follow.start()
        spaces.start()
        workers.start()
        if worker is not None:
            worker.start()
        try:
            yield
        finally:
            await run_in_threadpool(workers.ask)
            if worker is not None:
                await run_in_threadpool(worker.stop, STOP_SECONDS)
            await run_in_threadpool(console.follow.stop, STOP_SECONDS)
            await run_in_threadpool(spaces.stop, STOP_SECONDS)
            await run_in_threadpool(console.producing.stop)
            await run_in_threadpool(workers.stop, STOP_SECONDS)
            console.database.close()

    pages = "ui" in console.settings.parts
    documented = console.settings.console_environment == "development"
    app = described(
        console.settings.parts,
        lifespan=lifespan,
        docs_url="/docs" if documented else None,
        redoc_url="/redoc" if documented else None,
    )
    app.state.services = console
    app.state.pulse = Pulse()
    problems.register(app, rendering.answer if pages else problems.answer)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=console.settings.origins,
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=["ETag", "Link", "Location", "Retry-After", "x-request-id"],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=console.settings.hosts)
    app.add_middleware(
        Requests,
        metrics=RequestMetrics(registry),
        log=logs.logger("console"),
        most_bytes=BATCH_BYTES,
        failed=rendering.failed if pages else problems.failed,
        uploads=dict.fromkeys(
            uploads.PATHS, console.settings.max_upload_bytes + uploads.FORM_BYTES
        ),
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
    Reported(console, registry)


def _lag(console: Services, topic: str) -> float:
    return console.state.lag.get(topic, 0)
