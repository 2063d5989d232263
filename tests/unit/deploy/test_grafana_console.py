"""Grafana's dashboard on the store: written by its script; its queries run with its rights."""

import json
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import yaml

from console.settings import ConsoleSettings
from console.store.database import Database
from tests.postgres import Postgres

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy/grafana"
DASHBOARD = GRAFANA / "dashboards/console.json"


def test_the_dashboard_is_the_one_that_its_script_writes():
    script = "import generate_console, sys; sys.stdout.write(generate_console.text())"
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        cwd=GRAFANA,
        capture_output=True,
        timeout=240,
        check=True,
    )

    assert DASHBOARD.read_bytes() == done.stdout


def test_the_dashboard_asks_the_data_source_that_is_provisioned():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/console.yml").read_text())[
        "datasources"
    ]
    panels = json.loads(DASHBOARD.read_text())["panels"]

    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert {panel["datasource"]["type"] for panel in panels} == {source["type"]}


def test_every_query_runs_as_the_user_who_may_read_nothing_else(postgres: Postgres):
    url = postgres.create()
    database = Database(ConsoleSettings(_env_file=None, database_url=url).database)
    database.upgrade()
    database.close()
    role = f"grafana_{url.rpartition('/')[2]}"
    rights = (ROOT / "deploy/postgres/rights.sql").read_text()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["rawSql"] for panel in panels for target in panel["targets"]]

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(rights.replace("grafana;", f"{role};").encode())
        connection.execute(f"SET ROLE {role}".encode())
        for query in queries:
            asked = re.sub(r"\$__unixEpochFilter\(([^)]*)\)", r"\1 > 0", query)
            assert connection.execute(asked.encode()).fetchall() == []
        for table in ("users", "keys", "labels", "idempotency"):
            try:
                connection.execute(f"SELECT * FROM {table}".encode())  # noqa: S608
            except psycopg.errors.InsufficientPrivilege:
                continue
            raise AssertionError(f"{table} can be read")
