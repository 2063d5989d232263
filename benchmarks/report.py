"""Results: figures with what they must be, kept as JSON, shown as Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent.parent / "build" / "bench"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        value: the median where it was measured several times.
        least: the smallest measured; None where it was measured once.
        most: the largest measured.
        must: ``≥ 0.28`` or its like, in the unit; empty where nothing is demanded.
        aim: the number hoped for; in the direction of ``must``.
    """

    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None
    must: str = ""
    aim: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the figure is what it must be; None where nothing is demanded."""
        if not self.must:
            return None
        sign, bound = self.must.split()
        return self.value >= float(bound) if sign == "≥" else self.value <= float(bound)


def several(name: str, unit: str, values: Sequence[float], must: str = "", aim: str = "") -> Figure:
    """The median of some measurements, with their spread."""
    return Figure(name, median(values), unit, min(values), max(values), must, aim)


def save(name: str, figures: Sequence[Figure]) -> None:
    """Keep a benchmark's figures for the page of results, and show them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print("\n".join(table(figures)), flush=True)


def table(figures: Iterable[Figure]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| figure | measured | least – most | must | aim | |", "|---|---|---|---|---|---|"]
    for figure in figures:
        spread = ""
        if figure.least is not None and figure.most is not None:
            spread = f"{number(figure.least)} – {number(figure.most)}"
        met = {None: "", True: "met", False: "**missed**"}[figure.met]
        unit = f" {figure.unit}" if figure.unit else ""
        lines.append(
            f"| {figure.name} | {number(figure.value)}{unit} | {spread} "
            f"| {figure.must} | {figure.aim} | {met} |"
        )
    return lines


def number(value: float) -> str:
    """A number with three significant digits at least, and thousands set apart."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}"


def machine() -> str:
    """What it was measured on, in neutral words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("confluent-kafka", "numpy", "numba", "scikit-learn", "orjson", "pydantic")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, {versions}"
    )
