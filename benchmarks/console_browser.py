"""When pages can be used in a browser: python -m benchmarks.console_browser [PATH].

Opens each page of a full store (``console_pages`` fills it, unless PATH is full) in Chromium, with
nothing in its cache, some times. A page can be used once it is loaded and its figures are drawn;
bytes are those on the wire, Plotly's own script aside.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
TIMES, MOST_SECONDS, MOST_BYTES, WAIT_SECONDS = 3, 1.5, 250_000, 60.0
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
  && [...document.querySelectorAll(".chart[data-figure], .js-plotly-plot")]
    .every((each) => each.querySelector("svg.main-svg"))"""


@contextmanager
def served(path: Path, profiles: int, anomalies: int) -> Iterator[str]:
    """The address of a console over the store; no broker answers it."""
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
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = monotonic() + WAIT_SECONDS
    while not server.started:
        assert monotonic() < deadline, "the console has not started"
        sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def seen(browser: Browser, url: str) -> tuple[float, int, int]:
    """Open a page in a fresh window: seconds until it can be used, its bytes, its figures."""
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
    figures = page.locator(".js-plotly-plot").count()
    context.close()
    own = sum(size for name, size in sizes.items() if "plotly" not in names.get(name, ""))
    return took, own, figures


def main(arguments: list[str] | None = None) -> int:
    """Print each page's time and bytes; 1 if one is beyond what it may be."""
    parser = argparse.ArgumentParser(prog="console_browser", description=__doc__)
    parser.add_argument("path", nargs="?", help="a store to fill, or one that is full")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--anomalies", type=int, default=1_000_000)
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
        print(f"{'page':36}  first ms  median ms    bytes  figures")
        for page in PAGES:
            found = [seen(browser, url + page) for _ in range(TIMES)]
            times = [each[0] for each in found]
            _, size, figures = found[-1]
            missed += median(times) > MOST_SECONDS or size > MOST_BYTES
            print(
                f"{page:36}  {times[0] * 1e3:8.0f}  {median(times) * 1e3:9.0f}  {size:7,}  "
                f"{figures:7}"
            )
        browser.close()
    print(f"{missed} of {len(PAGES)} pages beyond {MOST_SECONDS} s or {MOST_BYTES:,} bytes")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
