"""Results as Markdown tables and as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from models.evaluation.datasets.recordings import RECORDINGS, TOGETHER
from models.evaluation.results import BUDGETS, PEER, Results, Row

MEASURES = {
    "EER": "equal error rate, the lower the better",
    "AP": "average precision, the higher the better",
    "NAB": "Numenta score, 100 is perfect, the higher the better",
    "UCR": "share of series answered right, the higher the better",
}
"""What each measure is, as printed."""


def to_json(results: Results) -> dict[str, Any]:
    """All rows as plain values; a figure that does not exist is null."""
    return {
        "seed": results.seed,
        "versions": dict(results.versions),
        "budgets": list(BUDGETS),
        "mean_equal_error_rate": {
            detector: _known(value) for detector, value in means(results).items()
        },
        "rows": [
            {
                name: _known(value) if isinstance(value, float) else value
                for name, value in asdict(row).items()
            }
            | {"measure": RECORDINGS[row.recording].measure}
            for row in results.rows
        ],
        "skipped": dict(results.skipped),
    }


def to_markdown(results: Results) -> str:
    """The tables of ``docs/quality.md``."""
    detectors = list(dict.fromkeys(row.detector for row in results.rows))
    parts = [
        "# How well the detectors tell normal from abnormal",
        "Written by `telltale evaluate`; seed "
        f"{results.seed}, {', '.join(' '.join(pair) for pair in results.versions)}. Each profile "
        "learns its own normal only, once; for NAB anew every 500 points, as the stream does. "
        f"Figures are means over profiles. `{PEER}` is `sklearn.ensemble.IsolationForest` with its "
        "defaults; its thresholds are what its `contamination` gives.",
        "## Vectors: " + MEASURES["EER"],
        _quality(results, detectors, ("EER",)),
        "The mean counts the three sets of mouse actions as one recording.",
        "## Series",
        "\n".join(f"* {name}: {MEASURES[name]}." for name in ("NAB", "UCR", "AP")),
        "`gaussian` judges single points, as the stream does; all others judge windows of ten "
        "values, so that they have a vector to look at. NAB's one threshold for all series is set "
        "on p-values (the peer has none: on its scores).",
        _quality(results, detectors, ("NAB", "UCR", "AP")),
        "## False alarms",
        "Share of later genuine rows below the threshold at budgets of "
        f"{', '.join(f'{100 * budget:g}' for budget in BUDGETS)} %, and the share of abnormal rows "
        f"missed at {100 * BUDGETS[-1]:g} %: single rows, whatever the recording judges together. "
        "All in percent.",
        _table(results, detectors, _alarms),
        "## Cost",
        "Learning a profile in ms (calibration included), scoring a row in µs (one profile a "
        "call; a packed batch is faster), bytes a model (the peer's: pickled).",
        _table(results, detectors, _cost),
        "## Protocols",
        "\n".join(f"* `{name}`: {RECORDINGS[name].protocol}." for name in _recordings(results)),
    ]
    if results.skipped:
        parts.append("## Not read")
        parts.append("\n".join(f"* `{name}`: {reason}" for name, reason in results.skipped))
    return "\n\n".join(part for part in parts if part) + "\n"


def means(results: Results) -> dict[str, float]:
    """Mean equal error rate of each detector over the recordings of vectors."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in results.rows:
        if RECORDINGS[row.recording].measure == "EER":
            group = "actions" if row.recording in TOGETHER else row.recording
            found.setdefault(row.detector, {}).setdefault(group, []).append(row.quality)
    return {
        detector: _average([_average(values) for values in groups.values()])
        for detector, groups in found.items()
    }


def _quality(results: Results, detectors: Sequence[str], kinds: Sequence[str]) -> str:
    names = [name for name in _recordings(results) if RECORDINGS[name].measure in kinds]
    if not names:
        return "No recording of this kind was read."
    lines = [_line("recording", "measure", *detectors, "published")]
    lines.append(_line(*["---"] * (len(detectors) + 3)))
    rows = {(row.recording, row.detector): row for row in results.rows}
    for name in names:
        recording = RECORDINGS[name]
        values = [rows[name, detector].quality for detector in detectors]
        best = min(values) if recording.measure == "EER" else max(values)
        lines.append(
            _line(
                f"`{name}`",
                recording.measure,
                *(_marked(value, best, recording.measure) for value in values),
                recording.published or "not comparable: none known for this protocol",
            )
        )
    if kinds == ("EER",):
        averages = means(results)
        values = [averages[detector] for detector in detectors]
        lines.append(
            _line("**mean**", "EER", *(_marked(value, min(values), "EER") for value in values), "")
        )
    return "\n".join(lines)


def _table(results: Results, detectors: Sequence[str], cell: Callable[[Row], str]) -> str:
    rows = {(row.recording, row.detector): row for row in results.rows}
    lines = [_line("recording", *detectors), _line(*["---"] * (len(detectors) + 1))]
    lines += [
        _line(f"`{name}`", *(cell(rows[name, detector]) for detector in detectors))
        for name in _recordings(results)
    ]
    return "\n".join(lines)


def _alarms(row: Row) -> str:
    reached = " / ".join(f"{100 * share:.1f}" for share in row.false_alarms)
    return f"{reached}; missed {100 * row.missed:.0f}"


def _cost(row: Row) -> str:
    return f"{row.fit_milliseconds:.2g} ms, {row.score_microseconds:.2g} µs, {row.model_bytes:,.0f}"


def _marked(value: float, best: float, measure: str) -> str:
    shown = f"{value:.1f}" if measure == "NAB" else f"{value:.3f}"
    return f"**{shown}**" if value == best else shown


def _recordings(results: Results) -> list[str]:
    return list(dict.fromkeys(row.recording for row in results.rows))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
