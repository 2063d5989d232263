"""Charts of classifiers and training: ROC, confusion, importance, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from console.figures.frame import figure, shown
from console.figures.palette import PALETTES, Theme
from console.figures.profile import bars

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

DASHES = ("solid", "dash", "dot", "dashdot")


def roc_curve(
    fpr: Sequence[float],
    tpr: Sequence[float],
    auc: float | None,
    *,
    interval: tuple[float, float] | None = None,
    band: tuple[Sequence[float], Sequence[float]] | None = None,
    theme: Theme = "light",
) -> Figure:
    """True against false alarms at every threshold.

    Args:
        fpr, tpr: shares 0 to 1, in the order of the thresholds.
        interval: low and high end of the area.
        band: low and high tpr at each fpr.

    >>> found = roc_curve([0, 0, 1], [0, 1, 1], 1.0, interval=(0.9, 1.0))
    >>> found.layout.meta["alt"]
    'ROC: area 1.000 (0.900 to 1.000)'
    """
    colours = PALETTES[theme]
    area = "no area" if auc is None else f"area {auc:.3f}"
    told = area if interval is None else f"{area} ({interval[0]:.3f} to {interval[1]:.3f})"
    data: list[dict[str, Any]] = []
    if band is not None:
        edge: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": list(fpr)}
        edge |= {"hoverinfo": "skip", "line": {"width": 0, "color": colours.line}}
        data.append(edge | {"y": list(band[0])})
        data.append(edge | {"y": list(band[1]), "fill": "tonexty", "fillcolor": colours.band})
    data += [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "chance",
            "x": [0, 1],
            "y": [0, 1],
            "line": {"color": colours.muted, "width": 1, "dash": "dash"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "ROC",
            "x": list(fpr),
            "y": list(tpr),
            "line": {"color": colours.line, "width": 2, "shape": "linear"},
            "hovertemplate": "true alarms %{y:.1%} at false alarms %{x:.1%}<extra></extra>",
        },
    ]
    return figure(
        data,
        theme,
        f"ROC: {told}",
        {
            "height": 340,
            "xaxis": {"title": {"text": "false alarms"}, "range": [0, 1], "tickformat": ".0%"},
            "yaxis": {"title": {"text": "true alarms"}, "range": [0, 1.02], "tickformat": ".0%"},
            "annotations": [_note(told, 0.98, 0.06, colours.text)],
        },
    )


def confusion_matrix(
    matrix: Sequence[Sequence[float]],
    *,
    rows: Sequence[str] = ("normal", "anomaly"),
    columns: Sequence[str] = ("not alarmed", "alarmed"),
    theme: Theme = "light",
) -> Figure:
    """What is true (rows) against what was said (columns), with shares of each row.

    >>> found = confusion_matrix([[90, 10], [1, 9]])
    >>> [list(row) for row in found.data[0].text]
    [['90<br>90.0 %', '10<br>10.0 %'], ['1<br>10.0 %', '9<br>90.0 %']]
    """
    colours = PALETTES[theme]
    shares = [[value / (sum(row) or 1) for value in row] for row in matrix]
    texts = [
        [f"{value:g}<br>{100 * share:.1f} %" for value, share in zip(row, own, strict=True)]
        for row, own in zip(matrix, shares, strict=True)
    ]
    trace = {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        # Its darkest is a tint: the text on it keeps its contrast.
        "colorscale": [[0, colours.lane], [1, colours.band]],
        "showscale": False,
        "xgap": 3,
        "ygap": 3,
        "text": texts,
        "texttemplate": "%{text}",
        "textfont": {"size": 14, "color": colours.text},
        "hoverinfo": "skip",
    }
    said = "; ".join(
        f"{row}: " + ", ".join(f"{n:g} {c}" for n, c in zip(own, columns, strict=True))
        for row, own in zip(rows, matrix, strict=True)
    )
    return figure(
        [trace],
        theme,
        f"Confusion matrix: {said}",
        {
            "height": 300,
            "xaxis": _categories(columns) | {"title": {"text": "said"}, "side": "bottom"},
            "yaxis": _categories(rows)
            | {"title": {"text": "true"}, "range": [len(rows) - 0.5, -0.5]},
        },
    )


def feature_importance(
    names: Sequence[str],
    values: Sequence[float],
    *,
    deviations: Sequence[float] | None = None,
    most: int = 20,
    theme: Theme = "light",
) -> Figure:
    """The features that matter most, the largest on top.

    Args:
        deviations: standard deviation of each value.
        most: so many are shown.

    >>> list(feature_importance(["a", "b", "c"], [0.1, 0.7, 0.2], most=2).data[0].x)
    [0.7, 0.2]
    """
    order = sorted(range(len(names)), key=lambda place: -values[place])[:most]
    own = None if deviations is None else [deviations[place] for place in order]
    return bars(
        [names[place] for place in order],
        [values[place] for place in order],
        "importance",
        theme,
        own,
    )


def training_history(
    epochs: Sequence[int],
    series: Mapping[str, Sequence[float | None]],
    *,
    theme: Theme = "light",
) -> Figure:
    """Loss and accuracy by epoch; shares (accuracy) have an axis of their own.

    Args:
        series: name → a value for each epoch; names with ``accuracy`` are shares 0 to 1.

    >>> found = training_history([1, 2], {"loss": [0.7, 0.5], "val_accuracy": [0.8, None]})
    >>> [(line.name, line.yaxis) for line in found.data]
    [('\u2068loss\u2069', 'y'), ('\u2068val_accuracy\u2069', 'y2')]
    """
    colours = PALETTES[theme]
    data = []
    for name, values in series.items():
        share = "accuracy" in name
        same = [each for each in series if ("accuracy" in each) == share]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": shown(name),
                "x": list(epochs),
                "y": list(values),
                "yaxis": "y2" if share else "y",
                "line": {
                    "color": colours.second if share else colours.line,
                    "dash": DASHES[same.index(name) % len(DASHES)],
                    "width": 2,
                },
                "marker": {"size": 4},
                "customdata": [shown(name)] * len(epochs),
                "hovertemplate": "%{customdata} %{y:.4~g}, epoch %{x}<extra></extra>",
            }
        )
    axis = {"overlaying": "y", "side": "right", "range": [0, 1.02], "tickformat": ".0%"}
    return figure(
        data,
        theme,
        f"Training: {len(epochs)} epochs of {', '.join(series)}",
        {
            "height": 300,
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "margin": {"l": 56, "r": 56, "t": 36, "b": 40},
            "xaxis": {"title": {"text": "epoch"}, "showgrid": False},
            "yaxis": {"title": {"text": "loss"}, "rangemode": "tozero"},
            "yaxis2": axis | {"showgrid": False, "tickfont": {"color": colours.muted, "size": 11}},
        },
    )


def _categories(names: Sequence[str]) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [shown(name, 28) for name in names],
        "showgrid": False,
        "zeroline": False,
    }


def _note(text: str, x: float, y: float, colour: str) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "xanchor": "right", "showarrow": False}
    return {"text": text, "x": x, "y": y, "font": {"size": 13, "color": colour}, **place}
