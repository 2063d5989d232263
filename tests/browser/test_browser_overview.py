"""The overview lives: what the scorer says appears without a reload."""

import re
from uuid import uuid4

from playwright.sync_api import expect

from tests.broker.consoles import Running
from tests.browser.looking import Looking
from tests.browser.sending import alarm, learn


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def test_an_anomaly_appears_in_chart_counts_and_list_without_reload(
    console: Running, looking: Looking
):
    name = f"live-{uuid4().hex[:6]}"
    learn(console, name)
    page = looking.go(console, "/ui/overview")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.evaluate("window.mark = 'the same page'")
    before = number(page.locator("#tiles .tile .value").first.inner_text())
    drawn = page.locator("#chart .plot svg").first
    expect(drawn).to_be_visible()

    alarm(console, name, 4)

    expect(page.locator("#worst").get_by_text(name)).to_be_visible()
    expect(page.locator("#tiles .tile .value").first).to_have_text(str(before + 4))
    heights = "[...document.querySelectorAll('#chart .bars .point path')].length"
    page.wait_for_function(f"{heights} > 0")
    assert page.evaluate("window.mark") == "the same page"
    assert looking.barriers() == []


def test_a_hostile_name_is_text_on_every_page(console: Running, looking: Looking):
    tag = uuid4().hex[:6]
    names = [
        f"<img src=x onerror=alert(1)>{tag}",
        f"\"'><script>alert(2)</script>{tag}",
        f"\u202e{tag}gnp.exe",
        "😈" * 62 + tag,
    ]
    dialogs: list[str] = []
    looking.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    for name in names:
        learn(console, name)
        alarm(console, name)

    for path in ("/ui/overview", "/ui/anomalies", "/ui/models"):
        page = looking.go(console, path)
        for name in names:
            shown = page.locator("bdi").filter(has_text=name).first
            expect(shown).to_be_attached()
            assert shown.evaluate("element => element.children.length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert dialogs == []


def test_the_page_keeps_its_theme_and_interval_in_its_address(console: Running, looking: Looking):
    page = looking.go(console, "/ui/overview")
    page.get_by_role("link", name="15m", exact=True).click()
    page.wait_for_url("**/ui/overview?step=15m")
    page.get_by_label("Theme").select_option("dark")
    page.reload()

    current = page.get_by_role("navigation", name="Length of an interval").locator("[aria-current]")
    expect(current).to_have_text("15m")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_figure_takes_the_colours_of_the_theme(console: Running, looking: Looking):
    page = looking.go(console, "/ui/overview?step=1h")
    page.get_by_label("Theme").select_option("light")
    expect(page.locator("#chart .plot svg").first).to_be_visible()
    colour = "Plotly && document.querySelector('#chart .plot').data[3].marker.color"
    light = page.evaluate(colour)

    page.get_by_label("Theme").select_option("dark")

    page.wait_for_function(f"{colour} !== {light!r}")
    assert page.evaluate(colour).startswith("rgb")
