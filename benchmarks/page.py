"""The page of results: what must be, beside what was measured, and all figures behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.report import Figure

PAGE = Path(__file__).with_name("RESULTS.md")
MODELS = "bench_models"
TITLES = {
    "throughput": "Throughput on a preloaded backlog",
    "ingest": "Ingest: existing topics to telemetry",
    "latency": "Latency: from a record's timestamp to its verdict with a read_committed reader",
    "growth": "Growth: cost and memory as profiles and processes become more",
    "storm": "Storms of trainings",
    "restart": "Restart",
    MODELS: "Models",
}
PREFACE = """\
# Results of the benchmarks

Written by `make bench`. Every process, the broker included, shares the cores of one machine, and
peers run in turn with ours in each repetition: ratios tell more than rates. A figure is the median
of its repetitions. Rates count from the first commit that the broker shows, so no start is in them.
Unless `KAFKA_BOOTSTRAP` names one, the broker has large pages, a heap of a fixed size, Kafka's own
settings of G1, and one network and two I/O threads; docs/performance.md says what each gives.
"""


def write(documents: Mapping[str, Mapping[str, Any]], page: Path = PAGE) -> None:
    """Write the page from the documents of those benchmarks that were run."""
    page.write_text("\n".join(lines(documents)) + "\n", encoding="utf-8")


def read() -> dict[str, dict[str, Any]]:
    """The documents of all benchmarks that have left one, in the order of the page."""
    files = {name: report.RESULTS / f"{name}.json" for name in TITLES}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def lines(documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The page's lines."""
    found = {
        name: [Figure(**figure) for figure in document["figures"]]
        for name, document in documents.items()
        if name != MODELS
    }
    demanded = [figure for figures in found.values() for figure in figures if figure.must]
    page = [PREFACE, *machines(documents), "", "## What must be", "", *report.table(demanded)]
    for name, figures in found.items():
        page += ["", f"## {TITLES[name]}", "", *report.table(figures)]
    if MODELS in documents:
        page += ["", f"## {TITLES[MODELS]}", "", *models(documents[MODELS])]
    return page


def machines(documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """When and on what each was measured; one line for all that were measured alike."""
    told: dict[tuple[str, str], list[str]] = {}
    for name, document in documents.items():
        if name != MODELS:
            when = str(document["measured"])[:10]
            told.setdefault((when, document["machine"]), []).append(name)
    return [f"- {', '.join(names)}: {when}, on {on}" for (when, on), names in told.items()]


def models(document: Mapping[str, Any]) -> list[str]:
    """The table of the models' own benchmark."""
    rows = ["| figure | ours | peer | ours ÷ peer | must |", "|---|---|---|---|---|"]
    for figure in document["figures"]:
        peer, ratio = figure["peer"], figure["ratio"]
        theirs = "not installed" if peer is None else f"{report.number(peer)} {figure['unit']}"
        shown = "–" if ratio is None else f"1/{1 / ratio:,.1f}" if ratio < 1 else f"{ratio:,.2f}"
        rows.append(
            f"| {figure['name']} | {report.number(figure['ours'])} {figure['unit']} "
            f"| {figure['against']}: {theirs} | {shown} | {figure['must']} |"
        )
    return rows
