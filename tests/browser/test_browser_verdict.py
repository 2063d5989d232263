"""A verdict's page in a real browser: a key labels it, people talk there, names are text."""

from time import monotonic
from uuid import uuid4

from playwright.sync_api import Browser, expect

from tests.broker.consoles import Running
from tests.browser.looking import Looking
from tests.browser.sending import alarm, learn

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp "


def alarmed(console: Running, name: str) -> str:
    """The id of an anomaly of a new profile, once the store has its row."""
    learn(console, name)
    (verdict,) = alarm(console, name)
    deadline = monotonic() + 60
    while console.http.get(f"/ui/anomalies/{verdict}").status_code != 200:
        assert monotonic() < deadline, f"{verdict} has not become a row"
    return verdict


def test_a_verdict_is_labelled_by_a_key_and_talked_of_on_its_page(
    console: Running, looking: Looking
):
    name = f"{HOSTILE}{uuid4().hex[:6]}"
    verdict = alarmed(console, name)

    page = looking.go(console, f"/ui/anomalies/{verdict}")
    expect(page.locator("h1")).to_have_text(f"Anomaly of {name}")
    expect(page.locator(".why-part")).to_be_visible()
    page.keyboard.press("a")
    expect(page.locator('[data-judge="anomaly"]')).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Say something of this verdict").fill("<b>a valve</b> stuck")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#said")).to_contain_text("<b>a valve</b> stuck")
    assert page.locator("main img, #said b").count() == 0
    assert looking.barriers() == []

    page.reload()
    expect(page.locator("#said")).to_contain_text("<b>a valve</b> stuck")
    expect(page.locator('[data-judge="anomaly"]')).to_have_attribute("aria-pressed", "true")


def test_the_page_of_a_verdict_fits_a_phone_in_the_dark(console: Running, chromium: Browser):
    name = f"phone-{uuid4().hex[:6]}"
    verdict = alarmed(console, name)
    window = Looking.open(
        chromium, viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True
    )

    page = window.go(console, f"/ui/anomalies/{verdict}")
    expect(page.locator(".why-part")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert window.barriers() == []
    window.close()
    assert window.complaints == []


def test_charts_below_the_fold_are_drawn_after_those_in_sight(console: Running, looking: Looking):
    for number in range(3):
        name = f"lane-{uuid4().hex[:6]}-{number}"
        alarmed(console, name)
    page = looking.page
    page.set_viewport_size({"width": 1280, "height": 500})
    page.add_init_script(
        "window.drawn = []; document.addEventListener('telltale:drawn', (event) => {"
        "  const {top} = event.target.getBoundingClientRect();"
        "  window.drawn.push(top < innerHeight); });"
    )

    looking.go(console, "/ui/explorer")
    page.wait_for_function("() => performance.getEntriesByName('telltale:all-drawn').length > 0")

    seen = page.evaluate("window.drawn")
    assert len(seen) == page.locator("[data-figure]").count()
    assert seen[0]
    assert not seen[-1]
    assert seen == sorted(seen, reverse=True)
