"""When pages can be used in a browser: python -m benchmarks.console_browser [PATH].

Opens each page of a full store (``console_pages`` fills it, unless PATH is full) in Chromium, with
nothing in its cache, some times. A page can be used once it is loaded and the figures in sight are
drawn; those further down follow one by one, and ``all`` says when. Bytes are those on the wire,
Plotly's own script aside.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Any

import uvicorn
from playwright.sync_api import Browser, sync_playwright
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from benchmarks.console_pages import fill
from console.app import make_app, make_services
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database
from processor.settings import Settings

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
TIMES, MOST_SECONDS, MOST_BYTES, WAIT_SECONDS = 5, 1.5, 250_000, 60.0
SETTLED_SECONDS, FILL_SECONDS = 3.0, 900.0
PAGES = (
    "/ui/overview",
    "/ui/explorer",
    "/ui/profiles/features/host-504",
    "/ui/anomalies",
    "/ui/models",
    "/ui/models/features:host-504",
    "/ui/jobs",
    "/ui/data",
    "/ui/governance",
    "/ui/dead-letters",
    "/ui/settings",
)
DRAWN = """() => document.readyState === "complete"
  && [...document.querySelectorAll("[data-figure]")]
    .filter((each) => each.getBoundingClientRect().top < innerHeight)
    .every((each) => each.querySelector("svg.main-svg"))"""


@contextmanager
def served(path: Path, profiles: int, anomalies: int) -> Iterator[str]:
    """The address of a console over the store, in a process of its own; no broker answers it."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(path, profiles, anomalies, theirs))
    process.start()
    try:
        assert ours.poll(FILL_SECONDS), "the console has not started"
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(path: Path, profiles: int, anomalies: int, told: Connection) -> None:
    settings = ConsoleSettings(
        _env_file=None, database_url=f"sqlite:///{path}", rate_limit="1000000/second", job_workers=0
    )
    database = Database(settings.database)
    database.upgrade()
    with database.read() as connection:
        held = connection.execute(select(func.count()).select_from(t.profiles)).scalar_one()
    if not held:
        fill(database, profiles, anomalies)
    kafka = Settings(_env_file=None, bootstrap_servers="127.0.0.1:1", log_level="error")
    app = make_app(make_services(settings, kafka, database), CollectorRegistry())
    taken = socket.create_server(("127.0.0.1", 0))
    told.send(taken.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([taken])


def seen(browser: Browser, url: str) -> tuple[float, int, int]:
    """Open a page in a fresh window: seconds until it can be used, its bytes, its figures.

    Playwright is attached as a debugger is: for an exception that Plotly catches while it loads,
    Chromium then reads the whole script anew, three times. Nobody's browser does that otherwise:
    ``undisturbed`` says how long it takes without.
    """
    context = browser.new_context()
    page = context.new_page()
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, int] = {}

    def asked(event: dict[str, Any]) -> None:
        names[event["requestId"]] = event["request"]["url"]

    def ended(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = int(event["encodedDataLength"])

    client.on("Network.requestWillBeSent", asked)
    client.on("Network.loadingFinished", ended)
    began = perf_counter()
    page.goto(url, wait_until="load")
    page.wait_for_function(DRAWN, timeout=WAIT_SECONDS * 1000)
    took = perf_counter() - began
    figures = page.locator("[data-figure]").count()
    context.close()
    own = sum(size for name, size in sizes.items() if "plotly" not in names.get(name, ""))
    return took, own, figures


def undisturbed(browser: Browser, url: str) -> tuple[float, float]:
    """The same seconds without a debugger, from Chromium's trace, and those until all is drawn."""
    session = browser.new_browser_cdp_session()
    events: list[dict[str, Any]] = []
    ended: list[bool] = []
    session.on("Tracing.dataCollected", lambda told: events.extend(told["value"]))
    session.on("Tracing.tracingComplete", lambda _: ended.append(True))
    session.send(
        "Tracing.start",
        {
            "transferMode": "ReportEvents",
            "traceConfig": {"includedCategories": ["blink.user_timing"]},
        },
    )
    window = session.send("Target.createBrowserContext")["browserContextId"]
    session.send("Target.createTarget", {"url": url, "browserContextId": window})
    # The page is not to be asked whether it is ready: whoever asks is a debugger.
    sleep(SETTLED_SECONDS)
    session.send("Tracing.end")
    deadline = monotonic() + WAIT_SECONDS
    while not ended:
        assert monotonic() < deadline, "Chromium's trace has not come"
        session.send("Browser.getVersion")
    session.send("Target.disposeBrowserContext", {"browserContextId": window})
    session.detach()
    began = [
        event
        for event in events
        if event["name"] == "navigationStart" and url in str(event["args"])
    ][-1]
    ends = {
        event["name"]: float(event["ts"] - began["ts"]) / 1e6
        for event in events
        if event["name"] in ("loadEventEnd", "telltale:drawn", "telltale:all-drawn")
        and event["pid"] == began["pid"]
    }
    assert "loadEventEnd" in ends, f"{url} was not loaded within {SETTLED_SECONDS} s"
    last = max(ends.values())
    return max(time for name, time in ends.items() if "all" not in name), last


def main(arguments: list[str] | None = None) -> int:
    """Print each page's times and bytes; 1 if one is beyond what it may be."""
    parser = argparse.ArgumentParser(prog="console_browser", description=__doc__)
    parser.add_argument("path", nargs="?", help="a store to fill, or one that is full")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--anomalies", type=int, default=1_000_000)
    parser.add_argument("--page", action="append", help="only this page, such as /ui/explorer")
    options = parser.parse_args(arguments)
    missed = 0
    with (
        tempfile.TemporaryDirectory() as directory,
        served(
            Path(options.path or f"{directory}/pages.db"), options.profiles, options.anomalies
        ) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        print(f"{'page':36}  first ms  median ms  undisturbed    all    bytes  figures")
        for page in options.page or PAGES:
            found = [seen(browser, url + page) for _ in range(TIMES)]
            times = [each[0] for each in found]
            alone = [undisturbed(browser, url + page) for _ in range(TIMES)]
            usable, whole = (median(each) for each in zip(*alone, strict=True))
            _, size, figures = found[-1]
            missed += median(times) > MOST_SECONDS or size > MOST_BYTES
            print(
                f"{page:36}  {times[0] * 1e3:8.0f}  {median(times) * 1e3:9.0f}  "
                f"{usable * 1e3:11.0f}  {whole * 1e3:5.0f}  {size:7,}  {figures:7}"
            )
        browser.close()
    print(f"{missed} pages beyond {MOST_SECONDS} s or {MOST_BYTES:,} bytes")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
