"""What all charts share: text, times, the frame around them, and shaded spans."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from console.figures.palette import PALETTES, Palette, Theme, variables
from processor.text.escaping import printable, shortened

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
LABEL = 28
"""Characters of a name beside an axis."""

LATE = 0.15
"""Names in this last share of an axis would be cut at its right end."""

SpanKind = Literal["suppression", "learning", "version", "shift"]


@dataclass(frozen=True)
class Span:
    """A stretch of time that is shaded, or a moment that is a dashed line.

    Attributes:
        begin: epoch milliseconds.
        end: epoch milliseconds; None for a moment.
        name: what is written at it.
    """

    begin: int
    end: int | None
    name: str
    kind: SpanKind = "version"


def shown(text: str, most: int = 300) -> str:
    r"""Text as Plotly shows it: as it is, whatever it holds.

    Plotly takes some HTML in labels, so this is escaped; an isolate keeps text that is written
    from right to left from turning what stands beside it.

    >>> shown("<b>pump</b>")
    '\u2068&lt;b&gt;pump&lt;/b&gt;\u2069'
    """
    return f"\u2068{html.escape(printable(shortened(text, most)), quote=False)}\u2069"


def stamp(ms: int | float) -> str:
    """Epoch milliseconds as Plotly's date axes take them, in UTC.

    >>> stamp(1_800_000_000_000)
    '2027-01-15 08:00:00.000'
    """
    told = datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    return told.removesuffix("+00:00")


def stamps(times: Iterable[int | float]) -> list[str]:
    """The same of several times."""
    return [stamp(ms) for ms in times]


def figure(
    data: Sequence[Mapping[str, Any]],
    theme: Theme,
    alt: str,
    layout: Mapping[str, Any] | None = None,
) -> Figure:
    """A figure in the frame that all have.

    Args:
        alt: a sentence for those who do not see it; pages make it the chart's label.
        layout: what differs; dicts of axes are added to those of the frame.
    """
    # Here, not above: the console need not wait until plotly is imported, nor hold it in memory.
    # Plotly looks pandas up in sys.modules at each value, and fails while another thread is half
    # way through its import, as scikit-learn's first use in a thread is: this waits for its end.
    # Where nothing else imports it, it is left out: with pyarrow it takes 60 MB.
    if "pandas" in sys.modules:
        with suppress(ImportError):
            import_module("pandas")
    from plotly.graph_objects import Figure

    colours = PALETTES[theme]
    own = dict(layout or {})
    frame: dict[str, Any] = {
        "font": {"family": FONT, "size": 12, "color": colours.text},
        "paper_bgcolor": colours.paper,
        "plot_bgcolor": colours.paper,
        "margin": {"l": 56, "r": 16, "t": 16, "b": 40},
        "height": 260,
        "showlegend": False,
        "hoverlabel": {
            "bgcolor": colours.paper,
            "bordercolor": colours.muted,
            "font": {"color": colours.text, "family": FONT},
            "align": "left",
        },
        "meta": {"alt": printable(alt)},
        "xaxis": _axis(colours) | own.pop("xaxis", {}),
        "yaxis": _axis(colours) | own.pop("yaxis", {}),
        "template": "none",
    }
    try:
        return Figure(data=[dict(trace) for trace in data], layout=frame | own)
    except AttributeError:
        # Another thread began to import pandas after the look above.
        if "pandas" not in sys.modules:
            raise
        import_module("pandas")
        return Figure(data=[dict(trace) for trace in data], layout=frame | own)


def time_axis(begin: int | None = None, end: int | None = None) -> dict[str, Any]:
    """An axis of times in UTC."""
    axis: dict[str, Any] = {"type": "date", "ticklabeloverflow": "hide past div", "nticks": 8}
    if begin is not None and end is not None:
        axis["range"] = [stamp(begin), stamp(end)]
    return axis


def shades(
    spans: Sequence[Span], colours: Palette, reach: tuple[int, int] | None = None
) -> tuple[list[Any], list[Any]]:
    """Spans as shapes and annotations of a layout.

    Args:
        reach: ends of the axis, epoch milliseconds; names near its right end stand left of their
            lines, where they are not cut.

    >>> shapes, notes = shades([Span(0, 1000, "window", "suppression")], PALETTES["light"])
    >>> shapes[0]["type"], notes[0]["text"]
    ('rect', '\u2068window\u2069')
    >>> late = shades([Span(950, None, "version 2", "version")], PALETTES["light"], (0, 1000))
    >>> late[1][0]["xanchor"], notes[0]["xanchor"]
    ('right', 'left')
    """
    shapes: list[Any] = []
    notes: list[Any] = []
    versions = 0
    for place, span in enumerate(spans):
        begin = stamp(span.begin)
        late = reach is not None and span.begin > reach[1] - LATE * (reach[1] - reach[0])
        across = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        # Versions follow one another: every other one is shaded.
        versions += span.kind == "version"
        if span.end is not None and (span.kind != "version" or versions % 2):
            fill = colours.lane if span.kind == "version" else colours.of(span.kind)
            ends = {"x0": begin, "x1": stamp(span.end)}
            rect = {"type": "rect", **ends, "fillcolor": fill, "line": {"width": 0}}
            shapes.append(rect | across)
        if span.end is None or span.kind == "version":
            line = {"color": colours.of(span.kind), "width": 1, "dash": "dot"}
            shapes.append({"type": "line", "x0": begin, "x1": begin, "line": line} | across)
        notes.append(
            {
                "x": begin,
                "y": 1,
                # Names of neighbours stand on two lines, above what is drawn.
                "yshift": 13 * (place % 2),
                "xref": "x",
                "yref": "paper",
                "text": shown(span.name, LABEL),
                "showarrow": False,
                "xanchor": "right" if late else "left",
                "yanchor": "bottom",
                "font": {"size": 10, "color": colours.muted},
            }
        )
    return shapes, notes


def for_page(found: Figure) -> dict[str, Any]:
    """A figure as the pages' script draws it: colours are custom properties, the ground is theirs.

    >>> found = figure([{"type": "bar", "y": [1]}], "light", "One bar")
    >>> for_page(found)["layout"]["xaxis"]["gridcolor"]
    'var(--chart-grid)'
    """
    plain = found.to_plotly_json()
    layout = {
        name: value
        for name, value in plain["layout"].items()
        if name not in ("paper_bgcolor", "plot_bgcolor", "template")
    }
    layout["font"] = {"size": 12, "color": layout["font"]["color"]}
    layout["hoverlabel"] = {"align": "left"}
    told = _recoloured({"data": plain["data"], "layout": layout}, variables())
    assert isinstance(told, dict)  # noqa: S101  (it was one)
    return told


def _recoloured(value: Any, colours: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return colours.get(value, value)
    if isinstance(value, dict):
        return {name: _recoloured(each, colours) for name, each in value.items()}
    if isinstance(value, list | tuple):
        # Numbers are the bulk of a figure, and none of them is a colour.
        if value and isinstance(value[0], int | float) and isinstance(value[-1], int | float):
            return list(value)
        return [_recoloured(each, colours) for each in value]
    return value


def _axis(colours: Palette) -> dict[str, Any]:
    return {
        "gridcolor": colours.grid,
        "zerolinecolor": colours.grid,
        "linecolor": colours.grid,
        "tickfont": {"color": colours.muted, "size": 11},
        "title": {"font": {"color": colours.muted, "size": 11}},
        "automargin": True,
        "fixedrange": True,
    }
