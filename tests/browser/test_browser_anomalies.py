"""Anomalies are judged by the keyboard alone, and one click leads from an alarm to its record."""

from typing import Any
from uuid import uuid4

from playwright.sync_api import Page, expect

from tests.broker.consoles import Running
from tests.browser.looking import Looking
from tests.browser.sending import alarm, learn

MANY = 54


def label_of(console: Running, verdict_id: str) -> Any:
    told = console.http.get(f"/api/v1/verdicts/{verdict_id}/label")
    return told.json()["label"] if told.status_code == 200 else None


def of_profile(console: Running, looking: Looking, name: str, many: int) -> Page:
    """The page of a profile's anomalies, once the console has them."""
    path = f"/ui/anomalies?profile_id={name}"
    page = looking.go(console, path)
    for _ in range(60):
        if page.locator("tr[data-verdict]").count() >= min(many, 50):
            break
        page.wait_for_timeout(500)
        page.reload()
    return page


def test_fifty_are_labelled_by_keys_alone_and_the_next_page_comes_by_itself(
    console: Running, looking: Looking
):
    name = f"keys-{uuid4().hex[:6]}"
    learn(console, name)
    ids = alarm(console, name, MANY)
    page = of_profile(console, looking, name, MANY)
    assert page.locator("tr[data-verdict]").count() == 50
    shown = [row.get_attribute("data-verdict") for row in page.locator("tr[data-verdict]").all()]

    page.keyboard.press("j")
    for n in range(MANY):
        page.keyboard.press("au"[n % 2])
        expect(page.locator("tr[data-verdict]").nth(n)).not_to_have_attribute("data-label", "")
    expect(page.locator("#progress")).to_have_text(f"{MANY} labelled")

    assert page.locator("tr[data-verdict]").count() == MANY
    labels = [label_of(console, verdict_id) for verdict_id in ids]
    assert sorted(labels) == ["anomaly"] * 27 + ["unsure"] * 27
    assert label_of(console, str(shown[0])) == "anomaly"


def test_a_label_is_taken_back_by_a_key(console: Running, looking: Looking):
    name = f"undo-{uuid4().hex[:6]}"
    learn(console, name)
    alarm(console, name, 3)
    page = of_profile(console, looking, name, 3)
    rows = page.locator("tr[data-verdict]")
    second = str(rows.nth(1).get_attribute("data-verdict"))

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("#progress")).to_have_text("1 labelled")
    said = label_of(console, second)
    expect(rows.nth(2)).to_have_attribute("aria-current", "true")
    page.keyboard.press("z")
    expect(rows.nth(1)).to_have_attribute("data-label", "")
    expect(page.locator("#progress")).to_have_text("")

    assert said == "anomaly"
    assert label_of(console, second) is None


def test_one_click_leads_from_an_alarm_to_its_reason_and_its_record(
    console: Running, looking: Looking
):
    name = f"why-{uuid4().hex[:6]}"
    learn(console, name)
    (verdict_id,) = alarm(console, name)
    page = of_profile(console, looking, name, 1)

    page.locator("[data-open-row]").first.click()

    expect(page.locator(".why-part")).to_contain_text("memory")
    expect(page.locator(".why-part")).to_contain_text("usually")
    this = page.locator(".raw .this pre")
    expect(this).to_contain_text('"memory": 900.0')
    # The eight that it learnt from were sent just before.
    assert page.locator(".raw > li").count() == 9
    assert looking.barriers() == []
    assert f"open={verdict_id}" in page.url
    page.reload()
    expect(page.locator(".raw .this pre")).to_contain_text('"memory": 900.0')
    page.keyboard.press("o")
    expect(page.locator(".why-part")).to_have_count(0)
    assert "open=" not in page.url


def test_a_false_alarm_is_one_key_and_is_learnt(console: Running, looking: Looking):
    name = f"false-{uuid4().hex[:6]}"
    learn(console, name)
    (verdict_id,) = alarm(console, name)
    page = of_profile(console, looking, name, 1)

    page.keyboard.press("j")
    page.keyboard.press("n")
    expect(page.locator("#progress")).to_have_text("1 labelled")

    told = console.json(f"/api/v1/verdicts/{verdict_id}/label")
    assert (told["label"], told["accepted"]) == ("normal", True)


def test_a_label_that_cannot_be_sent_is_taken_back_and_said(console: Running, looking: Looking):
    name = f"fails-{uuid4().hex[:6]}"
    learn(console, name)
    alarm(console, name)
    page = of_profile(console, looking, name, 1)
    looking.expected = ("Failed to load resource",)
    page.route("**/label", lambda route: route.abort())

    page.keyboard.press("j")
    page.keyboard.press("u")

    expect(page.locator(".toast.wrong")).to_contain_text("cannot be reached")
    expect(page.locator("tr[data-verdict]").first).to_have_attribute("data-label", "")


def test_new_anomalies_are_offered_and_move_nothing(console: Running, looking: Looking):
    name = f"newer-{uuid4().hex[:6]}"
    learn(console, name)
    alarm(console, name)
    page = of_profile(console, looking, name, 1)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    alarm(console, name, 2)

    offer = page.locator("#newer-link")
    expect(offer).to_have_text("2 newer: show")
    assert page.locator("tr[data-verdict]").count() == 1
    offer.click()
    expect(page.locator("tr[data-verdict]")).to_have_count(3)


def test_filters_are_in_the_address(console: Running, looking: Looking):
    page = looking.go(console, "/ui/anomalies")

    page.get_by_label("Kind").select_option("series")
    page.wait_for_url("**/ui/anomalies?kind=series")
    page.locator("input[value=critical]").check()
    page.wait_for_url("**severity=critical**")

    assert "kind=series" in page.url
    assert "label=" not in page.url
    assert page.locator("input[value=critical]").is_checked()
