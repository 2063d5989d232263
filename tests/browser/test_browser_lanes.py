"""Explorer and Profile in a real browser: lanes filter, marks explain, commands are confirmed."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.broker.consoles import Running, start
from tests.broker.harness import Telltale
from tests.browser.conftest import score
from tests.browser.looking import PATIENCE_MS, Looking

HOSTILE = '<img src=x onerror="document.title=1">'
LEARN, ALARMS = 8, 3
ASYNC = {"Prefer": "respond-async"}

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def console(telltale: Telltale, tmp_path: Path) -> Running:
    """A console of the test's own: tests here count all that the Explorer shows."""
    telltale.create_topics(2)
    score(telltale)
    return start(telltale, f"sqlite:///{tmp_path}/console.db")


def feed(telltale: Telltale, console: Running, *profiles: str) -> None:
    """Profiles that learn and then alarm."""
    calm = [{"cpu": 1 + number % 5 / 10, "disk": 5 + number % 3} for number in range(LEARN)]
    loud = [{"cpu": 900 + number, "disk": 5} for number in range(ALARMS)]
    for profile in profiles:
        path = f"/api/v1/profiles/features/{quote(profile, safe='')}/records"
        for values in (*calm, *loud):
            told = console.http.post(path, json={"values": values}, headers=ASYNC)
            assert told.status_code == 202, told.text

    def alarmed(profile: str) -> bool:
        told = console.http.get(
            "/api/v1/verdicts", params={"profile_id": profile, "kind": "features"}
        ).json()
        return sum(each["anomaly"] for each in told["items"]) == ALARMS

    telltale.wait_until(lambda: all(map(alarmed, profiles)), "all profiles have alarmed")


def drawn(page: Page, name: str) -> None:
    """Wait until a figure is there."""
    page.wait_for_selector(f"#{name}[data-drawn] .plot .main-svg")


def listed(page: Page) -> list[str]:
    """Profiles in the table of anomalies."""
    return sorted(set(page.locator("#rows-part .c-profile bdi").all_inner_texts()))


def cell_of(page: Page, lane: int) -> tuple[float, float]:
    """Where a cell of a lane lies in the window."""
    found = page.evaluate(
        """(lane) => {
          const plot = document.querySelector("#lanes .plot");
          const heat = plot.data[1], full = plot._fullLayout;
          const column = heat.z[lane].findIndex((rank) => rank !== null);
          const box = plot.getBoundingClientRect();
          return [box.left + full.xaxis._offset + full.xaxis.d2p(heat.x[column]),
                  box.top + full.yaxis._offset + full.yaxis.d2p(lane)];
        }""",
        lane,
    )
    return (found[0], found[1])


def test_lanes_filter_the_table_and_the_address_says_it(
    console: Running, looking: Looking, telltale: Telltale
):
    feed(telltale, console, "pump-1", "pump-2", HOSTILE)
    page = looking.go(console, "/ui/explorer")
    drawn(page, "lanes")
    expect(page.locator("#rows-part tr[data-verdict]")).to_have_count(3 * ALARMS)
    assert listed(page) == sorted(["pump-1", "pump-2", HOSTILE])
    assert looking.barriers() == []

    # A click on a cell chooses its lane and interval.
    lane = page.evaluate("JSON.parse(document.getElementById('lane-names').textContent).names")
    x, y = cell_of(page, lane.index("features/pump-2"))
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    page.wait_for_url(re.compile(r"lane=features%2Fpump-2"))
    expect(page.locator("#rows-part tr[data-verdict]")).to_have_count(ALARMS)
    assert listed(page) == ["pump-2"]

    # The link opens exactly that, and Back goes back.
    chosen = page.url
    page.go_back()
    expect(page.locator("#rows-part tr[data-verdict]")).to_have_count(3 * ALARMS)
    page.goto(chosen)
    drawn(page, "lanes")
    assert listed(page) == ["pump-2"]

    # A box over all lanes chooses the time alone.
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("#rows-part tr[data-verdict]")).to_have_count(3 * ALARMS)
    drawn(page, "lanes")
    (x, y), (_, last) = cell_of(page, 0), cell_of(page, 2)
    page.mouse.move(x - 40, y - 8)
    page.mouse.down()
    page.mouse.move(x + 4, (y + last) / 2, steps=6)
    page.mouse.move(x + 8, last + 8, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile(r"from="))
    assert page.url.count("lane=") == 3
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url(lambda url: "from=" not in url)

    # Keys alone: the table twin chooses a lane as well.
    page.get_by_text("The lanes as a table").focus()
    page.keyboard.press("Enter")
    page.locator("#lanes-as-table").get_by_role("link", name="pump-1", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"lane=features%2Fpump-1"))
    expect(page.locator("#rows-part tr[data-verdict]")).to_have_count(ALARMS)

    # The legend hides severities.
    shown = page.locator(".legend-item b").all_inner_texts()
    gravest = next(n for n, many in enumerate(shown) if many != "0")
    page.locator("a.legend-item").nth(gravest).click()
    page.wait_for_url(re.compile(r"hide="))
    expect(page.locator("a.legend-item").nth(gravest)).to_have_attribute("aria-pressed", "false")

    # A part of an id finds its profile.
    page.get_by_role("combobox", name="Find a profile").fill("MP-2")
    found = page.get_by_role("listbox", name="Profiles").get_by_role("option")
    expect(found).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/profiles/features/pump-2")
    assert page.title() == "pump-2 · Telltale"


def test_a_profile_explains_and_is_suppressed_rolled_back_and_forgotten(
    console: Running, looking: Looking, telltale: Telltale
):
    telltale.start("retrain", "--slot", "0", TELLTALE_COLD_START_SAMPLES="5")
    feed(telltale, console, "pump-1")
    page = looking.go(console, "/ui/profiles/features/pump-1")
    drawn(page, "over-time")

    names = page.evaluate(
        "document.querySelector('#over-time .plot').data.map((trace) => trace.name)"
    )
    assert {"expected", "threshold"} <= set(names)
    assert set(names) & {"low", "medium", "high", "critical"}
    notes = page.locator("#over-time .annotation-text").all_text_contents()
    assert any("version 1" in note for note in notes)
    assert looking.barriers() == []

    # From an alarm to its reason, and from there to the raw record: one click.
    page.locator("#rows-part [data-open-row]").first.click()
    expect(page.locator(".why-part")).to_contain_text("cpu")
    expect(page.locator(".raw-part .this")).to_contain_text("90")

    # A label by one key.
    page.locator("#rows-part [data-open-row]").last.focus()
    page.keyboard.press("a")
    label = page.locator("#rows-part tr[data-verdict]").last.get_by_role("button", name="anomaly")
    expect(label).to_have_attribute("aria-pressed", "true")

    # A maintenance window, and its end.
    page.get_by_role("button", name="Suppress").click()
    page.get_by_label("Why").fill("new bearing")
    page.get_by_role("dialog").get_by_role("button", name="Suppress").click()
    expect(page.locator("#state-part")).to_contain_text("new bearing")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Suppress")).to_be_visible()

    # A second version, and back to the first.
    for number in range(40):
        path = "/api/v1/profiles/features/pump-1/records"
        values = {"cpu": 1 + number % 5 / 10, "disk": 5 + number % 3}
        told = console.http.post(path, json={"values": values}, headers=ASYNC)
        assert told.status_code == 202
    console.post(
        "/api/v1/profiles/features/pump-1/commands", {"command": "retrain"}
    ).raise_for_status()

    def versions() -> list[int]:
        told = console.json("/api/v1/profiles/features/pump-1/versions")
        return [row["version"] for row in told["items"]]

    telltale.wait_until(lambda: 2 in versions(), "there is a second version")
    back = page.get_by_role("button", name="Go back to 1")
    back.click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("#events-part")).to_contain_text("rolled back")

    # Forgotten: typed, with the receipts as they come.
    page.get_by_role("button", name="Forget").click()
    send = page.get_by_role("dialog").get_by_role("button", name="Forget")
    expect(send).to_be_disabled()
    page.get_by_label("Type the id to confirm").fill("pump-1")
    send.click()
    expect(page.locator("#receipts [data-done]")).to_have_count(3)
    roles = {each.get_attribute("data-role") for each in page.locator("#receipts li").all()}
    assert roles == {"scorer", "retrainer", "console"}
    looking.expected = ("404",)
    page.get_by_role("button", name="To the Explorer").click()
    page.wait_for_url("**/ui/explorer")
    assert listed(page) == []
    gone = console.http.get("/ui/profiles/features/pump-1", headers={"Accept": "text/html"})
    assert gone.status_code == 404


def test_two_windows_talk_about_a_profile_of_a_hostile_name(
    console: Running, looking: Looking, telltale: Telltale
):
    name = f"a/b?c%2F{HOSTILE}" + "x" * 200
    feed(telltale, console, name)
    path = f"/ui/profiles/features/{quote(name, safe='')}"
    page = looking.go(console, path)
    assert looking.barriers() == []
    other = looking.context.new_page()
    other.goto(page.url)
    expect(other.get_by_text("Nobody has said anything yet.")).to_be_visible()

    page.get_by_label("Say something of this profile").fill("<b>new bearing</b>\nsince Monday")
    page.get_by_role("button", name="Say", exact=True).click()

    for window in (page, other):
        said = window.get_by_role("log", name="What was said").get_by_role("listitem")
        expect(said).to_have_count(1)
        expect(said).to_contain_text("<b>new bearing</b>")
        assert window.locator("#said b").count() == 0

    other.get_by_label("Say something of this profile").fill("seen")
    other.keyboard.press("Control+Enter")
    expect(page.locator("#said > li").last).to_contain_text("seen")
    page.reload()
    expect(page.locator("#said > li")).to_have_count(2)
    expect(page.locator("#said > li").last).to_contain_text("seen")
    assert page.title() != "1"
    assert looking.barriers() == []


def test_pages_with_hostile_names_fit_narrow_and_wide_windows(
    console: Running, looking: Looking, telltale: Telltale
):
    name = HOSTILE + "x" * 120
    feed(telltale, console, name)
    path = f"/ui/profiles/features/{quote(name, safe='')}"
    for width in (360, 1280, 3840):
        looking.page.set_viewport_size({"width": width, "height": 800})
        for place in ("/ui/explorer", path):
            page = looking.go(console, place)
            page.wait_for_selector("[data-drawn]")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (place, width)
            for theme in ("dark", "light"):
                page.get_by_label("Theme").select_option(theme)
                assert looking.barriers() == [], (place, width, theme)
            assert page.locator("img").count() == 0
            assert page.title() != "1"
