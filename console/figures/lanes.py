"""Swim lanes: who was abnormal when, and how much; and anomalies over time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.figures.frame import LABEL, Span, figure, shades, shown, stamp, stamps, time_axis
from console.figures.palette import PALETTES, SEVERITIES, Palette, Theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ROW = 22
"""Pixels of a lane."""


@dataclass(frozen=True)
class Lane:
    """A lane: a value for each interval.

    Attributes:
        name: what it is of, such as a profile's id.
        severities: the worst of each interval; None where there was no anomaly.
        scores: the largest score of each interval, 0 to 1.
        counts: anomalies of each interval.
    """

    name: str
    severities: Sequence[str | None]
    scores: Sequence[float | None]
    counts: Sequence[int]


def swim_lanes(
    starts: Sequence[int],
    width: int,
    overall: Lane,
    lanes: Sequence[Lane],
    *,
    events: Sequence[Span] = (),
    chosen: Collection[int] = (),
    window: tuple[int, int] | None = None,
    theme: Theme = "light",
) -> Figure:
    """A heat map with an overall lane on top and a lane for each profile, kind or feature below.

    Cells are coloured by their worst severity. The ``customdata`` of a cell begins with the number
    of its lane (-1: overall) and the start of its interval. Boxes can be drawn over cells.

    Args:
        starts: of the intervals, epoch milliseconds, ``width`` milliseconds apart.
        lanes: the first one on top.
        events: changes of models, annotations: drawn on the time axis.
        chosen: numbers of lanes that are chosen (-1: overall); their names are bold.
        window: a stretch of time that is chosen, epoch milliseconds; it is outlined.

    >>> lane = Lane("pump", [None, "high"], [None, 0.97], [0, 3])
    >>> found = swim_lanes([0, 300_000], 300_000, lane, [lane])
    >>> [list(row) for row in found.data[0].z], [list(row) for row in found.data[1].z]
    ([[None, 2]], [[None, 2]])
    >>> number, start, name, *_, text = found.data[1].customdata[0][1]
    >>> number, start, name, text
    (0, 300000, '\u2068pump\u2069', 'high, score 0.970, 3 anomalies')
    """
    colours = PALETTES[theme]
    middles = stamps(start + width / 2 for start in starts)
    data = [
        _cells([overall], [-1], starts, width, middles, colours) | {"yaxis": "y2"},
        _cells(lanes, range(len(lanes)), starts, width, middles, colours),
    ]
    data += [_points(lanes, middles), _points([overall], middles) | {"yaxis": "y2"}]
    height = ROW * max(1, len(lanes))
    whole = height + ROW + 12
    begin, end = (starts[0], starts[-1] + width) if starts else (0, width)
    shapes, notes = shades(events, colours, (begin, end))
    if window is not None:
        shapes.append(
            {
                "type": "rect",
                "x0": stamp(window[0]),
                "x1": stamp(window[1]),
                "xref": "x",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": colours.text, "width": 1.5},
            }
        )
    total = sum(overall.counts)
    return figure(
        data,
        theme,
        f"Swim lanes: {len(lanes)} lanes, {len(starts)} intervals, {total} anomalies",
        {
            "height": whole + (64 if not events else 88),
            "margin": {"l": 8, "r": 8, "t": 8 if not events else 32, "b": 36},
            "dragmode": "select",
            "hovermode": "closest",
            "shapes": shapes,
            "annotations": notes,
            "xaxis": time_axis(begin, end) | {"showgrid": False, "anchor": "y"},
            "yaxis": _names(lanes, range(len(lanes)), chosen, colours)
            | {"domain": [0, height / whole]},
            "yaxis2": _names([overall], [-1], chosen, colours)
            | {"domain": [(height + 12) / whole, 1]},
        },
    )


def anomalies_over_time(
    starts: Sequence[int],
    width: int,
    counts: Mapping[str, Sequence[int]],
    *,
    spans: Sequence[Span] = (),
    theme: Theme = "light",
) -> Figure:
    """Bars of anomalies by severity, the gravest at the bottom.

    Args:
        starts: of the intervals, epoch milliseconds, ``width`` milliseconds apart.
        counts: severity → anomalies of each interval.

    >>> found = anomalies_over_time([0, 1000], 1000, {"low": [1, 0], "critical": [0, 2]})
    >>> [(bar.name, list(bar.y)) for bar in found.data]
    [('critical', [0, 2]), ('low', [1, 0])]
    """
    colours = PALETTES[theme]
    middles = stamps(start + width / 2 for start in starts)
    data = [
        {
            "type": "bar",
            "name": name,
            "x": middles,
            "y": list(counts[name]),
            "width": width * 0.86,
            "marker": {"color": colours.of(name), "line": {"width": 0}},
            "customdata": list(starts),
            "hovertemplate": "%{y} " + name + "<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
        }
        for name in reversed(SEVERITIES)
        if name in counts
    ]
    total = sum(sum(each) for each in counts.values())
    reach = (starts[0], starts[-1] + width) if starts else None
    shapes, notes = shades(spans, colours, reach)
    begin, end = (starts[0], starts[-1] + width) if starts else (None, None)
    return figure(
        data,
        theme,
        f"Anomalies over time: {total} in {len(starts)} intervals",
        {
            "barmode": "stack",
            "height": 180,
            "margin": {"l": 56, "r": 16, "t": 16 if not spans else 32, "b": 40},
            "dragmode": "select",
            "selectdirection": "h",
            "shapes": shapes,
            "annotations": notes,
            "xaxis": time_axis(begin, end) | {"showgrid": False},
            "yaxis": {"title": {"text": "anomalies"}, "rangemode": "tozero", "nticks": 4},
        },
    )


def _cells(
    lanes: Sequence[Lane],
    numbers: Sequence[int],
    starts: Sequence[int],
    width: int,
    middles: Sequence[str],
    colours: Palette,
) -> dict[str, Any]:
    ranks: list[list[int | None]] = []
    told: list[list[list[Any] | None]] = []
    for number, lane in zip(numbers, lanes, strict=True):
        ranks.append([None if s is None else SEVERITIES.index(s) for s in lane.severities])
        name = shown(lane.name, 80)
        told.append(
            [
                None
                if lane.severities[place] is None
                else [number, start, name, stamp(start), stamp(start + width), _text(lane, place)]
                for place, start in enumerate(starts)
            ]
        )
    steps = len(SEVERITIES)
    scale = [
        [edge / steps, colours.of(name)]
        for number, name in enumerate(SEVERITIES)
        for edge in (number, number + 1)
    ]
    return {
        "type": "heatmap",
        "x": list(middles),
        "y": list(range(len(lanes))),
        "z": ranks,
        "zmin": -0.5,
        "zmax": steps - 0.5,
        "colorscale": scale,
        "showscale": False,
        "xgap": 1,
        "ygap": 2,
        "hoverongaps": False,
        "customdata": told,
        "hovertemplate": "%{customdata[2]}<br>%{customdata[3]|%Y-%m-%d %H:%M} – "
        "%{customdata[4]|%H:%M}<br>%{customdata[5]}<extra></extra>",
    }


def _text(lane: Lane, place: int) -> str:
    score, count = lane.scores[place], lane.counts[place]
    told = "" if score is None else f", score {score:.3f}"
    many = "anomaly" if count == 1 else "anomalies"
    return f"{lane.severities[place]}{told}, {count} {many}"


def _points(lanes: Sequence[Lane], middles: Sequence[str]) -> dict[str, Any]:
    """Unseen points in the cells: a box that is drawn selects points, never cells."""
    at = [
        (middle, number)
        for number, lane in enumerate(lanes)
        for middle, severity in zip(middles, lane.severities, strict=True)
        if severity is not None
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in at],
        "y": [y for _, y in at],
        "marker": {"opacity": 0, "size": 4},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "hoverinfo": "skip",
    }


def _names(
    lanes: Sequence[Lane], numbers: Sequence[int], chosen: Collection[int], colours: Palette
) -> dict[str, Any]:
    names = [shown(lane.name, LABEL) for lane in lanes]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(lanes))),
        "ticktext": [
            f"<b>{name}</b>" if number in chosen else name
            for number, name in zip(numbers, names, strict=True)
        ],
        "range": [len(lanes) - 0.5 if lanes else 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"color": colours.text, "size": 12},
    }
