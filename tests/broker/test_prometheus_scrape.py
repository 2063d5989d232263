"""A real Prometheus with our configuration scrapes a real run: what rules and panels ask is there.

The configuration is that of `deploy/prometheus` with other ports and a scrape a second.
"""

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.broker.harness import PATIENCE, Telltale, environment_of
from tests.kafka.broker import HOST, free_ports

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/telltale.json").read_text())
PANELS = {
    f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
DOCUMENTED = re.findall(
    r"^\| `(telltale_\w+)", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
)
DOCUMENTED_OF_THE_CONSOLE = re.findall(
    r"`(telltale_console_\w+)", (ROOT / "docs/console.md").read_text()
)
CONTRACT = {
    "telltale_records_total": {"kind", "outcome"},
    "telltale_dead_letters_total": {"reason"},
    "telltale_trainings_total": {"kind", "trigger", "outcome"},
    "telltale_transactions_total": {"outcome"},
    "telltale_batch_seconds_bucket": {"le"},
    "telltale_consumer_lag": {"topic", "partition"},
    "telltale_profiles": {"kind", "state"},
    "telltale_model_memory_bytes": set(),
    "telltale_restore_seconds": set(),
    "telltale_build_info": {"version"},
}
CONTRACT_OF_THE_SCORER = {
    "telltale_verdicts_total": {"kind", "status", "severity"},
    "telltale_end_to_end_seconds_bucket": {"le"},
}
SELECTOR = re.compile(r"\b((?:telltale|process)[_:][\w:]+|up)\b(\{[^}]*\})?")
BAD = 60
FEW = {"TELLTALE_COLD_START_SAMPLES": "20", "TELLTALE_RETRAIN_SAMPLES": "20"}

Series = list[dict[str, Any]]


class Scraper:
    """A Prometheus that scrapes an application."""

    def __init__(self, address: str, telltale: Telltale) -> None:
        self.address = address
        self.telltale = telltale

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; an error of the query fails the test."""
        query = f"{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(f"http://{self.address}{query}", timeout=60) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}", pytrace=False)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def series(self, expression: str) -> Series:
        """What an expression gives now."""
        found = self.get("/api/v1/query", query=expression)
        assert found["resultType"] == "vector", expression
        result: Series = found["result"]
        return result

    def await_series(self, expression: str, seconds: float = PATIENCE) -> Series:
        """What an expression gives once it gives something."""
        self.telltale.wait_until(lambda: bool(self.series(expression)), expression, seconds)
        return self.series(expression)


def prometheus() -> str:
    found = shutil.which("prometheus")
    if not found:
        told = "prometheus is not on PATH: install it (Debian: prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    return found


@pytest.fixture(scope="module")
def scraper(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraper]:
    """Prometheus beside all roles and a console, which have had all sorts of records."""
    command, here = prometheus(), tmp_path_factory.mktemp("prometheus")
    port, scorer, retrainer, ingest, console = free_ports(5)
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    job = next(each for each in config["scrape_configs"] if each["job_name"] == "telltale")
    config["scrape_configs"] = [job]
    targets = [f"{HOST}:{each}" for each in (scorer, retrainer, ingest, console)]
    job["static_configs"] = [{"targets": targets}]
    (here / "prometheus.yml").write_text(yaml.safe_dump(config))
    environment = environment_of(bootstrap, here)
    telltale = Telltale(environment | FEW, here)
    source = {
        "name": "raw",
        "topic": f"{environment['TELLTALE_TOPIC_PREFIX']}raw",
        "kind": "features",
        "profile_id": "{id}",
        "values": {"x": "x"},
    }
    (here / "sources.yaml").write_text(yaml.safe_dump({"sources": [source]}))
    with (here / "prometheus.out").open("wb") as log:
        process = subprocess.Popen(
            [
                command,
                f"--config.file={here / 'prometheus.yml'}",
                f"--storage.tsdb.path={here / 'data'}",
                f"--web.listen-address={HOST}:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    found = Scraper(f"{HOST}:{port}", telltale)
    try:
        telltale.create_topics()
        telltale.start("score", TELLTALE_HTTP_PORT=str(scorer))
        telltale.start("retrain", TELLTALE_HTTP_PORT=str(retrainer))
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(source["topic"], 1, 1)])[source["topic"]].result(60)
        file = str(here / "sources.yaml")
        telltale.start("ingest", "run", file, TELLTALE_HTTP_PORT=str(ingest))
        telltale.start(
            "console",
            TELLTALE_DATABASE_URL=f"sqlite:///{here / 'console.db'}",
            TELLTALE_CONSOLE_PARTS="live",
            TELLTALE_CONSOLE_PORT="0",
            TELLTALE_CONSOLE_METRICS_PORT=str(console),
        )
        telltale.wait_until(found.ready, "Prometheus is ready")
        # Scraped before anything happens: every alert has to see the first event of its sort.
        found.await_series("telltale_verdicts_total")
        found.await_series('telltale_trainings_total{role="retrainer"}')
        sent = telltale.run(
            "simulate", "--profiles", "8", "--records", "90", "--anomaly-rate", "0.1"
        )
        assert sent.returncode == 0, sent.stderr
        telltale.produce("telemetry.features", [("p", b"{")] * BAD)
        telltale.wait_for(8 * 90)
        found.await_series('telltale_trainings_total{outcome="adopted"} > 0', 60)
        producer = Producer({"bootstrap.servers": bootstrap})
        for number in range(5):
            producer.produce(source["topic"], b'{"id": "q", "x": %d}' % number)
        assert producer.flush(60) == 0
        found.await_series("telltale_ingest_observations_total > 0", 60)
        yield found
    finally:
        process.terminate()
        process.wait(30)
        telltale.close()


@pytest.mark.parametrize("name", CONTRACT)
@pytest.mark.parametrize("role", ["scorer", "retrainer"])
def test_what_the_contract_names_is_scraped_from_both_roles(scraper: Scraper, name: str, role: str):
    series = scraper.await_series(f'{name}{{role="{role}"}}')

    assert {*CONTRACT[name], "role", "job", "instance"} <= set(series[0]["metric"])


@pytest.mark.parametrize("name", CONTRACT_OF_THE_SCORER)
def test_what_the_contract_names_of_the_scorer_is_scraped_from_it_alone(
    scraper: Scraper, name: str
):
    series = scraper.await_series(name)

    assert {entry["metric"]["role"] for entry in series} == {"scorer"}
    assert CONTRACT_OF_THE_SCORER[name] <= set(series[0]["metric"])


def test_every_metric_of_the_documentation_is_scraped_and_no_other(scraper: Scraper):
    names = {s["metric"]["__name__"] for s in scraper.series('{__name__=~"telltale_.+"}')}
    metrics = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}

    consoles = {name for name in metrics if name.startswith("telltale_console_")}
    told = {name for name in metrics if not name.endswith("_created")} - consoles
    assert told == set(DOCUMENTED)
    assert consoles
    assert consoles <= set(DOCUMENTED_OF_THE_CONSOLE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_is_evaluated_and_each_of_its_selectors_finds_series(
    scraper: Scraper, rule: dict[str, Any]
):
    scraper.series(rule["expr"])

    selectors = {name + (labels or "") for name, labels in SELECTOR.findall(rule["expr"])}
    assert selectors
    for selector in selectors:
        scraper.await_series(selector)
    if "record" in rule:
        scraper.await_series(rule["record"])


@pytest.mark.parametrize("title", PANELS)
def test_every_query_of_the_dashboard_gives_series(scraper: Scraper, title: str):
    scraper.await_series(PANELS[title])


def test_prometheus_finds_no_fault_with_any_rule(scraper: Scraper):
    def rules() -> list[dict[str, Any]]:
        groups = scraper.get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    scraper.telltale.wait_until(
        lambda: all(rule["health"] == "ok" for rule in rules()), "every rule was evaluated"
    )

    assert {rule["name"] for rule in rules()} == {r.get("alert") or r["record"] for r in RULES}
    assert not [rule["lastError"] for rule in rules() if rule.get("lastError")]


def test_a_poison_producer_is_seen_by_its_alert(scraper: Scraper):
    series = scraper.await_series('ALERTS{alertname="TelltaleDeadLettersSurge"}')

    assert {entry["metric"]["reason"] for entry in series} == {"invalid_json"}
