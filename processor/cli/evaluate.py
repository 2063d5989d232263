"""The commands that judge models without Kafka: evaluate and what stands below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from processor.kafka.reading import ToolError

app = typer.Typer()
evaluate_app = typer.Typer(invoke_without_command=True)
app.add_typer(evaluate_app, name="evaluate")

Data = Annotated[Path, typer.Option(envvar="TELLTALE_DATA", help="Directory of the recordings.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Quick = Annotated[bool, typer.Option(help="A part of each recording.")]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", "--out", help="Write the tables to this file.")
]
JsonFile = Annotated[Path | None, typer.Option(help="Write all figures to this file.")]

RECORDED = Path("../shared/data")


@evaluate_app.callback()
def evaluate(
    context: typer.Context,
    data: Data = RECORDED,
    detector: Annotated[
        list[str] | None, typer.Option(help="Only this detector; may be given again.")
    ] = None,
    recording: Annotated[
        list[str] | None, typer.Option(help="Only this recording; may be given again.")
    ] = None,
    seed: Seed = 0,
    quick: Quick = False,
    markdown: MarkdownFile = None,
    json: JsonFile = None,
) -> None:
    """Measure the detectors on real recordings, beside scikit-learn's own forest."""
    if context.invoked_subcommand is not None:
        return
    # Here, not above: the other commands need not wait until scikit-learn is imported.
    from models import evaluation

    with _recordings(), _progress() as advance:
        results = evaluation.run(
            data,
            detectors=detector,
            recordings=recording,
            seed=seed,
            quick=quick,
            progress=advance,
        )
    _tell(evaluation.to_markdown(results), evaluation.to_json(results), markdown, json)


@evaluate_app.command("retraining")
def evaluate_retraining(
    data: Data = RECORDED,
    detector: Annotated[str, typer.Option(help="The detector.")] = "blend",
    budget: Annotated[
        list[float] | None,
        typer.Option(
            min=1e-6,
            max=0.5,
            help="Only at this alert budget, 0.01 and 0.05 by default; may be given again.",
        ),
    ] = None,
    seed: Seed = 0,
    quick: Quick = False,
    markdown: MarkdownFile = None,
    json: JsonFile = None,
) -> None:
    """Measure what learning on does to errors and false alarms, and what attackers gain by it."""
    from models.evaluation.retraining import report, run

    with _recordings(), _progress() as advance:
        results = run.evaluate_retraining(
            data,
            detector=detector,
            budgets=budget or run.BUDGETS,
            seed=seed,
            quick=quick,
            progress=advance,
        )
    text = report.retraining_to_markdown(results)
    _tell(text, report.retraining_to_json(results), markdown, json)


@evaluate_app.command("drift")
def evaluate_drift(
    data: Data = RECORDED,
    seed: Seed = 0,
    quick: Quick = False,
    markdown: MarkdownFile = None,
    json: JsonFile = None,
) -> None:
    """Measure how often drift is flagged without drift, and how soon with it."""
    from models.evaluation import drift

    with _progress() as advance:
        rows = drift.evaluate_drift(seed=seed, quick=quick, progress=advance)
        rows += drift.recorded(data, quick=quick)
    _tell(drift.drift_to_markdown(rows), drift.drift_to_json(rows), markdown, json)


@evaluate_app.command("series")
def evaluate_series(
    data: Data = RECORDED,
    seed: Seed = 0,
    quick: Quick = False,
    markdown: MarkdownFile = None,
    json: JsonFile = None,
) -> None:
    """Measure the detectors of metrics, point by point, on recorded and on simulated series."""
    from models.evaluation.metric_series import report, run

    copies = 1 if quick else 3
    with _recordings(), _progress() as advance:
        rows = run.run_recorded(data, quick=quick, progress=advance)
    simulated = run.run_synthetic(seed=seed, copies=copies)
    simulated += run.run_synthetic(seed=seed, learned=run.FEW, size=1500, copies=min(copies, 2))
    text = report.series_to_markdown(rows, simulated)
    _tell(text, report.series_to_json(rows, simulated), markdown, json)


@evaluate_app.command("awkward")
def evaluate_awkward(
    seed: Seed = 0,
    quick: Quick = False,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Only cases with this in their name or group; may be given again."),
    ] = None,
    markdown: MarkdownFile = None,
    json: JsonFile = None,
) -> None:
    """Measure false alarms and misses on awkward data: scorer and retrainer, without a broker."""
    from models.evaluation.awkward_cases import CASES
    from processor.backtest import awkward

    wanted = [
        each
        for each in CASES
        if case is None or any(part in f"{each.group}: {each.name}" for part in case)
    ]
    if not wanted:
        groups = ", ".join(dict.fromkeys(each.group for each in CASES))
        raise typer.BadParameter(f"expected a part of one of {groups}", param_hint="--case")
    with _progress() as advance:
        rows = awkward.play_cases(seed=seed, quick=quick, cases=wanted, progress=advance)
    _tell(awkward.awkward_to_markdown(rows), awkward.awkward_to_json(rows), markdown, json)


@contextmanager
def _recordings() -> Iterator[None]:
    """Recordings that cannot be read are an error of one line."""
    from models.evaluation import RecordingError

    try:
        yield
    except RecordingError as error:
        raise ToolError(str(error)) from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that advances, on standard error."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield advance


def _tell(text: str, figures: dict[str, Any], markdown: Path | None, json: Path | None) -> None:
    typer.echo(text)
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")
    if json is not None:
        json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
