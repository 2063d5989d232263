"""Structured logs: readable on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from processor.text.escaping import escaped, named, printable, shortened

LONGEST_TEXT = 2000
"""Characters of a text in a log line; a role that lacks permissions names all of them."""

LONGEST_TRACEBACK = 20_000


def configure(log_format: str | None, level: str, stream: TextIO | None = None) -> None:
    """Set up logging of the process to a stream, standard error by default."""
    chosen = log_format or ("console" if sys.stderr.isatty() else "json")
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if chosen == "console"
        else structlog.processors.JSONRenderer(_json, sort_keys=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            safe,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def safe(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Have no text of a line hold control characters or a profile's id in a path, or be too long.

    What is no text is shown by its ``repr``, which escapes for itself.
    """
    for name, value in event.items():
        if name == "exception":
            lines = shortened(value, LONGEST_TRACEBACK).split("\n")
            event[name] = "\n".join(map(printable, lines))
        elif isinstance(value, str):
            event[name] = named(value, LONGEST_TEXT)
    return event


def _json(event: Any, **options: Any) -> str:
    return escaped(json.dumps(event, **options).encode()).decode()


def logger(role: str) -> Any:
    """The logger of a role."""
    return structlog.get_logger().bind(role=role)
