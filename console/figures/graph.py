"""A model as a graph: what leads to its verdict, and how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from console.figures.frame import figure, shown
from console.figures.palette import PALETTES, Theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def model_graph(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    *,
    theme: Theme = "light",
) -> Figure:
    """A model as nodes in layers and edges between them, thicker where their weight is larger.

    Args:
        nodes: ``id`` and ``label``; ``layer`` from 0, else the longest way from a source.
        edges: ``source``, ``target``, and ``weight`` 0 to 1 if known.

    >>> nodes = [{"id": "a", "label": "cpu"}, {"id": "b", "label": "verdict"}]
    >>> found = model_graph(nodes, [{"source": "a", "target": "b", "weight": 1}])
    >>> list(found.data[-1].x), found.data[0].line.width
    ([0, 1], 6.0)
    """
    colours = PALETTES[theme]
    places = _places(nodes, edges)
    data: list[dict[str, Any]] = []
    for edge in edges:
        begin, end = places.get(edge["source"]), places.get(edge["target"])
        if begin is None or end is None:
            continue
        weight = edge.get("weight")
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [begin[0], end[0]],
                "y": [begin[1], end[1]],
                "line": {
                    "color": colours.muted,
                    "width": 1.0 + 5.0 * min(1.0, max(0.0, float(weight or 0))),
                },
                "opacity": 0.6,
                "hoverinfo": "skip",
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [places[node["id"]][0] for node in nodes],
            "y": [places[node["id"]][1] for node in nodes],
            "text": [shown(str(node.get("label", node["id"])), 24) for node in nodes],
            "textposition": "top center",
            "textfont": {"color": colours.text, "size": 11},
            "marker": {"size": 14, "color": colours.line},
            "customdata": [shown(str(node.get("label", node["id"]))) for node in nodes],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    )
    layers: dict[float, int] = {}
    for layer, _ in places.values():
        layers[layer] = layers.get(layer, 0) + 1
    hidden = {"visible": False}
    return figure(
        data,
        theme,
        f"Graph of the model: {len(nodes)} nodes, {len(edges)} edges",
        {
            "height": max(240, 44 * max(layers.values(), default=1)),
            "xaxis": hidden | {"range": [-0.4, max(layers, default=0) + 0.4]},
            "yaxis": hidden | {"range": [-0.15, 1.15]},
        },
    )


def _places(
    nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]
) -> dict[Any, tuple[int, float]]:
    """Where each node stands: its layer, and 0 to 1 within it."""
    layer = {node["id"]: int(node.get("layer", 0)) for node in nodes}
    if not any("layer" in node for node in nodes):
        # As often as a way can be long: then a circle, which no model has, ends as well.
        for _ in range(len(nodes)):
            for edge in edges:
                source, target = edge["source"], edge["target"]
                if source in layer and target in layer:
                    layer[target] = max(layer[target], min(layer[source] + 1, len(nodes)))
    rows: dict[int, list[Any]] = {}
    for name, number in layer.items():
        rows.setdefault(number, []).append(name)
    return {
        name: (number, 1 - (place + 0.5) / len(own))
        for number, own in rows.items()
        for place, name in enumerate(own)
    }
