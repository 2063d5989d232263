"""What every page is sent with, and what no page may hold."""

import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from console.pages import rendering, static_files, words
from console.store.database import Database
from tests.unit.console.records import NOON, anomaly, dead_letter, event, label, model
from tests.unit.console.test_console_api import client_of, fill, made

HTML = {"Accept": "text/html"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "😈" * 64,
    "a/b?c#d%20&amp;{{7*7}}",
)
PAGES = (
    "/ui/overview",
    "/ui/anomalies",
    "/ui/models",
    "/ui/dead-letters",
    "/ui/settings",
    "/ui/settings?show=users",
    "/ui/settings?show=audit",
    "/ui/settings?show=settings",
    "/ui/settings?show=organizations",
    "/ui/anomalies/telemetry.features-0-0/why",
    "/ui/login",
    "/ui/offline",
)


class Tags(HTMLParser):
    """What a page holds that runs, or that somebody has put there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.inline: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.names.add(tag)
        if tag == "script" and "src" not in held and held.get("type") != "application/json":
            self.inline.append(str(held))
        self.handlers += [name for name in held if name.startswith("on")]
        self.handlers += [str(v) for v in held.values() if (v or "").startswith("javascript:")]


def test_no_page_holds_a_script_or_a_handler_whatever_names_come_from_the_wire(
    database: Database,
):
    console = made(database)
    reasons = [
        {"feature": name, "value": 1.0, "typical": [0, 0.5], "contribution": 1, "text": name}
        for name in HOSTILE
    ]
    for number, name in enumerate(HOSTILE):
        fill(
            console,
            anomaly(number, name, reasons=reasons, scored_at=NOON + number),
            model(number, name, features=list(HOSTILE), detector=name),
            event(number, "adopted", name, detail=name, version=2),
            dead_letter(number, number, name),
        )
    client = client_of(console)
    paths = [*PAGES, *(rendering.model_path("features", name) for name in HOSTILE)]

    for path in paths:
        told = client.get(path, headers=HTML)
        assert told.status_code == 200, (path, told.text)
        tags = Tags(told.text)
        assert (tags.inline, tags.handlers) == ([], []), path
        assert "img" not in tags.names, path
        policy = told.headers["content-security-policy"]
        assert "script-src 'self';" in policy, path
        assert "default-src 'self'" in policy, path
        assert told.headers["cache-control"] == "no-store", path


def test_a_name_is_shown_as_it_is(sqlite: Database):
    console = made(sqlite)
    fill(console, *(anomaly(n, name) for n, name in enumerate(HOSTILE)))

    told = client_of(console).get("/ui/anomalies", headers=HTML).text

    shown: list[str] = []

    class Names(HTMLParser):
        inside = False

        def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "bdi"

        def handle_data(self, data: str) -> None:
            if self.inside:
                shown.append(data)
            self.inside = False

    Names().feed(told)
    assert set(HOSTILE) <= set(shown)


def test_data_of_a_script_ends_no_element():
    text = str(rendering.json_block({"name": "</script><!-- & \u2028"}))

    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": "</script><!-- & \u2028"}


@pytest.mark.parametrize(
    "path", ["/ui/nothing", "/ui/models/features:none", "/ui/dead-letters/x/y"]
)
def test_an_error_is_a_page_for_a_browser_and_a_problem_for_a_script(sqlite: Database, path: str):
    client = client_of(made(sqlite))

    page = client.get(path, headers=HTML)
    part = client.get(path, headers=HTML | {"X-Telltale-Part": "1"})

    assert page.status_code == part.status_code
    assert page.headers["content-type"].startswith("text/html")
    assert part.headers["content-type"] == "application/problem+json"
    assert part.json()["detail"][:20] in page.text.replace("&#39;", "'")


def test_an_exception_is_a_page_that_says_nothing_of_it(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr("console.pages.pulse.intervals", fail)

    told = client_of(made(sqlite)).get("/ui/overview", headers=HTML)

    assert told.status_code == 500
    assert "1234" not in told.text
    assert told.headers["x-request-id"] in told.text


def test_the_root_sends_a_browser_to_the_pages_and_tells_scripts_what_it_is(sqlite: Database):
    client = client_of(made(sqlite))
    client.follow_redirects = False

    browser = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    script = client.get("/")
    without = client_of(made(sqlite, console_parts="gateway,live"))

    assert (browser.status_code, browser.headers["location"]) == (307, "/ui/")
    assert script.json()["service"] == "telltale console"
    assert without.get("/", headers=HTML).json()["service"] == "telltale console"
    assert without.get("/ui/overview", headers=HTML).status_code == 404


def test_a_static_file_is_kept_for_good_under_its_digest_and_asked_for_again_elsewhere(
    sqlite: Database,
):
    client, url = client_of(made(sqlite)), static_files.asset("app.css")

    told = client.get(url, headers={"Accept-Encoding": "gzip"})
    again = client.get(url, headers={"If-None-Match": told.headers["etag"]})
    plain = client.get(url, headers={"Accept-Encoding": "identity"})
    old = client.get("/ui/static/0123/app.css")

    assert "immutable" in told.headers["cache-control"]
    assert (told.headers["content-encoding"], told.content) == ("gzip", plain.content)
    assert (again.status_code, again.content) == (304, b"")
    assert "content-encoding" not in plain.headers
    assert old.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["../rendering.py", "%2e%2e/rendering.py", "nothing.js", ""])
def test_nothing_but_static_files_is_sent(sqlite: Database, name: str):
    assert client_of(made(sqlite)).get(f"/ui/static/x/{name}").status_code == 404


def test_what_a_page_loads_beside_plotly_is_small():
    files = [path for path in static_files.HERE.rglob("*") if path.is_file()]

    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 100_000
    assert sum(path.stat().st_size for path in files) < 250_000


def test_plotlys_own_script_is_sent_compressed(sqlite: Database):
    told = client_of(made(sqlite)).get(static_files.plotly(), headers={"Accept-Encoding": "gzip"})

    assert told.headers["content-encoding"] == "gzip"
    assert int(told.headers["content-length"]) < 1_600_000
    assert b"plotly.js" in told.content[:200]


def test_plotlys_function_is_put_in_parentheses_and_nothing_else_changes():
    held = b'(typeof self, () => {\n"use strict";var Plotly=(()=>{})();\nreturn Plotly;\n}));\n'

    told = static_files.eager(held)

    assert told == (
        b'(typeof self, (() => {\n"use strict";var Plotly=(()=>{})();\nreturn Plotly;\n})));'
    )
    assert static_files.eager(told) == told
    assert static_files.eager(b"another version") == b"another version"


def test_plotlys_script_of_this_version_is_compiled_while_it_loads():
    plain = static_files._plotly_path().read_bytes()

    assert len(static_files.eager(plain).strip()) == len(plain.strip()) + 2


def test_scripts_of_a_page_come_before_plotlys_and_what_draws_after_it(sqlite: Database):
    text = client_of(made(sqlite)).get("/ui/overview", headers={"Accept": "text/html"}).text

    places = [text.index(name) for name in ("overview.js", "plotly.min.js", "figures.js")]
    assert places == sorted(places)


def test_the_pages_can_be_installed(sqlite: Database):
    client = client_of(made(sqlite))
    manifest = client.get("/ui/manifest.webmanifest").json()
    worker = client.get("/ui/sw.js")

    assert (manifest["scope"], manifest["display"]) == ("/ui/", "standalone")
    assert all(client.get(icon["src"]).status_code == 200 for icon in manifest["icons"])
    assert worker.headers["content-type"].startswith("text/javascript")
    assert worker.headers["cache-control"] == "no-cache"


def test_every_template_can_be_read():
    names = rendering.environment.list_templates()

    assert len(names) >= 10
    for name in names:
        rendering.environment.get_template(name)


def test_no_module_of_the_pages_names_another_host():
    for path in Path(static_files.HERE).glob("*.js"):
        text = path.read_text()
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert not re.search(
            r"(inner|outer)HTML\s*=[^=]|insertAdjacentHTML|document\.write", text
        ), path


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            {"feature": "memory", "value": 182.94, "typical": [129.01, 148]},
            "memory 182.9, usually 129–148",
        ),
        (
            {"feature": "cpu", "value": None, "typical": [0.1, 0.25]},
            "cpu missing, usually 0.1–0.25",
        ),
        ({"feature": "x", "value": 2, "typical": [None, 1]}, "x 2, usually at most 1"),
        ({"feature": "x", "value": 2}, "x 2"),
        ({}, "missing"),
    ],
)
def test_a_reason_reads_like_a_sentence(reason: dict[str, object], said: str):
    assert words.sentence(reason).strip() == said


def test_labels_of_the_guide_are_counted(sqlite: Database):
    console = made(sqlite, console_guide=True)
    fill(console, anomaly(0), label(0, "telemetry.features-0-0", "normal"))

    told = client_of(console).get("/ui/overview", headers=HTML).text

    assert "The first five minutes" in told
    assert '<li class="done"><b>Judge one.' in told
