"""Backtests as operators see them: the tables of a file's verdicts and of a topic's comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.backtest.comparison import ComparisonPlan
from processor.backtest.replay import Summary
from processor.backtest.report import COLUMNS, Report
from processor.text.escaping import printable

SHOWN = 40
DIFFERENT = 10


def show_summary(summary: Summary) -> None:
    """A file's verdicts by profile."""
    table = Table("profile", "learning", "normal", "anomalies", "share", "abstained", box=None)
    by_share = sorted(summary.profiles.items(), key=lambda item: (-item[1]["anomaly"], item[0]))
    rows = [*by_share[:SHOWN], ("all", summary.total())]
    for name, counts in rows:
        scored = counts["normal"] + counts["anomaly"]
        share = f"{counts['anomaly'] / scored:.2%}" if scored else "–"
        table.add_row(
            Text(printable(name)),
            f"{counts['learning']:,}",
            f"{counts['normal']:,}",
            f"{counts['anomaly']:,}",
            share,
            f"{counts['abstained']:,}",
        )
    console = Console()
    console.print(table)
    if len(by_share) > SHOWN:
        console.print(f"and {len(by_share) - SHOWN} profiles more")
    show_retrained(console, summary.retrained)
    for reason, count in summary.dead_letters.items():
        console.print(Text(f"{count} dead letters: {printable(reason)}"))


def show_report(report: Report, topic: str, plan: ComparisonPlan) -> None:
    """How a topic's verdicts compare."""
    console = Console(highlight=False, soft_wrap=True)
    total = sum(report.results.values())
    console.print(f"{topic}: {total:,} records", markup=False)
    if plan.fresh:
        how = "and retrained on the way" if plan.retrain else "once, without retraining"
        console.print(f"learnt again from this telemetry, {how}")
    outcomes = Table("outcome", box=SIMPLE, pad_edge=False)
    outcomes.add_column("records", justify="right", no_wrap=True)
    outcomes.add_column("why")
    for (result, why), count in report.results.most_common():
        outcomes.add_row(result, f"{count:,}", Text(printable(why)))
    console.print(outcomes)
    if again := report.trained.total():
        same = report.trained["same"]
        console.print(
            f"version 1 trained again: {again} times, the very same artefact {same} times"
        )
    show_retrained(console, report.retrained)
    for reason, count in report.dead_letters.items():
        console.print(Text(f"{count:,} dead letters: {printable(reason)}"))
    if report.kinds:
        console.print(counts_table("kind", report.kinds.items()))
    different = report.most_different()
    if different:
        rows = [(name, counts) for (_, name), counts in different[:DIFFERENT]]
        console.print(counts_table("profile", rows))
    if len(different) > DIFFERENT:
        console.print(f"and {len(different) - DIFFERENT} profiles more that differ")


def show_retrained(console: Console, retrained: Counter[str]) -> None:
    """What became of retrainings."""
    if retrained:
        told = ", ".join(f"{count:,} {event}" for event, count in sorted(retrained.items()))
        console.print(f"retrainings: {told}")


def counts_table(what: str, rows: Iterable[tuple[str, Counter[str]]]) -> Table:
    """A table of differences, a row for each kind or profile.

    How many were scored is shown where it differs: elsewhere it is the same in every replay.
    """
    found = list(rows)
    differs = any(counts["scored then"] != counts["scored now"] for _, counts in found)
    columns = [name for name in COLUMNS if differs or not name.startswith("scored")]
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column(what)
    for name in columns:
        table.add_column(name, justify="right", max_width=9)
    for name, counts in found:
        table.add_row(Text(printable(name)), *(f"{counts[column]:,}" for column in columns))
    return table
