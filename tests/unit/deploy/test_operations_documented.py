"""docs/operations.md: metrics and alerts have their place there, and no entry is orphaned."""

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from processor.metrics.metrics import COUNTERS, Metrics
from tests.unit import builders

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/operations.md").read_text()
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/rules/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}


def entries() -> dict[str, str]:
    """Heading → text of each entry of the runbook."""
    runbook = TEXT.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (\w+)\n", runbook, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors(text: str) -> set[str]:
    """The anchors that the headings of a page give, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def declared() -> dict[str, set[str]]:
    """Every metric with its labels but ``role``, as Prometheus shows it."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for role in ("scorer", "retrainer", "ingest"):
        metrics.start(role, builders.settings(), "2.0.0")
    gauges = {
        collector._name: set(collector._labelnames)
        for collector in vars(metrics).values()
        if hasattr(collector, "_labelnames")
    }
    counters = {f"telltale_{name}_total": set(labels) for name, (_, labels) in COUNTERS.items()}
    shown = {
        family.name: {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in registry.collect()
        if family.type == "histogram"
    }
    return {name: labels - {"role"} for name, labels in (gauges | counters | shown).items()}


def test_every_alert_has_its_entry_and_every_entry_its_alert():
    assert set(entries()) == set(ALERTS)


def test_the_runbook_of_an_alert_leads_to_its_entry():
    for name, rule in ALERTS.items():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / page).read_text() == TEXT
        assert anchor in anchors(TEXT), name


def test_an_entry_says_what_it_means_the_first_command_the_cause_and_the_remedy():
    form = re.compile(r"\n\S.+?\n\n```sh\n\S[^\n]*\n```\n\n\*\*Look\*\* .+?\*\*Do\*\*", re.DOTALL)

    assert [name for name, text in entries().items() if not form.match(text)] == []


def test_the_table_of_metrics_is_what_is_declared():
    rows = re.findall(r"^\| `(telltale_\w+)(?:\{([\w,]+)\})?` \|", TEXT, re.MULTILINE)

    documented = {name: set(filter(None, labels.split(","))) for name, labels in rows}

    assert documented == declared()


def test_every_question_of_an_operator_has_a_metric_and_an_alert():
    table = TEXT.partition("| question | metric | alert |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:4] for row in table.splitlines()[2:]]

    asked = " ".join(question for question, _, _ in rows)
    for word in ("keeping up", "learning", "alerting too much", "stuck", "poison", "memory"):
        assert word in asked
    known = {*declared(), "up"}
    for question, metrics, alerts in rows:
        assert set(re.findall(r"`(\w+)`", metrics)) <= known, question
        named = re.findall(r"\[(\w+)\]\(#(\w+)\)", alerts)
        assert named, question
        assert all(name in ALERTS and anchor == name.lower() for name, anchor in named)


def test_links_inside_the_page_lead_somewhere():
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) - anchors(TEXT) == set()


def test_links_to_other_pages_lead_somewhere():
    for page, _, anchor in re.findall(r"\]\(([\w./-]+\.md)(#([\w-]+))?\)", TEXT):
        other = (ROOT / "docs" / page).read_text()
        assert not anchor or anchor.lstrip("#") in anchors(other), page
