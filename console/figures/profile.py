"""Charts of one profile: its values, why a verdict came, how far it has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.figures.frame import Span, figure, shades, shown, stamps, time_axis
from console.figures.palette import PALETTES, SEVERITIES, SHAPES, Palette, Theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Mark:
    """An anomaly in a chart of values.

    Attributes:
        at: epoch milliseconds.
        value: where it stands.
        severity: one of ``SEVERITIES``.
        key: given back if it is clicked, such as the verdict's id.
        note: shown beside it.
        hollow: drawn as an outline, as of a verdict that was suppressed.
    """

    at: int
    value: float
    severity: str
    key: str
    note: str = ""
    hollow: bool = False


def values_over_time(
    times: Sequence[int],
    values: Sequence[float | None],
    *,
    name: str = "score",
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None,
    threshold: float | None = None,
    marks: Sequence[Mark] = (),
    spans: Sequence[Span] = (),
    joined: bool = True,
    since: int | None = None,
    until: int | None = None,
    theme: Theme = "light",
) -> Figure:
    """Values, or scores, of a profile with what is expected of them.

    Args:
        times: epoch milliseconds, in order.
        values: as many; None is a gap.
        name: of the values, with their unit.
        band: low and high ends of what is expected at each time.
        threshold: beyond it a value is an anomaly.
        marks: anomalies, by severity in colour and shape.
        spans: windows of suppression, learning, versions.
        joined: whether values are joined by a line; not if some in between are not there.
        since, until: ends of the time axis, epoch milliseconds.

    >>> found = values_over_time(
    ...     [0, 1000], [1.0, 9.0], band=([0.5, 0.5], [2.0, 2.0]), threshold=5.0,
    ...     marks=[Mark(1000, 9.0, "high", "t-0-1")], spans=[Span(0, None, "version 1")])
    >>> [trace.name for trace in found.data]
    ['expected', 'expected', '\u2068score\u2069', 'threshold', 'high']
    >>> found.data[4].marker.symbol, list(found.data[4].customdata)
    ('diamond', [['t-0-1', '\u2068\u2069']])
    >>> found.layout.annotations[0].text
    '\u2068version 1\u2069'
    """
    colours = PALETTES[theme]
    at = stamps(times)
    data: list[dict[str, Any]] = []
    if band is not None:
        data += _band(at, band, colours)
    mode = "lines+markers" if joined else "markers"
    data.append(
        {
            "type": "scatter",
            "mode": "lines" if joined and len(times) > 200 else mode,
            "name": shown(name),
            "x": at,
            "y": list(values),
            "line": {"color": colours.line, "width": 1.5},
            "marker": {"size": 4, "color": colours.line, "opacity": 1 if joined else 0.65},
            "hovertemplate": "%{y:.4~g}<br>%{x|%Y-%m-%d %H:%M:%S}<extra></extra>",
        }
    )
    if threshold is not None:
        ends = [min(times, default=0), max(times, default=0)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "threshold",
                "x": stamps(
                    [ends[0] if since is None else since, ends[1] if until is None else until]
                ),
                "y": [threshold, threshold],
                "line": {"color": colours.threshold, "width": 1.5, "dash": "dash"},
                "hovertemplate": "threshold %{y:.4~g}<extra></extra>",
            }
        )
    data += _marks(marks, colours)
    begin = times[0] if since is None and len(times) else since
    end = times[-1] if until is None and len(times) else until
    reach = None if begin is None or end is None else (begin, end)
    shapes, notes = shades(spans, colours, reach)
    return figure(
        data,
        theme,
        f"{name} over time: {len(times)} values, {len(marks)} anomalies",
        {
            "height": 320,
            "margin": {"l": 56, "r": 16, "t": 16 if not spans else 32, "b": 40},
            "hovermode": "closest",
            "shapes": shapes,
            "annotations": notes,
            "xaxis": time_axis(since, until) | {"fixedrange": False},
            "yaxis": {"title": {"text": shown(name, 60)}},
        },
    )


def contributions(
    names: Sequence[str], shares: Sequence[float], *, theme: Theme = "light"
) -> Figure:
    """How much each feature had to do with an anomaly, the largest on top.

    Args:
        shares: as many as names; larger is more.

    >>> found = contributions(["cpu", "memory"], [0.2, 0.8])
    >>> list(found.data[0].x), list(found.layout.yaxis.ticktext)
    ([0.8, 0.2], ['\u2068memory\u2069', '\u2068cpu\u2069'])
    """
    return bars(names, shares, "contribution", theme)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    title: str,
    theme: Theme,
    deviations: Sequence[float] | None = None,
) -> Figure:
    """Bars from left to right, the largest on top."""
    colours = PALETTES[theme]
    order = sorted(range(len(names)), key=lambda place: -values[place])
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(order))),
        "x": [values[place] for place in order],
        "marker": {"color": colours.line},
        "customdata": [shown(names[place]) for place in order],
        "hovertemplate": "%{customdata}: %{x:.3~f}<extra></extra>",
    }
    if deviations is not None:
        errors = [deviations[place] for place in order]
        trace["error_x"] = {"type": "data", "array": errors, "color": colours.muted}
    return figure(
        [trace],
        theme,
        f"{title}: " + ", ".join(f"{names[place]} {values[place]:.2f}" for place in order[:5]),
        {
            "height": 56 + 24 * max(1, len(order)),
            "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
            "yaxis": {
                "tickmode": "array",
                "tickvals": list(range(len(order))),
                "ticktext": [shown(names[place], 28) for place in order],
                "range": [len(order) - 0.5, -0.5],
                "showgrid": False,
            },
        },
    )


def learning_progress(seen: int, needed: int, *, theme: Theme = "light") -> Figure:
    """A bar of how many of the samples that training needs are there.

    >>> found = learning_progress(50, 200)
    >>> found.data[0].x[0], found.layout.meta["alt"]
    (50, 'Learning: 50 of 200 samples')
    """
    colours = PALETTES[theme]
    most = max(needed, 1)
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [min(seen, most)],
        "y": [0],
        "text": [f"{seen} of {needed}"],
        "textposition": "auto",
        "marker": {"color": colours.line},
        "hoverinfo": "skip",
    }
    return figure(
        [trace],
        theme,
        f"Learning: {seen} of {needed} samples",
        {
            "height": 56,
            "margin": {"l": 8, "r": 8, "t": 4, "b": 20},
            "xaxis": {"range": [0, most], "showgrid": False, "nticks": 5},
            "yaxis": {"visible": False},
            "plot_bgcolor": colours.lane,
        },
    )


def _band(
    at: Sequence[str],
    band: tuple[Sequence[float | None], Sequence[float | None]],
    colours: Palette,
) -> list[dict[str, Any]]:
    edge = {
        "type": "scatter",
        "mode": "lines",
        "name": "expected",
        "x": list(at),
        "line": {"width": 0, "color": colours.line, "shape": "hv"},
        "connectgaps": True,
        "hoverinfo": "skip",
    }
    low, high = band
    return [
        edge | {"y": list(low)},
        edge | {"y": list(high), "fill": "tonexty", "fillcolor": colours.band},
    ]


def _marks(marks: Sequence[Mark], colours: Palette) -> list[dict[str, Any]]:
    found = []
    for name in SEVERITIES:
        own = [mark for mark in marks if mark.severity == name]
        if own:
            symbols = [SHAPES[name] + ("-open" if mark.hollow else "") for mark in own]
            same = len(set(symbols)) == 1
            found.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": stamps(mark.at for mark in own),
                    "y": [mark.value for mark in own],
                    "customdata": [[mark.key, shown(mark.note)] for mark in own],
                    "marker": {
                        "symbol": symbols[0] if same else symbols,
                        "size": 11 if len(marks) <= 150 else 8,
                        "color": colours.of(name),
                        "line": {"width": 1, "color": colours.paper},
                    },
                    "hovertemplate": name
                    + " %{y:.4~g}<br>%{x|%Y-%m-%d %H:%M:%S}<br>%{customdata[1]}<extra></extra>",
                }
            )
    return found
