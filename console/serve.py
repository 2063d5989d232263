"""The process: store, metrics and HTTP until SIGTERM, SIGINT or an error without remedy."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from sqlalchemy.exc import DBAPIError

from console.app import make_app, make_services
from console.auth import users
from console.services import Services
from console.settings import ConsoleSettings, refuse_unsafe
from console.store.database import Database, OldSchema
from processor.runtime import http, logs
from processor.settings import PREFIX, Settings, SettingsError

MOST_CONNECTIONS = 1000
END_SECONDS = 3
M_ARENA_MAX, ARENAS = -8, 2
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 2**20
LOOK_SECONDS, TRIM_SECONDS, TRIM_BYTES = 2.0, 30.0, 32 * 2**20
"""Free memory is given back every 30 s, and sooner where the process has grown by so much."""

SWITCH_SECONDS = 0.0005


class _Server(uvicorn.Server):
    """Has nobody wait, and streams end, as soon as the process is told to end."""

    def __init__(self, config: uvicorn.Config, console: Services) -> None:
        super().__init__(config)
        self._console = console

    def handle_exit(self, sig: int, frame: Any) -> None:
        for console in self._console.every():
            console.stopping = True
            console.state.waiting.close()
        super().handle_exit(sig, frame)


def open_store(settings: ConsoleSettings) -> Database:
    """The store at this version's revision: SQLite is upgraded, PostgreSQL is checked.

    Raises:
        SettingsError: it does not answer, or its tables are of another version.
    """
    database = Database(settings.database, settings.database_pool, settings.database_max)
    shown = settings.database.render_as_string(hide_password=True)
    try:
        if database.sqlite:
            database.upgrade()
        else:
            database.check()
    except DBAPIError as error:
        told = str(error.orig).strip().splitlines()
        raise SettingsError(
            f"{PREFIX}DATABASE_URL: expected a store that answers, got {shown}: "
            f"{told[0] if told else type(error.orig).__name__}"
        ) from None
    except OldSchema as error:
        raise SettingsError(f"{PREFIX}DATABASE_URL: {error}") from None
    return database


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; uvicorn's own would have answers wait for delayed acknowledgements.

    asyncio sets TCP_NODELAY only where the protocol is named.

    Raises:
        SettingsError: the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise SettingsError(
            f"{PREFIX}CONSOLE_PORT: expected a free address, got {host}:{port}: "
            f"{error.strerror or error}"
        ) from None
    return listening


def collect_seldom() -> None:
    """Have the cyclic garbage collector run seldom.

    Every verdict is some hundred objects without cycles, which go by themselves: to look through
    them again and again took a third of the projection's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def tune_process() -> None:
    """Have memory come from few arenas, and threads take turns often.

    glibc keeps what each of eight arenas once held: half as much again as is used. A large block
    has pages of its own, which go back when it is freed; glibc would raise its bound of 128 kB to
    32 MB with the first one that is freed. A request's thread would wait for up to 5 ms, Python's
    default, each time the projection is at work.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(M_ARENA_MAX, ARENAS)
            libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
    sys.setswitchinterval(SWITCH_SECONDS)


def give_back(stopping: threading.Event) -> None:
    """Give free memory back to the system now and then, until the process stops.

    glibc keeps free blocks below others that are in use: after a catch-up that is a third of the
    process. Elsewhere than on Linux with glibc nothing is done.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
        held, at = resident(), monotonic()
    except (AttributeError, OSError, TypeError):
        return
    while not stopping.wait(LOOK_SECONDS):
        if resident() > held + TRIM_BYTES or monotonic() > at + TRIM_SECONDS:
            trim(0)
            held, at = resident(), monotonic()


def resident() -> int:
    """Bytes of memory that the process has in use, as Linux counts them.

    Raises:
        OSError: the system is not Linux.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(settings: ConsoleSettings, kafka: Settings) -> int:
    """Run the console; the exit code.

    Raises:
        SettingsError: a setting is wrong, an address is taken, or the start would not be safe.
    """
    # uvicorn raises the signal again when it has ended: by then there is nothing left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    tune_process()
    logs.configure(kafka.log_format, kafka.log_level)
    log = logs.logger("console")
    settings.secret  # noqa: B018  (read, so that a bad one stops the start before anything else)
    database = open_store(settings)
    refuse_unsafe(settings, users.count(database))
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    console = make_services(settings, kafka, database)
    app = make_app(console, registry)
    config = uvicorn.Config(
        app,
        host=settings.console_host,
        port=settings.console_port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=END_SECONDS,
        h11_max_incomplete_event_size=32_768,
    )
    listening = _listen(settings.console_host, settings.console_port)
    try:
        metrics = http.serve(settings.console_host, settings.console_metrics_port, registry, {})
    except OSError as error:
        address = f"{settings.console_host}:{settings.console_metrics_port}"
        raise SettingsError(
            f"{PREFIX}CONSOLE_METRICS_PORT: expected a free address, got {address}: "
            f"{error.strerror or error}"
        ) from None
    port = listening.getsockname()[1]
    log.info(
        "listening",
        host=settings.console_host,
        port=port,
        metrics_port=metrics.server_port,
        store=settings.database.render_as_string(hide_password=True),
        login=not console.open,
    )
    server = _Server(config, console)
    collect_seldom()
    stopping = threading.Event()
    threading.Thread(target=give_back, args=(stopping,), name="memory", daemon=True).start()
    asyncio.run(server.serve(sockets=[listening]))
    stopping.set()
    metrics.shutdown()
    return 1 if console.follow.says.fatal is not None or not server.started else 0
