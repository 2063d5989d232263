"""Pictures of the real pages, of the demo: python -m benchmarks.screenshots [--kept].

Runs `telltale demo --console`, waits until profiles have learnt and anomalies are there, and takes
each page at three sizes in both themes. With --kept only those that the documents show are taken.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SIZES = ((360, 780), (1280, 800), (2560, 1440))
THEMES = ("light", "dark")
PAGES = ("overview", "explorer", "anomalies", "models", "dead-letters", "settings")
KEPT = (("overview", 1280, "light"), ("anomalies", 1280, "dark"), ("overview", 360, "dark"))
"""What README and docs show."""

WAIT_SECONDS = 180.0
LEAST_ANOMALIES = 25
MOST_BYTES = 150_000


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait(condition: Callable[[], bool], what: str) -> None:
    """Return once a condition holds."""
    deadline = monotonic() + WAIT_SECONDS
    while not condition():
        assert monotonic() < deadline, f"{what}: not within {WAIT_SECONDS:.0f} s"
        sleep(0.5)


def statistics(url: str) -> dict[str, Any]:
    """What the console has counted; nothing while it is not there."""
    try:
        return dict(httpx.get(f"{url}/statistics", timeout=10).json())
    except (httpx.TransportError, ValueError):
        return {"anomalies": 0}


def settled(page: Page, name: str) -> None:
    """Wait until a page shows all that it will, an anomaly opened."""
    page.wait_for_load_state("load")
    for figure in page.locator("[data-figure]").all():
        figure.locator(".plot svg").first.wait_for()
    if name == "anomalies":
        page.locator("[data-open-row]").nth(1).click()
        page.locator(".raw .this").wait_for()
    if page.locator("#live").count():
        page.locator("#live[data-state=on]").wait_for()


def main(arguments: list[str] | None = None) -> int:
    """Take the pictures; 1 if one that is kept is too large to be committed."""
    parser = argparse.ArgumentParser(prog="screenshots", description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("docs/images"))
    parser.add_argument("--kept", action="store_true", help="only those that the documents show")
    options = parser.parse_args(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    wanted = KEPT if options.kept else [(p, w, t) for p in PAGES for w, _ in SIZES for t in THEMES]
    port, heights, large = free_port(), dict(SIZES), 0
    url = f"http://127.0.0.1:{port}"
    demo = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from processor.cli.entry import main; main()",
            "demo",
            "--plain",
            "--console",
            "--seconds",
            "150",
        ],
        env=os.environ | {"TELLTALE_CONSOLE_PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait(lambda: statistics(url)["anomalies"] >= LEAST_ANOMALIES, "anomalies of the demo")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            for name, width, theme in wanted:
                context = browser.new_context(
                    viewport={"width": width, "height": heights[width]},
                    color_scheme="dark" if theme == "dark" else "light",
                    reduced_motion="reduce",
                )
                page = context.new_page()
                page.goto(f"{url}/ui/{name}")
                settled(page, name)
                path = options.directory / f"{name}-{width}-{theme}.png"
                page.screenshot(path=path)
                size = path.stat().st_size
                large += (name, width, theme) in KEPT and size > MOST_BYTES
                print(f"{path}: {size:,} bytes")
                context.close()
            browser.close()
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
