"""Governance in a real browser: reports are asked for, shown, printed and deleted."""

import numpy as np
import pytest

from tests.broker.consoles import Running
from tests.broker.harness import Telltale
from tests.browser.looking import Looking

KINDS = ("bias", "explanation", "compliance", "monitoring")


def anomaly(telltale: Telltale, console: Running) -> str:
    """The verdict on an abnormal record of a profile with a hostile name."""
    rng = np.random.default_rng(0)
    rows = [{"a": float(a), "b": float(b)} for a, b in rng.normal(size=(12, 2))]
    events = [{"kind": "features", "profile_id": "<i>p", "values": values} for values in rows]
    assert console.post("/api/v1/records", {"events": events}).status_code == 200
    odd = {"values": {"a": 99.0, "b": 0.0}}
    told = console.post("/api/v1/profiles/features/%3Ci%3Ep/records", odd)
    verdict = told.headers.get("Location", "").rpartition("/")[2] or str(told.json()["verdict_id"])
    telltale.wait_until(
        lambda: console.http.get("/api/v1/models/features:%3Ci%3Ep").status_code == 200,
        "the model is known",
    )
    return verdict


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_asked_for_shown_printed_and_deleted(
    telltale: Telltale, console: Running, looking: Looking, kind: str
):
    verdict = anomaly(telltale, console)
    page = looking.go(console, "/ui/governance")
    assert page.get_by_text("No reports yet").is_visible()
    form = page.locator(f'form[data-page="{kind}"]')
    if kind == "bias":
        form.get_by_label("Attributes").fill("site, device")
    if kind == "explanation":
        form.locator('[name="model_id"]').fill("features:<i>p")
        form.locator('[name="instance_id"]').fill(verdict)

    form.locator('button[type="submit"]').click()
    page.wait_for_url(f"**/ui/governance/{kind}/*")
    report = page.locator('#report:not([data-status="queued"]):not([data-status="running"])')
    report.wait_for()

    assert looking.barriers() == []
    assert page.locator("i:has-text('p')").count() == 0
    if kind == "explanation":
        page.locator("#chart[data-drawn]").wait_for()
        assert page.get_by_text("The values sum to").is_visible()
    if kind == "compliance":
        assert page.get_by_text("not legal advice").first.is_visible()
    page.emulate_media(media="print")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="screen")

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/ui/governance")
    assert page.get_by_text("No reports yet").is_visible()
