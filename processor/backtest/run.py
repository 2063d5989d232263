"""A backtest from its source to what is printed and written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import typer

from processor.backtest.comparison import ComparisonPlan
from processor.backtest.replay import Summary, backtest
from processor.backtest.report import Report
from processor.backtest.retraining import Retraining
from processor.backtest.topic import Range, compare
from processor.backtest.view import show_report, show_summary
from processor.operations.produce import lines_of
from processor.settings import Settings
from processor.text.escaping import dumped

__all__ = ["ComparisonPlan", "Range", "of_file", "of_topic"]


def of_file(
    settings: Settings,
    file: str,
    kind: str,
    now: int,
    verdicts: Path | None,
    json: bool,
    retrain: bool,
) -> None:
    """Print what a file comes to; exit 1 if a line is no telemetry."""
    summary = Summary()
    with ExitStack() as stack:
        write = writer(stack, verdicts)
        retraining = None
        if retrain:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="telltale-")))
            retraining = Retraining(settings, directory, summary.retrained)
        lines = stack.enter_context(lines_of(file))
        for verdict in backtest(lines, kind, settings, now, summary, retraining):
            write(verdict)
    if json:
        plain = {
            "profiles": {name: dict(counts) for name, counts in summary.profiles.items()},
            "dead_letters": dict(summary.dead_letters),
            "skipped": summary.skipped,
            "retrained": dict(summary.retrained),
        }
        typer.echo(dumped(plain))
    else:
        show_summary(summary)
    if summary.skipped:
        typer.echo(f"{len(summary.skipped)} lines are no telemetry", err=True)
        raise typer.Exit(1)


def of_topic(
    settings: Settings,
    wanted: Range,
    plan: ComparisonPlan,
    now: int,
    verdicts: Path | None,
    differences: Path | None,
    json: bool,
    check: bool,
) -> None:
    """Print how the verdicts compare; with ``check``, exit 1 if one changed or none could be."""
    report = Report()
    with ExitStack() as stack:
        write_verdict, write_difference = writer(stack, verdicts), writer(stack, differences)
        for outcome in compare(settings, wanted, plan, now, report):
            if isinstance(outcome.now, dict):
                write_verdict(outcome.now)
            if differences is not None and outcome.result != "same":
                write_difference(outcome.plain())
    if json:
        typer.echo(dumped(report.plain()))
    else:
        show_report(report, wanted.topic, plan)
    if check and report.count("changed"):
        typer.echo(f"{report.count('changed')} verdicts changed", err=True)
        raise typer.Exit(1)
    if check and not report.count("same"):
        typer.echo("nothing could be compared", err=True)
        raise typer.Exit(1)


def writer(stack: ExitStack, path: Path | None) -> Callable[[dict[str, Any]], object]:
    """Writes a JSON line to a file, or nothing if there is none."""
    if path is None:
        return lambda _: None
    file: IO[bytes] = stack.enter_context(path.open("wb"))
    return lambda value: file.write(dumped(value) + b"\n")
