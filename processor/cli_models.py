"""The commands that judge models without Kafka: backtest and evaluate."""

from __future__ import annotations

from pathlib import Path
from time import time_ns
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from models import evaluation
from processor.backtest import Summary, backtest
from processor.cli_kind import Kind
from processor.options import with_settings
from processor.produce import lines_of
from processor.settings import Settings

RULES = (
    "alert_budget",
    "detector",
    "cold_start_samples",
    "min_training_data_points",
    "max_record_bytes",
    "max_features",
    "max_samples",
    "seed",
)
SHOWN = 40

app = typer.Typer()


@app.command("backtest")
@with_settings(*RULES)
def backtest_command(
    settings: Settings,
    file: Annotated[str, typer.Argument(help="JSON Lines, gzip or not; - is standard input.")],
    kind: Annotated[Kind, typer.Option(help="Kind of the telemetry.")],
    verdicts: Annotated[
        Path | None, typer.Option(help="Write the verdicts to this file, a JSON line each.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Say what the scorer would say of a file: the same Step, nothing written to Kafka."""
    summary = Summary()
    with lines_of(file) as lines:
        said = backtest(lines, kind, settings, time_ns() // 1_000_000, summary)
        if verdicts is None:
            for _ in said:
                pass
        else:
            with verdicts.open("wb") as out:
                out.writelines(orjson.dumps(verdict) + b"\n" for verdict in said)
    if json:
        typer.echo(orjson.dumps(_plain(summary)).decode())
    else:
        _show(summary)
    if summary.skipped:
        typer.echo(f"{len(summary.skipped)} lines are no telemetry", err=True)
        raise typer.Exit(1)


def _plain(summary: Summary) -> dict[str, object]:
    return {
        "profiles": {name: dict(counts) for name, counts in summary.profiles.items()},
        "dead_letters": dict(summary.dead_letters),
        "skipped": summary.skipped,
    }


def _show(summary: Summary) -> None:
    table = Table("profile", "learning", "normal", "anomalies", "share", "abstained", box=None)
    by_share = sorted(summary.profiles.items(), key=lambda item: (-item[1]["anomaly"], item[0]))
    rows = [*by_share[:SHOWN], ("all", summary.total())]
    for name, counts in rows:
        scored = counts["normal"] + counts["anomaly"]
        share = f"{counts['anomaly'] / scored:.2%}" if scored else "–"
        table.add_row(
            name,
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
    for reason, count in summary.dead_letters.items():
        console.print(f"{count} dead letters: {reason}")


@app.command()
def evaluate(
    data: Annotated[
        Path, typer.Option(envvar="TELLTALE_DATA", help="Directory of the recordings.")
    ] = Path("../shared/data"),
    detector: Annotated[
        list[str] | None, typer.Option(help="Only this detector; may be given again.")
    ] = None,
    recording: Annotated[
        list[str] | None, typer.Option(help="Only this recording; may be given again.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    quick: Annotated[bool, typer.Option(help="A part of each recording.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Measure the detectors on real recordings, beside scikit-learn's own forest."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        results = evaluation.run(
            data,
            detectors=detector,
            recordings=recording,
            seed=seed,
            quick=quick,
            progress=advance,
        )
    text = evaluation.to_markdown(results)
    typer.echo(text)
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")
    if json is not None:
        json.write_bytes(orjson.dumps(evaluation.to_json(results), option=orjson.OPT_INDENT_2))
