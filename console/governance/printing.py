"""A report as a page that prints well: no scripts, no files beside it."""

from __future__ import annotations

from typing import Any

from fastapi.responses import Response

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
TITLES = {
    "bias": "Bias analysis",
    "explanation": "Explanation",
    "compliance": "Compliance: a self-assessment",
    "monitoring": "Monitoring",
}


def metrics_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of a bias analysis, in the order of the answer."""
    return [held for held in body.values() if isinstance(held, dict) and "threshold" in held]


def page(row: dict[str, Any], body: dict[str, Any]) -> Response:
    """The page of a report."""
    # Here, not above: the templates are the pages' own room.
    from console.pages.rendering import environment

    text = environment.get_template("report_print.html").render(
        row=row, body=body, metrics=metrics_of(body), title=TITLES[row["type"]]
    )
    return Response(text, 200, HEADERS, media_type="text/html; charset=utf-8")
