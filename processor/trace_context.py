"""Tracing: the trace of a record (W3C Trace Context), and where ingest took its data from."""

from __future__ import annotations

import re

from processor.records import Headers

TRACEPARENT = "traceparent"
SOURCE = "telltale.source"
"""Header of telemetry that ingest wrote: topic-partition-offset of the original record."""

# Version, trace id, parent id and flags; what a later version adds follows after another dash.
_FORM = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"(?:-[!-~]{1,200})?"
)


def traceparent(headers: Headers) -> Headers:
    """The header ``traceparent`` of a record if it is well formed, else nothing.

    Of several the last counts, as for Java's ``lastHeader``. One that is malformed is left out: the
    specification has whoever receives it begin a trace of his own.
    """
    for name, value in reversed(headers):
        if name == TRACEPARENT:
            return ((name, value),) if value is not None and _FORM.fullmatch(value) else ()
    return ()


_PLACE = re.compile(rb"[A-Za-z0-9._-]{1,249}-[0-9]{1,10}-[0-9]{1,19}")


def source_of(headers: Headers) -> str | None:
    """The original record of telemetry that ingest wrote, as topic-partition-offset, else None.

    Of several headers the last counts; one that names no record is passed over, as anybody may
    write it.
    """
    for name, value in reversed(headers):
        if name == SOURCE:
            return value.decode() if value is not None and _PLACE.fullmatch(value) else None
    return None
