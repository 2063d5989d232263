"""What every page has: navigation, themes, no complaint of the browser, no barrier."""

import pytest

from tests.broker.consoles import Running
from tests.browser.looking import Looking

PAGES = (
    "overview",
    "explorer",
    "anomalies",
    "models",
    "jobs",
    "data",
    "governance",
    "dead-letters",
    "settings",
)


def test_each_page_opens_in_both_themes_without_complaint_or_barrier(
    console: Running, looking: Looking
):
    page = looking.go(console, "/")
    assert page.url.endswith("/ui/overview")

    for name in PAGES:
        page.get_by_role("navigation").get_by_role("link", name=name.replace("-", " ")).click()
        page.wait_for_url(f"**/ui/{name}")
        for theme in ("dark", "light"):
            page.get_by_label("Theme").select_option(theme)
            assert page.locator("html").get_attribute("data-theme") == theme
            assert looking.barriers() == [], (name, theme)
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "light"


@pytest.mark.parametrize("width", [360, 1280, 3840])
def test_no_page_is_wider_than_the_window(console: Running, looking: Looking, width: int):
    looking.page.set_viewport_size({"width": width, "height": 800})

    for name in PAGES:
        page = looking.go(console, f"/ui/{name}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, name
        assert page.get_by_role("combobox", name="Theme").is_visible(), name
