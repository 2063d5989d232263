"""What goes wrong, as RFC 9457 problems: never a traceback, always the request's id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from starlette.exceptions import HTTPException

from console.requests import TooLarge, request_id_of

MEDIA_TYPE = "application/problem+json"
TYPES = "/problems/"
"""Problems are named by relative references; docs/console.md says what each means."""


_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": [TYPES + "not_found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "request_id": {"type": "string", "description": "By which the log knows the request."},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
STATUSES = (400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 429, 503)
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
    }
    for status in STATUSES
}
"""What any endpoint may answer instead, for OpenAPI."""


class Problem(Exception):
    """Why a request is not answered as it was wished.

    Args:
        name: a short stable word, the end of the problem's ``type``.
        detail: a sentence for people.
        more: fields beside.
    """

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem as JSON has it."""
        return {
            "type": TYPES + self.name,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.more,
        }


def unauthorized(detail: str) -> Problem:
    """401: who asks is not known."""
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def not_found(detail: str) -> Problem:
    """404: there is no such thing, or it is another organisation's."""
    return Problem(404, "not_found", detail)


def answer(request: Request, problem: Problem) -> Response:
    """A problem as an answer."""
    return JSONResponse(
        problem.body(request_id_of(request)),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def register(app: FastAPI, answer: Callable[[Request, Problem], Response] = answer) -> None:
    """Have every error of an application answered as a problem.

    Args:
        answer: makes an answer of it; the pages' own is a page, where a browser asks for one.
    """

    @app.exception_handler(Problem)
    def _problem(request: Request, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        found = [
            {"field": ".".join(map(str, item["loc"])), "detail": str(item["msg"])}
            for item in error.errors()[:20]
        ]
        detail = "; ".join(f"{item['field']}: {item['detail']}" for item in found[:3])
        return answer(request, Problem(422, "invalid_request", detail, errors=found))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        name = "too_large" if isinstance(error, TooLarge) else phrase
        problem = Problem(error.status_code, name, str(error.detail), headers=error.headers)
        return answer(request, problem)

    @app.exception_handler(DataError)
    @app.exception_handler(OverflowError)
    @app.exception_handler(UnicodeEncodeError)
    def _unstorable(request: Request, _: Exception) -> Response:
        detail = "the request holds a text or a number that no store takes"
        return answer(request, Problem(422, "invalid_request", detail))

    @app.exception_handler(DBAPIError)
    def _store(request: Request, error: DBAPIError) -> Response:
        # A store that is away, or busy for too long; the request may be sent again.
        if not isinstance(error, OperationalError):
            raise error
        again = {"Retry-After": "2"}
        return answer(
            request, Problem(503, "store_unavailable", "the store does not answer", headers=again)
        )


def failed(request: Request) -> Response:
    """The answer to what went wrong here; it does not say what."""
    detail = "something went wrong here; the log has it under this request_id"
    return answer(request, Problem(500, "internal", detail))
