"""Writes the Grafana dashboard: `python deploy/grafana/generate.py` after a change here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent / "dashboards" / "telltale.json"
DATASOURCE = {"type": "prometheus", "uid": "telltale-prometheus"}
WIDTH, HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """A graph: its lines are pairs of a PromQL expression and a legend; `unit` is Grafana's."""

    title: str
    description: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    stacked: bool = False


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


ROWS = (
    Row(
        "Flow",
        (
            Panel(
                "Records by kind",
                "Telemetry whose transaction is committed.",
                "rps",
                (('sum by (kind) (telltale:records:rate5m{role="scorer"})', "{{kind}}"),),
                stacked=True,
            ),
            Panel(
                "Lag",
                "Records that wait in Kafka, for each role.",
                "short",
                (("telltale:consumer_lag:sum", "{{role}}"),),
            ),
            Panel(
                "From record to verdict",
                "Time between a record's own timestamp and the commit of its verdict.",
                "s",
                tuple(
                    (
                        f"histogram_quantile({q}, sum by (le) "
                        "(rate(telltale_end_to_end_seconds_bucket[$__rate_interval])))",
                        name,
                    )
                    for q, name in ((0.5, "median"), (0.99, "99 %"))
                ),
            ),
            Panel(
                "Dead letters",
                "Records refused, by reason.",
                "rps",
                (
                    (
                        "sum by (reason) (rate(telltale_dead_letters_total[$__rate_interval]))",
                        "{{reason}}",
                    ),
                ),
                stacked=True,
            ),
        ),
    ),
    Row(
        "Ingest",
        (
            Panel(
                "Source records by outcome",
                "What becomes of the records of existing topics.",
                "rps",
                (
                    (
                        "sum by (source, outcome) "
                        "(rate(telltale_ingest_records_total[$__rate_interval]))",
                        "{{source}} {{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Observations",
                "Telemetry records written from each source.",
                "rps",
                (
                    (
                        "sum by (source) "
                        "(rate(telltale_ingest_observations_total[$__rate_interval]))",
                        "{{source}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Lag of sources",
                "Source records that ingest has yet to map.",
                "short",
                (('sum by (topic) (telltale_consumer_lag{role="ingest"})', "{{topic}}"),),
            ),
        ),
    ),
    Row(
        "Verdicts",
        (
            Panel(
                "Verdicts by status",
                "Learning, scored, or abstained for want of evidence.",
                "rps",
                (
                    (
                        "sum by (status) (rate(telltale_verdicts_total[$__rate_interval]))",
                        "{{status}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Anomalies by severity",
                "Scored records that their profile's model calls anomalous.",
                "rps",
                (
                    (
                        "sum by (severity) (rate(telltale_verdicts_total"
                        '{status="scored", severity!="none"}[$__rate_interval]))',
                        "{{severity}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Share of anomalies",
                "Of the scored records of half an hour, beside the alert budget.",
                "percentunit",
                (
                    ("telltale:anomalies:ratio30m", "{{kind}}"),
                    ("max(telltale:alert_budget:max)", "budget"),
                ),
            ),
            Panel(
                "Share of abstained records",
                "Of all records of half an hour.",
                "percentunit",
                (("telltale:abstained:ratio30m", "{{kind}}"),),
            ),
        ),
    ),
    Row(
        "Learning and models",
        (
            Panel(
                "Profiles",
                "Profiles that the scorers hold, by state.",
                "short",
                (
                    (
                        'sum by (kind, state) (telltale_profiles{role="scorer"})',
                        "{{kind}} {{state}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Trainings",
                "In the last hour, by what brought them about and how they ended.",
                "short",
                (
                    (
                        "sum by (trigger, outcome) (increase(telltale_trainings_total[1h]))",
                        "{{trigger}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Candidates refused in a row",
                "Profiles whose last three candidates, or more, the gate refused.",
                "short",
                (("sum by (kind) (telltale_refused_profiles)", "{{kind}}"),),
            ),
            Panel(
                "Models lost",
                "In the last hour: announced, and not there or not the file that was written.",
                "short",
                (("sum by (kind) (increase(telltale_models_lost_total[1h]))", "{{kind}}"),),
            ),
        ),
    ),
    Row(
        "Drift and data quality",
        (
            Panel(
                "Share of drifting profiles",
                "Active profiles whose normal has moved away from their model.",
                "percentunit",
                (("telltale:drifting_profiles:ratio", "{{kind}}"),),
            ),
            Panel(
                "Share of silent profiles",
                "Active profiles not heard for longer than is usual for them.",
                "percentunit",
                (("telltale:silent_profiles:ratio", "{{kind}}"),),
            ),
            Panel(
                "Missing values",
                "Share of the values expected in the samples of half an hour.",
                "percentunit",
                (("telltale:missing_values:ratio30m", "{{kind}}"),),
            ),
            Panel(
                "Constant features",
                "Features that never vary, in the trainings of the last hour.",
                "short",
                (("sum by (kind) (increase(telltale_constant_features_total[1h]))", "{{kind}}"),),
            ),
        ),
    ),
    Row(
        "Kafka and transactions",
        (
            Panel(
                "Transactions",
                "By role and outcome.",
                "ops",
                (
                    (
                        "sum by (role, outcome) "
                        "(rate(telltale_transactions_total[$__rate_interval]))",
                        "{{role}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Time of a batch",
                "From the end of a poll to the end of its commit; 99 of 100 are quicker.",
                "s",
                (("telltale:batch_seconds:p99_5m", "{{role}} 99 %"),),
            ),
            Panel(
                "Partitions with the largest lag",
                "The ten that wait longest: one that only grows is stuck.",
                "short",
                (
                    (
                        "topk(10, max by (role, topic, partition) (telltale_consumer_lag))",
                        "{{topic}}-{{partition}}",
                    ),
                ),
            ),
            Panel(
                "Processes",
                "Processes that answer Prometheus by version, and those ready by role.",
                "short",
                (
                    ("count by (version) (telltale_build_info)", "{{version}}"),
                    ("sum by (role) (telltale_ready)", "{{role}}s ready"),
                ),
            ),
        ),
    ),
    Row(
        "Memory and restore",
        (
            Panel(
                "Memory of models",
                "Bytes of opened models and their budget.",
                "bytes",
                (
                    ("telltale_model_memory_bytes", "{{role}} {{instance}}"),
                    ("telltale_model_memory_limit_bytes", "{{role}} {{instance}} budget"),
                ),
            ),
            Panel(
                "Last restore",
                "Time that the last restore from the changelogs took.",
                "s",
                (("telltale_restore_seconds", "{{role}} {{instance}}"),),
            ),
            Panel(
                "Restore under way",
                "Offsets of the changelogs still to be read before telemetry is.",
                "short",
                (("telltale_restore_remaining", "{{role}} {{instance}}"),),
            ),
            Panel(
                "Memory of processes",
                "Resident bytes of each process, models and all.",
                "bytes",
                (('process_resident_memory_bytes{job=~".*telltale.*"}', "{{instance}}"),),
            ),
        ),
    ),
)


def expressions() -> list[str]:
    """Every PromQL expression of the dashboard."""
    return [line[0] for row in ROWS for panel in row.panels for line in panel.lines]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana's JSON model."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
                "panels": [],
            }
        )
        y += 1
        width = WIDTH // len(row.panels)
        for column, panel in enumerate(row.panels):
            grid = {"x": column * width, "y": y, "w": width, "h": HEIGHT}
            panels.append(_timeseries(len(panels) + 1, panel, grid))
        y += HEIGHT
    return {
        "uid": "telltale",
        "title": "Telltale",
        "description": "A model of normal for every profile, and a verdict on every record.",
        "tags": ["kafka", "telltale"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def _timeseries(number: int, panel: Panel, grid: dict[str, int]) -> dict[str, Any]:
    custom = {
        "drawStyle": "line",
        "fillOpacity": 20 if panel.stacked else 5,
        "lineWidth": 1,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": grid,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for index, (expression, legend) in enumerate(panel.lines)
        ],
    }


def text() -> str:
    """The dashboard file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), encoding="utf-8")
