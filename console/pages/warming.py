"""What the first request of each page would otherwise wait for: routes, templates, Plotly."""

from __future__ import annotations

from fastapi import FastAPI

from console.figures import Lane, anomalies_over_time, for_page, swim_lanes, values_over_time
from console.pages.rendering import environment


def warm_routes(app: FastAPI) -> None:
    """Have FastAPI read the signatures of all endpoints: it does so at the first match."""
    path = "/no-route-has-this-path"
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(scope)


def warm_pages() -> None:
    """Compile the templates, and draw a figure of each sort, which imports what draws it."""
    for name in environment.list_templates():
        environment.get_template(name)
    lane = Lane("warm", ["low"], [0.5], [1])
    for_page(swim_lanes([0], 60_000, lane, [lane]))
    for_page(anomalies_over_time([0], 60_000, {"low": [1]}))
    for_page(values_over_time([0], [1.0]))
