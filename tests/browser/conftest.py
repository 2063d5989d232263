"""Tests here look at the pages with a real browser, over a real broker and a real scorer."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.broker.conftest import environment, telltale
from tests.broker.consoles import Running, start
from tests.broker.harness import Telltale, environment_of
from tests.browser.looking import Looking

__all__ = ["environment", "telltale"]
HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The module's browser; without one, tests skip, and fail under CI.

    Until Playwright has stopped, no ``asyncio.run`` works in this thread: a session's browser
    would fail the modules that come after these.
    """
    if not Path(CHROMIUM).exists():
        told = f"no browser at {CHROMIUM}: install chromium, or set CHROMIUM to its path"
        if os.environ.get("CI"):
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def score(telltale: Telltale) -> None:
    """A scorer whose profiles learn from five records, and are judged by a Gaussian."""
    telltale.start(
        "score", "--slot", "0", TELLTALE_COLD_START_SAMPLES="5", TELLTALE_DETECTOR="gaussian"
    )


@pytest.fixture(scope="session")
def shared(
    bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Telltale, Running]]:
    """One application and its console for all tests of the session that need none of their own.

    A test takes profiles of its own names; whoever counts all of something takes ``telltale``.
    """
    directory = tmp_path_factory.mktemp("browser")
    (directory / "logs").mkdir()
    variables = environment_of(bootstrap, directory, f"t{uuid.uuid4().hex[:10]}.")
    application = Telltale(variables, directory / "logs")
    application.create_topics(2)
    score(application)
    yield application, start(application, f"sqlite:///{directory}/console.db")
    application.close()


@pytest.fixture
def console(shared: tuple[Telltale, Running]) -> Running:
    """The session's console, without login; profiles learn from five records."""
    return shared[1]


@pytest.fixture
def looking(chromium: Browser) -> Iterator[Looking]:
    """A browser window with nothing in it; the test fails if a page of it complained."""
    window = Looking.open(chromium)
    yield window
    window.close()
    assert window.complaints == []
