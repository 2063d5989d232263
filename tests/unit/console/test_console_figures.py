"""Charts: what data becomes of data, in colours that everybody can tell apart."""

import doctest
import json
import math
import pkgutil
import re
from dataclasses import asdict
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest

import console.figures
import console.pages
from console.figures import (
    PALETTES,
    SEVERITIES,
    Group,
    Lane,
    Mark,
    Span,
    Theme,
    anomalies_over_time,
    confusion_matrix,
    contributions,
    drift_bins,
    feature_importance,
    for_page,
    group_comparison,
    learning_progress,
    model_graph,
    roc_curve,
    style,
    swim_lanes,
    training_history,
    values_over_time,
)

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "\"quotes\" & 'apostrophes'",
    "\u202eevil\u202c",
    "%{x}<extra></extra>",
    "אבג",
    "😀" * 64,
)
MODULES = [module.name for module in pkgutil.iter_modules(console.figures.__path__)]

# Machado, Oliveira and Fernandes (2009), severity 1: what people see who lack one kind of cones.
SEEN_BY = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
Colour = tuple[float, float, float]


def linear(colour: str) -> Colour:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    low = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return (low[0], low[1], low[2])


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    parts = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other))]
    return (max(parts) + 0.05) / (min(parts) + 0.05)


def lab(colour: str, seen_by: str) -> Colour:
    """CIELAB of a colour as somebody sees it."""
    r, g, b = (
        min(1.0, max(0.0, sum(a * c for a, c in zip(row, linear(colour), strict=True))))
        for row in SEEN_BY[seen_by]
    )
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return (116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_of_charts_give_what_they_say(name: str) -> None:
    found = doctest.testmod(import_module(f"console.figures.{name}"))

    assert found.attempted > 0, "it has no example"
    assert found.failed == 0, "doctest's report is above"


def test_the_example_of_the_room_gives_what_it_says() -> None:
    found = doctest.testmod(console.figures)

    assert (found.attempted > 0, found.failed) == (True, 0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_severities_are_told_apart_by_everybody(theme: Theme, seen_by: str) -> None:
    colours = [lab(PALETTES[theme].of(name), seen_by) for name in SEVERITIES]

    # 2.3 is just noticeable; 15 is another colour at a glance.
    assert min(math.dist(a, b) for a, b in combinations(colours, 2)) > 15


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_have_the_contrast_of_level_aa(theme: Theme) -> None:
    colours = PALETTES[theme]

    for name in ("text", "muted"):
        assert contrast(colours.of(name), colours.paper) >= 4.5, name
        assert contrast(colours.of(name), colours.lane) >= 4.5, name
    for name in (*SEVERITIES, "line", "second", "threshold", "version"):
        assert contrast(colours.of(name), colours.paper) >= 3, name
    for name in SEVERITIES:
        assert contrast(colours.of(name), colours.lane) >= 2.9, name


def every(name: str, theme: Theme) -> list[object]:
    """Each chart with a name in each place that takes one."""
    lane = Lane(name, ["low", None], [0.9, None], [1, 0])
    mark = Mark(0, 1.0, "critical", "t-0-1", name)
    nodes = [{"id": 1, "label": name}, {"id": 2, "label": name}]
    return [
        swim_lanes([0, 300_000], 300_000, lane, [lane], events=[Span(0, None, name)], theme=theme),
        anomalies_over_time([0], 1000, {"low": [1]}, spans=[Span(0, 1, name)], theme=theme),
        values_over_time([0], [1.0], name=name, marks=[mark], threshold=1.0, theme=theme),
        contributions([name], [1.0], theme=theme),
        learning_progress(1, 2, theme=theme),
        roc_curve([0, 1], [0, 1], 0.5, band=([0, 1], [0, 1]), theme=theme),
        confusion_matrix([[1, 0], [0, 1]], rows=(name, name), theme=theme),
        feature_importance([name], [1.0], deviations=[0.1], theme=theme),
        training_history([1], {name: [1.0]}, theme=theme),
        model_graph(nodes, [{"source": 1, "target": 2}], theme=theme),
        group_comparison([Group(name, 1.0, 0.5, 2.0, 10)], limits=(0.8, 1.25), theme=theme),
        drift_bins([name], [1], [1], feature=name, theme=theme),
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_every_chart(name: str) -> None:
    for figure in every(name, "light"):
        told = json.dumps(for_page(figure), ensure_ascii=False)  # type: ignore[arg-type]

        assert "\u202e" not in told
        assert "<img" not in "".join(texts(for_page(figure)))  # type: ignore[arg-type]
        assert "<a " not in "".join(texts(for_page(figure)))  # type: ignore[arg-type]


def texts(value: object) -> list[str]:
    """All text of a figure that Plotly renders, which takes tags in it."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        shown = {k: v for k, v in value.items() if k not in ("meta", "name", "hovertemplate")}
        return [text for each in shown.values() for text in texts(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in texts(each)]
    return []


def test_a_chart_in_dark_is_the_one_in_light_with_other_colours() -> None:
    for light, dark in zip(every("p", "light"), every("p", "dark"), strict=True):
        told = json.dumps(dark.to_plotly_json())  # type: ignore[attr-defined]
        for colour, other in zip(
            asdict(PALETTES["dark"]).values(), asdict(PALETTES["light"]).values(), strict=True
        ):
            told = told.replace(f'"{colour}"', f'"{other}"')
        assert json.loads(told) == json.loads(
            json.dumps(light.to_plotly_json())  # type: ignore[attr-defined]
        )
        assert light != dark


def test_in_pages_no_colour_is_fixed() -> None:
    for figure in every("p", "light"):
        told = json.dumps(for_page(figure))  # type: ignore[arg-type]
        assert not re.search(r'"(#[0-9a-f]{3,8}|rgb)', told)


def test_a_colour_has_one_meaning_so_that_pages_can_restyle_it() -> None:
    for palette in PALETTES.values():
        colours = list(asdict(palette).values())
        assert len(set(colours)) == len(colours)


def test_the_stylesheet_of_the_pages_has_the_colours_of_the_charts() -> None:
    path = Path(console.pages.__file__).parent / "static" / "charts.css"

    assert style() in path.read_text()
