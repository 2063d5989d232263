"""The figures of metric series as Markdown tables and plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from models.evaluation.metric_series.run import BUDGETS, SeriesRow, SyntheticRow


def series_to_markdown(rows: Sequence[SeriesRow], synthetic: Sequence[SyntheticRow]) -> str:
    """Two tables: recorded series, simulated ones."""
    budgets = " / ".join(f"{100 * budget:g}" for budget in BUDGETS)
    lines = [
        "# Metrics, point by point",
        "NAB's score (one best threshold for all series), UCR's share of right answers, NASA's "
        "average precision: by the score, and by the p-value among the recent points. False "
        f"alarms are percent of unlabelled points at budgets of {budgets} %, mean over series; "
        "worst: the worst series at 1 %.",
        "",
        "| recording | detector | by score | by p | false alarms | worst | learning, ms "
        "| a point, µs | bytes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        digits = 1 if row.recording == "nab" else 3
        alarms = " / ".join(f"{share:.2f}" for share in row.false_alarms)
        lines.append(
            f"| `{row.recording}` | {row.detector} | {row.by_score:.{digits}f} "
            f"| {row.by_p:.{digits}f} | {alarms} | {row.worst:.1f} | {row.fit_milliseconds:.1f} "
            f"| {row.point_microseconds:.2f} | {row.model_bytes:,.0f} |"
        )
    lines += [
        "",
        "Simulated metrics of 19 kinds: false alarms on clean ones at 1 %, mean over the kinds and "
        "the worst kind, and the share of planted anomalies with an alarm.",
        "",
        "| detector | learnt | mean | worst | found | by kind of anomaly |",
        "|---|---|---|---|---|---|",
    ]
    for one in synthetic:
        kinds = ", ".join(f"{kind} {share:.2f}" for kind, share in one.found.items())
        worst = max(one.false_alarms, key=lambda kind: one.false_alarms[kind])
        lines.append(
            f"| {one.detector} | {one.learned} | {one.mean:.2f} | {one.worst:.1f} ({worst}) "
            f"| {one.recall:.2f} | {kinds} |"
        )
    return "\n".join(lines) + "\n"


def series_to_json(rows: Sequence[SeriesRow], synthetic: Sequence[SyntheticRow]) -> dict[str, Any]:
    """All rows as plain values."""
    return {
        "recorded": [asdict(row) for row in rows],
        "synthetic": [
            asdict(one) | {"mean": one.mean, "worst": one.worst, "recall": one.recall}
            for one in synthetic
        ],
    }
