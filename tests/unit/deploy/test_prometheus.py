"""Prometheus rules and dashboard: promtool reads them, tests them, and every metric is declared."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from console.governance.metrics import MONITOR_ALERTS
from processor.metrics.metrics import Metrics

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
GROUPS: list[dict[str, Any]] = [
    group
    for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/telltale.json").read_text())
EXPRESSIONS = [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])
]


def declared() -> set[str]:
    """Names of the series that `processor.metrics.metrics` exports, and the console's of alerts."""
    registry = CollectorRegistry()
    Metrics(registry)
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix
        for family in registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    } | {MONITOR_ALERTS}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        told = "promtool is not on PATH: install Prometheus (Debian: prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration_and_its_rules(promtool: str):
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda f: f.name)
def test_the_rules_do_what_their_own_tests_say(promtool: str, file: Path):
    run(promtool, "test", "rules", file)


def test_every_alert_is_tested_firing_and_silent():
    cases: dict[str, set[bool]] = {name: set() for name in ALERTS}
    for file in (PROMETHEUS / "tests").glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                cases[case["alertname"]].add(bool(case.get("exp_alerts")))

    assert {name for name, seen in cases.items() if seen != {True, False}} == set()


def test_every_alert_has_its_texts_and_its_entry_in_the_runbook():
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)

    assert sorted(headings) == sorted(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"


def test_rules_and_dashboard_name_only_series_that_exist():
    everything = [rule["expr"] for rule in (*ALERTS.values(), *RECORDS.values())] + EXPRESSIONS
    named = {name for text in everything for name in re.findall(r"\btelltale[_:][\w:]+", text)}

    assert named - declared() - set(RECORDS) == set()


def test_every_recorded_series_is_used():
    used = " ".join([rule["expr"] for rule in ALERTS.values()] + EXPRESSIONS)

    assert {name for name in RECORDS if name not in used} == set()


def test_the_dashboard_is_the_one_that_its_script_writes():
    script = "import generate, sys; sys.stdout.write(generate.text())"
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        cwd=GRAFANA,
        capture_output=True,
        timeout=240,
        check=True,
    )

    assert (GRAFANA / "dashboards/telltale.json").read_bytes() == done.stdout


def test_every_query_of_the_dashboard_is_promql(promtool: str, tmp_path: Path):
    rules = [
        {"record": f"dashboard:query:{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    run(promtool, "check", "rules", file)


def test_panels_do_not_overlap_and_ask_the_provisioned_source():
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    (uid,) = {source["uid"] for source in sources["datasources"]}
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {p["datasource"]["uid"] for p in DASHBOARD["panels"] if "datasource" in p} == {uid}
