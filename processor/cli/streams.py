"""Standard output and error whose reader has gone (``telltale tail | head -1``).

The command does what it was asked all the same, and its exit code is that of the work: what nobody
reads is dropped, and is no error, not even when the interpreter flushes at its end.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO


class Unread(io.FileIO):
    """A descriptor for writing; once its reader has gone, all that is written goes nowhere."""

    gone = False

    def write(self, data: Any) -> int:
        """Write as FileIO does, or drop everything."""
        try:
            return super().write(data)
        except BrokenPipeError:
            self.gone = True
            # Whoever else writes to the descriptor, such as librdkafka, is to meet no error either.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def guard() -> None:
    """Have standard output and error of this process bear that nobody reads them."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def reader_gone() -> bool:
    """Whether nobody reads standard output any more; known as soon as a pipe's reader closes it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, Unread):
        return False
    if not raw.gone:
        asked = select.poll()
        # Without events to wait for, only what is wrong with the descriptor is told.
        asked.register(raw.fileno(), 0)
        raw.gone = bool(asked.poll(0))
    return raw.gone


def _guarded(stream: TextIO | None) -> TextIO:
    if stream is None:
        # It was closed before the start (``>&-``).
        return open(os.devnull, "w", encoding="utf-8")
    return io.TextIOWrapper(
        io.BufferedWriter(Unread(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        # A terminal of a smaller character set is no reason to fail.
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
