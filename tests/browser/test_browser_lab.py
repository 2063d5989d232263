"""Jobs and data in a real browser: an upload, a training whose epochs come, its results, a stop."""

from pathlib import Path

import skops.io
from playwright.sync_api import expect
from sklearn.ensemble import IsolationForest

from tests.broker.consoles import Running
from tests.browser.looking import Looking


def test_a_table_is_uploaded_with_progress_and_its_columns_and_rows_are_shown(
    console: Running, looking: Looking, tmp_path: Path
):
    table = tmp_path / "pumps.csv"
    rows = "".join(
        f"pump-{n % 3},{n}.5,{'' if n % 4 == 0 else n},{'bad' if n % 5 == 0 else 'good'}\n"
        for n in range(200)
    )
    table.write_text("profile_id,<b>cpu</b>,memory,label\n" + rows)
    page = looking.go(console, "/ui/data")
    assert page.get_by_text("No data set yet").is_visible()

    page.get_by_label("File", exact=True).set_input_files(table)
    page.get_by_label("Column of labels").fill("label")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/ui/data/*-*")

    expect(page.get_by_role("heading", name="pumps.csv")).to_be_visible()
    columns = page.get_by_role("region", name="Columns")
    expect(columns.get_by_text("<b>cpu</b>")).to_be_visible()
    expect(columns.get_by_text("25")).to_be_visible()
    expect(columns.get_by_text("good 160")).to_be_visible()
    assert looking.barriers() == []


def test_a_training_shows_its_epochs_as_they_come_and_its_results_as_charts(
    console: Running, looking: Looking
):
    page = looking.go(console, "/ui/jobs")
    page.get_by_label("Algorithm").select_option("logistic_regression")
    page.get_by_label("Learn from").select_option("true")
    page.get_by_label("Epochs").fill("4")
    assert '"simulate":true' in page.locator("#what").inner_text()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/ui/jobs/*-*")

    expect(page.locator("#state")).to_have_text("succeeded", timeout=300_000)
    expect(page.locator("#roc .plot")).to_be_visible()
    expect(page.locator("#confusion .plot")).to_be_visible()
    expect(page.locator("#importance .plot")).to_be_visible()
    expect(page.locator("#graph .plot")).to_be_visible()
    page.get_by_text("Epochs as numbers").click()
    expect(page.locator("#epochs tr")).to_have_count(4)
    assert looking.barriers() == []

    page.get_by_role("link", name="Its model").click()
    page.wait_for_url("**/ui/models/*")
    assert looking.barriers() == []


def test_a_training_is_stopped(console: Running, looking: Looking):
    page = looking.go(console, "/ui/jobs")
    page.get_by_label("Learn from").select_option("true")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/ui/jobs/*-*")

    page.get_by_role("button", name="Stop").click()

    expect(page.locator("#state")).to_have_text("cancelled", timeout=60_000)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)

    page.get_by_label("Say something of this job").fill("too many epochs")
    page.get_by_role("button", name="Say", exact=True).click()
    expect(page.get_by_role("log", name="What was said")).to_contain_text("too many epochs")


def test_a_model_is_uploaded_and_deleted(console: Running, looking: Looking, tmp_path: Path):
    file = tmp_path / "forest.skops"
    model = IsolationForest(n_estimators=3, random_state=0).fit([[n % 7, n % 3] for n in range(40)])
    skops.io.dump(model, file)
    page = looking.go(console, "/ui/models?family=imported")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_label("Name").fill("<b>forest</b>")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/ui/models/*-*")

    expect(page.get_by_role("heading", name="<b>forest</b>")).to_be_visible()
    expect(page.locator("#graph .plot")).to_be_visible()
    page.get_by_label("Stage").select_option("archived")
    expect(page.get_by_text("<b>forest</b>: archived now.")).to_be_visible()
    looking.expected = ("/propose",)
    page.get_by_role("textbox", name="Profile").fill("<b>nobody</b>")
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_text("there is no such profile")).to_be_visible()
    assert looking.barriers() == []

    looking.go(console, "/ui/models?family=imported")
    expect(page.get_by_role("row", name="<b>forest</b>").get_by_text("archived")).to_be_visible()
    assert looking.barriers() == []
    page.get_by_role("button", name="Delete <b>forest</b>").click()
    expect(page.get_by_text("Nothing was uploaded")).to_be_visible()
