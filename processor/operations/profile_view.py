"""How ``telltale profile show`` looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from processor.operations import tail
from processor.operations.profile_state import VERDICTS_READ, ProfileStatus
from processor.text.escaping import printable

if TYPE_CHECKING:
    # What opens artefacts takes a second to import, which other commands need not wait for.
    from processor.operations.profile_versions import Version


def view(standing: ProfileStatus, versions: Sequence[Version], verdicts: int) -> Group:
    """A profile's standing as tables, ``verdicts`` being how many were looked for."""
    parts: list[Table | Text] = [_facts(standing)]
    if versions:
        parts.append(_versions(versions))
        parts += [part for version in versions for part in _making(version)]
        parts += _unopened(versions)
    if standing.verdicts:
        parts.append(Text("last verdicts", "bold"))
        lines = map(tail.readable, standing.verdicts)
        parts += [line or Text("not a verdict", "dim") for line in lines]
    elif verdicts:
        parts.append(Text(f"no verdict among the last {VERDICTS_READ:,} of its partition", "dim"))
    return Group(*parts)


def _facts(standing: ProfileStatus) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("profile", "bold"), Text(printable(standing.profile_id), "bold"))
    table.add_row("kind", _text(f"{standing.kind}, partition {standing.partition}"))
    if standing.model is None:
        table.add_row("state", f"learning {standing.seen} of {standing.needed}")
    else:
        model = standing.model
        table.add_row("state", f"active, version {model.version}, generation {model.generation}")
        table.add_row("learnt on", f"{model.learned} samples")
        table.add_row("detector", _text(f"{model.detector}, {len(model.features)} features"))
        offset = "" if model.decision_offset is None else f", score {model.decision_offset:.4g}"
        table.add_row("threshold", f"budget {model.alert_budget:.2%}{offset}")
        table.add_row("artefact", _text(model.artifact))
    window = standing.suppression
    if window is not None and window.until > time_ns() // 1_000_000:
        why = window.reason or "no reason given"
        table.add_row("suppressed", _text(f"until {tail.moment(window.until)} ({why})"))
    shift = standing.shift
    if shift is not None and shift.since is not None:
        kept = f"{standing.shift_samples} of {standing.shift_needed} samples of a new normal"
        if shift.level is not None:
            kept = f"about {shift.level[0]:.6g}, which its detector follows by itself"
        table.add_row("shifted", _text(f"since {shift.since}, {kept}"))
    if shift is not None and (shift.held_until or 0) > time_ns() // 1_000_000:
        table.add_row("held", f"until {tail.moment(shift.held_until or 0)}")
    return table


def _versions(versions: Sequence[Version]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("version", "trained at", "trigger", "trained on", "threshold", "sha256"):
        table.add_column(name, justify="left" if name in ("trained at", "sha256") else "right")
    for place, version in enumerate(versions):
        table.add_row(
            str(version.version),
            tail.date(version.trained_at),
            _text(version.trigger or ""),
            "" if version.trained_on is None else f"{version.trained_on} samples",
            _number(version.decision_offset),
            _text(version.sha256[:16]),
            style="dim" if place else "",
        )
    return table


def _making(version: Version) -> list[Table | Text]:
    """What a version was made of: where its samples came from, by what, and how it was judged."""
    made = version.provenance
    if made is None:
        return []
    table = Table.grid(padding=(0, 2))
    first, pooled = made.get("cold_start"), made.get("pool", 0)
    samples = f"{made.get('samples', '?')}, of {first} first and {pooled} pooled ones"
    told = [f"policy {made['policy']}"] if "policy" in made else []
    told += [f"from version {made['base_version']}"] if made.get("base_version") else []
    told += [f"seed {made['seed']}"] if "seed" in made else []
    if made.get("pool_offset") is not None:
        told += [f"accepted up to offset {made['pool_offset']} of partition {made['partition']}"]
    table.add_row("samples", _text(", ".join([samples, *told])))
    table.add_row("detector", _text(_pairs(made.get("parameters"), str(made.get("detector", "")))))
    table.add_row("made by", _text(_pairs(made.get("versions"), between=" ")))
    if version.calibration is not None:
        table.add_row("calibration", _text(_pairs(version.calibration)))
    table.add_row("gate", _text(_pairs(version.gate) if version.gate else "none: not a candidate"))
    return [Text(f"version {version.version}", "bold"), table]


def _unopened(versions: Sequence[Version]) -> list[Text]:
    """One line about the artefacts that were not opened."""
    whys = {version.version: version.unopened for version in versions if version.unopened}
    if not whys:
        return []
    said = "; ".join(f"version {number}: {why}" for number, why in whys.items())
    return [Text(printable(f"artefacts not opened, provenance as announced: {said}"), "yellow")]


def _text(text: str) -> Text:
    """A cell of a table: a string alone would be read as rich's markup."""
    return Text(printable(text))


def _pairs(values: object, before: str = "", between: str = "=") -> str:
    held = values if isinstance(values, Mapping) else {}
    said = ", ".join(f"{name}{between}{_plain(value)}" for name, value in held.items())
    return f"{before}: {said}" if before and said else before or said


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
