"""Charts that compare: groups with intervals, and distributions then and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.figures.frame import figure, shown
from console.figures.palette import PALETTES, Theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Group:
    """A group of profiles and what was measured of it.

    Attributes:
        value: None where the group is too small to be shown.
        low, high: ends of the interval.
        size: profiles, or units, in it.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    size: int | None = None


def group_comparison(
    groups: Sequence[Group],
    *,
    title: str = "rate",
    reference: float | None = None,
    limits: tuple[float, float] | None = None,
    percent: bool = False,
    theme: Theme = "light",
) -> Figure:
    """A point with its interval for each group.

    Args:
        reference: a line to compare with.
        limits: low and high end of what is acceptable, shaded.
        percent: whether values are shares.

    >>> found = group_comparison([Group("18-25", 0.01, 0.005, 0.02, 40), Group("65+", None)])
    >>> list(found.data[0].x), list(found.layout.yaxis.ticktext)
    ([0.01, None], ['\u206818-25\u2069 (40)', '\u206865+\u2069, too small'])
    """
    colours = PALETTES[theme]
    rows = list(range(len(groups)))
    form = ".2~%" if percent else ".3~g"
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "x": [group.value for group in groups],
        "y": rows,
        "marker": {"size": 10, "color": colours.line, "symbol": "diamond"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_arm(group.value, group.high) for group in groups],
            "arrayminus": [_arm(group.value, group.low) for group in groups],
            "color": colours.line,
            "thickness": 2,
        },
        "customdata": [shown(group.name) for group in groups],
        "hovertemplate": "%{customdata}: %{x:" + form + "}<extra></extra>",
    }
    shapes: list[Any] = []
    if limits is not None:
        shapes.append(_rect(limits, colours.learning))
    if reference is not None:
        line = {"color": colours.threshold, "width": 1.5, "dash": "dash"}
        shapes.append(_rect((reference, reference), None) | {"type": "line", "line": line})
    told = ", ".join(f"{g.name} {g.value:.3g}" for g in groups if g.value is not None)
    return figure(
        [trace],
        theme,
        f"{title} by group: {told or 'none is large enough'}",
        {
            "height": 72 + 34 * max(1, len(groups)),
            "shapes": shapes,
            "xaxis": {"title": {"text": shown(title, 60)}, "tickformat": form},
            "yaxis": {
                "tickmode": "array",
                "tickvals": rows,
                "ticktext": [_named(group) for group in groups],
                "range": [len(groups) - 0.5, -0.5],
                "showgrid": False,
                "zeroline": False,
            },
        },
    )


def drift_bins(
    names: Sequence[str],
    reference: Sequence[float],
    current: Sequence[float],
    *,
    psi: float | None = None,
    feature: str = "",
    theme: Theme = "light",
) -> Figure:
    """Shares of a feature's values in each bin, in the reference period and now.

    Args:
        names: of the bins, the one of absent values last.
        reference, current: a count or a share for each bin.
        psi: the population stability index of the two.

    >>> found = drift_bins(["< 1", "1 +"], [5, 5], [1, 9], psi=0.36, feature="cpu")
    >>> [(bar.name, list(bar.y)) for bar in found.data]
    [('reference', [0.5, 0.5]), ('current', [0.1, 0.9])]
    """
    colours = PALETTES[theme]
    bins = list(range(len(names)))
    data = [
        {
            "type": "bar",
            "name": name,
            "x": bins,
            "y": [value / (sum(values) or 1) for value in values],
            "marker": {"color": colour, "pattern": {"shape": pattern}},
            "customdata": [shown(each) for each in names],
            "hovertemplate": name + " %{y:.1%} in %{customdata}<extra></extra>",
        }
        for name, values, colour, pattern in (
            ("reference", reference, colours.line, ""),
            ("current", current, colours.second, "/"),
        )
    ]
    index = "" if psi is None else f", PSI {psi:.3f}"
    return figure(
        data,
        theme,
        f"Distribution of {feature or 'a feature'} then and now{index}",
        {
            "height": 260,
            "barmode": "group",
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"l": 56, "r": 16, "t": 36, "b": 40},
            "xaxis": {
                "title": {"text": f"{shown(feature, 60)}{index}" if feature else index[2:]},
                "tickmode": "array",
                "tickvals": bins,
                "ticktext": [shown(each, 16) for each in names],
                "showgrid": False,
            },
            "yaxis": {"title": {"text": "share"}, "tickformat": ".0%", "rangemode": "tozero"},
        },
    )


def _arm(value: float | None, end: float | None) -> float:
    return 0.0 if value is None or end is None else abs(end - value)


def _named(group: Group) -> str:
    name = shown(group.name, 28)
    if group.value is None:
        return f"{name}, too small"
    return name if group.size is None else f"{name} ({group.size})"


def _rect(ends: tuple[float, float], fill: str | None) -> dict[str, Any]:
    shape = {"type": "rect", "x0": ends[0], "x1": ends[1], "xref": "x", "yref": "paper"}
    colour = {} if fill is None else {"fillcolor": fill, "line": {"width": 0}}
    return shape | {"y0": 0, "y1": 1, "layer": "below"} | colour
