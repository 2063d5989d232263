"""Templates become pages: what each of them is given, and the headers that it is sent with."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import orjson
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import URL

from console import problems
from console.auth import sessions
from console.auth.permissions import Caller
from console.pages import static_files, words
from console.problems import Problem
from console.requests import request_id_of
from console.services import services

PREFIX = "/ui"
THEME, THEMES = "telltale_theme", ("system", "light", "dark")
"""Cookie that a page's script writes, and what it may say."""

PART = "x-telltale-part"
"""Header of a script that fetches a page for a part of it: errors are problems, not pages."""

NAVIGATION = (
    ("overview", "Overview"),
    ("explorer", "Explorer"),
    ("anomalies", "Anomalies"),
    ("models", "Models"),
    ("jobs", "Jobs"),
    ("data", "Data"),
    ("governance", "Governance"),
    ("dead-letters", "Dead letters"),
    ("settings", "Settings"),
)

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # One address is a page, and an error that a script reads: neither is taken for the other.
    "Vary": "Cookie, Accept",
}


def json_block(value: Any) -> Markup:
    """Data for a `<script type="application/json">`: no text in it ends the element."""
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()
    for sign, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, escaped)
    return Markup(text)  # noqa: S704  (no sign of HTML is left in it)


def profile_path(kind: str, profile_id: str) -> str:
    """The address of a profile's page."""
    return f"{PREFIX}/profiles/{quote(kind, safe='')}/{quote(profile_id, safe='')}"


def model_path(kind: str, profile_id: str, version: int | None = None) -> str:
    """The address of a model's page: the one in force, or a version."""
    name = f"{kind}:{profile_id}" + ("" if version is None else f"@{version}")
    return f"{PREFIX}/models/{quote(name, safe='')}"


def verdict_path(verdict_id: str) -> str:
    """The address of a verdict's page."""
    return f"{PREFIX}/anomalies/{quote(verdict_id, safe='')}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "json_block": json_block,
        "when": words.when,
        "number": words.number,
        "percent": words.percent,
        "reason": words.reason,
        "seen": words.seen,
        "count": words.count,
    }
    made.globals |= {
        "asset": static_files.asset,
        "plotly": static_files.plotly,
        "profile_path": profile_path,
        "model_path": model_path,
        "verdict_path": verdict_path,
        "navigation": NAVIGATION,
        "prefix": PREFIX,
    }
    return made


environment = _environment()


def render(
    request: Request,
    template: str,
    who: Caller | None,
    *,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page.

    Args:
        template: its name under ``templates``, which extends ``base.html``.
        who: who asked; None on pages for everybody, which then have no navigation.
        values: what the template names; a name that is missing is an error.
    """
    console = services(request)
    session = sessions.session_of(request)
    theme = request.cookies.get(THEME, "")
    here = request.url.path.removeprefix(f"{PREFIX}/").partition("/")[0]
    text = environment.get_template(template).render(
        {
            "who": who,
            "here": "explorer" if here == "profiles" else here,
            "theme": theme if theme in THEMES else "system",
            "csrf": "" if session is None else sessions.csrf_of(session),
            "open_to_all": console.open,
            "path": request.url.path,
            "query": request.query_params,
            "with_query": with_query(request.url),
            **values,
        }
    )
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


def with_query(url: URL) -> Any:
    """A function that gives the page's own address with parameters changed; None removes one."""

    def changed(**wanted: Any) -> str:
        held = [pair for pair in parse_qsl(url.query) if pair[0] not in wanted]
        held += [(name, str(each)) for name, each in wanted.items() if each not in (None, "")]
        return f"{url.path}?{urlencode(held)}" if held else url.path

    return changed


def own_path(wanted: str | None) -> str:
    """Where to go after login: a path of these pages, whatever a link says."""
    good = wanted is not None and wanted.startswith(f"{PREFIX}/") and wanted.isprintable()
    if not good or wanted is None or "\\" in wanted or wanted.startswith(f"{PREFIX}/login"):
        return f"{PREFIX}/overview"
    return wanted


def answer(request: Request, problem: Problem) -> Response:
    """A problem as a page where a browser asks for one, else as JSON."""
    browses = "text/html" in request.headers.get("accept", "") and PART not in request.headers
    if not request.url.path.startswith(f"{PREFIX}/") or not browses:
        return problems.answer(request, problem)
    if problem.status == 401 and request.method == "GET":
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(
            f"{PREFIX}/login?{urlencode({'next': own_path(back)})}", 303, HEADERS
        )
    told = problem.body(request_id_of(request))
    made = render(request, "problem.html", None, status=problem.status, problem=told)
    made.headers.update(problem.headers)
    return made


def failed(request: Request) -> Response:
    """What went wrong here, as a page or as JSON; it does not say what."""
    detail = "something went wrong here; the log has it under this request_id"
    return answer(request, Problem(500, "internal", detail))
