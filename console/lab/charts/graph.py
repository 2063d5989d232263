"""A model as a graph: what it looks at, what it is made of, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

COLOURS: Final = {
    "feature": "#4682B4",
    "part": "#F4A460",
    "split": "#F4A460",
    "layer": "#F4A460",
    "threshold": "#8A6FB0",
    "verdict": "#3C8D5A",
    "leaf": "#3C8D5A",
}
MOST_FEATURES: Final = 40
MOST_NODES: Final = 127
MOST_UNITS: Final = 12
"""Of a layer, those with the largest weights."""


class Graph:
    """Nodes and edges, added one after the other."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []

    def node(self, name: str, label: str, kind: str) -> str:
        """Add a node; its id."""
        self.nodes.append({"id": name, "label": label, "type": kind, "color": COLOURS[kind]})
        return name

    def edge(self, begin: str, end: str, weight: float | None) -> None:
        """Add an edge; its weight is 0 to 1, or null if it has no meaning."""
        self.edges.append({"from": begin, "to": end, "weight": weight})

    def shown(self) -> dict[str, Any]:
        """As the API has it."""
        return {"nodes": self.nodes, "edges": self.edges}


def of_detector(
    detector: str, features: Sequence[str], weights: dict[str, float], parts: Sequence[str]
) -> dict[str, Any]:
    """A detector: features → parts → their mean → threshold → verdict.

    Args:
        weights: mean contribution of each feature to alerts, if there were any.
        parts: of a blend; none of others.
    """
    graph = Graph()
    named = sorted(features, key=lambda name: -weights.get(name, 0.0))[:MOST_FEATURES]
    own = [graph.node(f"part:{name}", name, "part") for name in (parts or (detector,))]
    for name in named:
        graph.node(f"feature:{name}", name, "feature")
        for part in own:
            graph.edge(f"feature:{name}", part, weights.get(name))
    last = own[0]
    if len(own) > 1:
        last = graph.node("mean", "mean", "part")
        for part in own:
            graph.edge(part, last, 1 / len(own))
    graph.node("threshold", "threshold", "threshold")
    graph.node("verdict", "verdict", "verdict")
    graph.edge(last, "threshold", 1.0)
    graph.edge("threshold", "verdict", 1.0)
    return graph.shown()


def of_estimator(model: Any, features: Sequence[str]) -> dict[str, Any]:
    """A model of scikit-learn: one tree of a forest, the layers of a network, a weighted sum."""
    steps = getattr(model, "steps", None)
    last = model if steps is None else steps[-1][1]
    if hasattr(last, "estimators_"):
        return _tree(last.estimators_[0].tree_, features)
    if hasattr(last, "tree_"):
        return _tree(last.tree_, features)
    if hasattr(last, "coefs_"):
        return _layers(last.coefs_, features)
    if hasattr(last, "coef_"):
        return _sum(last.coef_[0], features)
    return of_detector(type(last).__name__, features, {}, ())


def _tree(tree: Any, features: Sequence[str]) -> dict[str, Any]:
    graph, whole = Graph(), float(tree.weighted_n_node_samples[0])
    queue, shown = [0], 0
    while queue and shown < MOST_NODES:
        at = queue.pop(0)
        shown += 1
        left, right = int(tree.children_left[at]), int(tree.children_right[at])
        if left < 0:
            graph.node(f"n{at}", f"{int(tree.n_node_samples[at])} samples", "leaf")
            continue
        name = features[tree.feature[at]]
        graph.node(f"n{at}", f"{name} ≤ {tree.threshold[at]:.3g}", "split")
        queue += [left, right]
    known = {node["id"] for node in graph.nodes}
    for node in list(graph.nodes):
        at = int(node["id"][1:])
        for child in (int(tree.children_left[at]), int(tree.children_right[at])):
            if child >= 0 and f"n{child}" in known:
                share = float(tree.weighted_n_node_samples[child]) / whole
                graph.edge(f"n{at}", f"n{child}", share)
    return graph.shown()


def _layers(coefficients: Sequence[Any], features: Sequence[str]) -> dict[str, Any]:
    graph = Graph()
    largest = max(float(abs(each).max()) for each in coefficients) or 1.0
    kept: list[int] = list(range(min(len(features), MOST_FEATURES)))
    for place in kept:
        graph.node(f"l0:{place}", features[place], "feature")
    for number, matrix in enumerate(coefficients, start=1):
        strength = abs(matrix).sum(axis=0)
        chosen = sorted(range(matrix.shape[1]), key=lambda unit: -strength[unit])[:MOST_UNITS]
        last = number == len(coefficients)
        for unit in chosen:
            label = "confirmed" if last else f"unit {unit + 1}"
            graph.node(f"l{number}:{unit}", label, "verdict" if last else "layer")
            for before in kept:
                weight = float(abs(matrix[before, unit])) / largest
                graph.edge(f"l{number - 1}:{before}", f"l{number}:{unit}", weight)
        kept = chosen
    return graph.shown()


def _sum(weights: Any, features: Sequence[str]) -> dict[str, Any]:
    graph = Graph()
    largest = float(abs(weights).max()) or 1.0
    for name, weight in zip(features, weights, strict=True):
        graph.node(f"feature:{name}", name, "feature")
        graph.edge(f"feature:{name}", "sum", abs(float(weight)) / largest)
    graph.node("sum", "weighted sum", "part")
    graph.node("verdict", "confirmed", "verdict")
    graph.edge("sum", "verdict", 1.0)
    return graph.shown()
