"""How ``telltale profile show`` looks."""

from __future__ import annotations

from time import time_ns

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from processor import tail
from processor.profile import VERDICTS_READ, Standing
from schemas import ModelRecord


def view(standing: Standing, verdicts: int) -> Group:
    """A profile's standing as tables, ``verdicts`` being how many were looked for."""
    parts: list[Table | Text] = [_facts(standing)]
    if standing.model is not None:
        parts.append(_versions(standing.model))
    if standing.verdicts:
        parts.append(Text("last verdicts", "bold"))
        parts += [tail.line(verdict) for verdict in standing.verdicts]
    elif verdicts:
        parts.append(Text(f"no verdict among the last {VERDICTS_READ:,} of its partition", "dim"))
    return Group(*parts)


def _facts(standing: Standing) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]profile[/bold]", f"[bold]{standing.profile_id}[/bold]")
    table.add_row("kind", f"{standing.kind}, partition {standing.partition}")
    if standing.model is None:
        table.add_row("state", f"learning {standing.seen} of {standing.needed}")
    else:
        model = standing.model
        table.add_row("state", f"active, version {model.version}, generation {model.generation}")
        table.add_row("learnt on", f"{model.learned} samples")
        table.add_row("detector", f"{model.detector}, {len(model.features)} features")
        offset = "" if model.decision_offset is None else f", score {model.decision_offset:.4g}"
        table.add_row("threshold", f"budget {model.alert_budget:.2%}{offset}")
        table.add_row("artefact", model.artifact)
    window = standing.suppression
    if window is not None and window.until > time_ns() // 1_000_000:
        why = window.reason or "no reason given"
        table.add_row("suppressed", f"until {tail.moment(window.until)} ({why})")
    return table


def _versions(model: ModelRecord) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("version", "trained at", "trigger", "trained on", "threshold"):
        table.add_column(name, justify="right" if name != "trained at" else "left")
    table.add_row(
        str(model.version),
        tail.moment(model.trained_at),
        model.trigger,
        f"{model.trained_on} samples",
        _number(model.decision_offset),
    )
    for old in model.history:
        row = (str(old.version), tail.moment(old.trained_at), "", "", _number(old.decision_offset))
        table.add_row(*row, style="dim")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
