"""Tracing: the trace context of a record, carried to what comes of it (W3C Trace Context)."""

from __future__ import annotations

import re

from processor.records import Headers

TRACEPARENT = "traceparent"

# Version, trace id, parent id and flags; what a later version adds follows after another dash.
_FORM = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"(?:-[!-~]{1,200})?"
)


def traceparent(headers: Headers) -> Headers:
    """The header ``traceparent`` of a record where it is well formed, else nothing.

    Of several the last counts, as for Java's ``lastHeader``. One that is malformed is left out: the
    specification has whoever receives it begin a trace of his own.
    """
    for name, value in reversed(headers):
        if name == TRACEPARENT:
            return ((name, value),) if value is not None and _FORM.fullmatch(value) else ()
    return ()
