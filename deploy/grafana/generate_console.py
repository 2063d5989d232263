"""Writes the console's dashboard: `python deploy/grafana/generate_console.py` after a change."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent / "dashboards" / "console.json"
DATASOURCE = {"type": "grafana-postgresql-datasource", "uid": "telltale-console"}
WIDTH, HEIGHT = 12, 8


@dataclass(frozen=True)
class Panel:
    """A query in SQL of the console's store; `kind` is Grafana's type of panel."""

    title: str
    description: str
    kind: str
    sql: str


PANELS = (
    Panel(
        "Profiles",
        "Learning and active profiles, by kind.",
        "barchart",
        "SELECT kind || ' ' || state AS profiles, count(*) AS count FROM profiles "
        "GROUP BY kind, state ORDER BY 1",
    ),
    Panel(
        "Anomalies an hour",
        "By severity, of all profiles; suppressed ones are left out.",
        "timeseries",
        "SELECT to_timestamp(hour / 1000) AS time, severity AS metric, sum(records) AS anomalies "
        "FROM verdict_hours WHERE severity <> 'none' AND NOT suppressed "
        "AND $__unixEpochFilter(hour / 1000) GROUP BY 1, 2 ORDER BY 1",
    ),
    Panel(
        "Most anomalous profiles",
        "Anomalies of each profile in the time that is shown.",
        "table",
        "SELECT kind, profile_id, count(*) AS anomalies, "
        "to_timestamp(max(scored_at) / 1000) AS last FROM verdicts "
        "WHERE anomaly AND NOT suppressed AND $__unixEpochFilter(scored_at / 1000) "
        "GROUP BY kind, profile_id ORDER BY anomalies DESC, profile_id LIMIT 20",
    ),
    Panel(
        "Latest anomalies",
        "With the first reason of each.",
        "table",
        "SELECT to_timestamp(scored_at / 1000) AS time, kind, profile_id, severity, "
        "body -> 'reasons' -> 0 ->> 'feature' AS reason FROM verdicts "
        "WHERE anomaly AND $__unixEpochFilter(scored_at / 1000) "
        "ORDER BY scored_at DESC LIMIT 50",
    ),
    Panel(
        "Records an hour",
        "By kind.",
        "timeseries",
        "SELECT to_timestamp(hour / 1000) AS time, kind AS metric, sum(records) AS records "
        "FROM verdict_hours WHERE $__unixEpochFilter(hour / 1000) GROUP BY 1, 2 ORDER BY 1",
    ),
    Panel(
        "Lifecycle",
        "What happened to the models of profiles.",
        "table",
        "SELECT to_timestamp(at / 1000) AS time, event, kind, profile_id, version, detail "
        "FROM lifecycle_events WHERE event <> 'forgotten' AND $__unixEpochFilter(at / 1000) "
        "ORDER BY at DESC LIMIT 50",
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    return {
        "uid": "telltale-console",
        "title": "Telltale: profiles and anomalies",
        "description": "What the console's store holds.",
        "tags": ["telltale"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, 2)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "targets": [
            {
                "refId": "A",
                "datasource": DATASOURCE,
                "format": "time_series" if panel.kind == "timeseries" else "table",
                "rawQuery": True,
                "editorMode": "code",
                "rawSql": panel.sql,
            }
        ],
    }


def text() -> str:
    """The dashboard file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), encoding="utf-8")
