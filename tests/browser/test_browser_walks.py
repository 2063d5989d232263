"""Walks that need an application of their own: login, organisations, dead letters."""

from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import expect

from tests.broker.consoles import PASSWORD, SECRET, Running, add_admin, sign_in, start
from tests.broker.harness import Telltale
from tests.browser.conftest import score
from tests.browser.looking import Looking
from tests.browser.sending import alarm, learn

ADA, MILL = "ada@example.org", "mill@example.org"


def log_in(looking: Looking, email: str) -> None:
    looking.page.get_by_label("E-mail").fill(email)
    looking.page.get_by_label("Password").fill(PASSWORD)
    looking.page.get_by_role("button", name="Log in").click()


def test_people_log_in_see_their_own_and_log_out(
    telltale: Telltale, looking: Looking, tmp_path: Path
):
    telltale.create_topics(2)
    score(telltale)
    store = f"sqlite:///{tmp_path}/console.db"
    upgraded = telltale.run("console", "db", "upgrade", TELLTALE_DATABASE_URL=store)
    assert upgraded.returncode == 0, upgraded.stderr
    add_admin(telltale, store, ADA)
    console = start(telltale, store, TELLTALE_JWT_SECRET=SECRET)
    console.http.headers.update(sign_in(console, ADA))
    own = {"name": "Mill", "profile_prefix": "mill-"}
    mill = console.post("/api/v1/organizations", own).json()["id"]
    user = {"email": MILL, "password": PASSWORD, "role": "analyst", "organization_id": mill}
    assert console.post("/api/v1/users", user).status_code == 201
    for name in ("mill-1", "other-1"):
        learn(console, name)
        alarm(console, name)

    page = looking.go(console, f"/ui/anomalies?profile_id={quote('other-1')}")
    assert "/ui/login?next=" in page.url
    assert looking.barriers() == []
    log_in(looking, ADA)
    page.wait_for_url("**/ui/anomalies?profile_id=other-1")
    expect(page.locator("tr[data-verdict]")).to_have_count(1)
    assert page.evaluate("document.cookie.includes('session')") is False
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/ui/login")

    log_in(looking, MILL)
    page.wait_for_url("**/ui/overview")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    for path in ("overview", "anomalies", "models"):
        looking.go(console, f"/ui/{path}")
        expect(page.get_by_text("mill-1").first).to_be_visible()
        assert page.get_by_text("other-1").count() == 0, path
    # A write by the session's cookie, with the header that the page gives it.
    looking.go(console, "/ui/anomalies")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("#progress")).to_have_text("1 labelled")
    looking.expected = ("Failed to load resource",)
    looking.go(console, "/ui/dead-letters")
    expect(page.get_by_role("heading", name="Forbidden")).to_be_visible()


def test_dead_letters_are_counted_before_they_are_sent_back(
    telltale: Telltale, looking: Looking, tmp_path: Path
):
    telltale.create_topics(2)
    score(telltale)
    console = start(telltale, f"sqlite:///{tmp_path}/console.db")
    topic = "telemetry.features"
    telltale.produce(topic, [("p", b'{"values": "<b>bold</b>"}'), ("q", b"no JSON")])

    def both() -> bool:
        told = console.json("/api/v1/dead-letters")
        return sum(told["by_reason"].values()) == 2

    telltale.wait_until(both, "both dead letters are listed")
    page = looking.go(console, "/ui/dead-letters")
    page.locator("details[data-letter] summary").first.click()
    expect(page.locator(".letter-part").first).to_contain_text(topic)
    page.locator("details[data-letter] summary").last.click()
    expect(page.get_by_text("<b>bold</b>")).to_be_visible()
    assert looking.barriers() == []

    page.get_by_role("button", name="Send all back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 records would go back")
    assert len(telltale.read(topic)) == 2
    assert looking.barriers() == []
    dialog.get_by_role("button", name="Send 2 records back").click()
    expect(page.locator(".toast")).to_contain_text("2 records sent back")

    def again() -> bool:
        return len(telltale.read(topic)) == 4

    telltale.wait_until(again, "both were sent back, once")


def test_the_pages_stay_when_the_console_is_away(
    telltale: Telltale, looking: Looking, tmp_path: Path
):
    telltale.create_topics(2)
    console: Running = start(telltale, f"sqlite:///{tmp_path}/console.db")
    looking.expected = ("Failed to load resource", "ERR_CONNECTION", "net::ERR")
    page = looking.go(console, "/ui/overview")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")

    telltale.stop(console.process)

    expect(page.locator("#live")).to_have_attribute("data-state", "off")
    page.goto(f"{console.http.base_url}/ui/anomalies".replace("//ui", "/ui"))
    expect(page.get_by_role("heading", name="Not connected")).to_be_visible()
