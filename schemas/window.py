"""`behavior` windows that are plainly valid, in one pass over their bytes.

``BehaviorTelemetry`` says what a window is. This decoder takes the usual ones only: all names in
camelCase, none that is unknown, a time of observation in milliseconds. What it takes is valid, and
means the same; a property test holds both to that. What it does not take has to be looked at again.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from schemas.base import MAX_EPOCH_MS

# orjson, before pydantic, reads larger ones as floats, which are no integers.
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Part(Struct, forbid_unknown_fields=True, gc=False):
    """What all have in common; without references to one another none needs to be collected."""


class Size(Part):
    width: float
    height: float


class Key(Part, rename={"down_time": "downTime", "up_time": "upTime"}):
    code: str
    down_time: float
    up_time: float | None = None


class Point(Part):
    t: float
    x: float
    y: float


class Press(Part):
    t: float
    x: float
    y: float
    button: Integer | None = None
    duration: float | None = None


class Scroll(Part):
    t: float
    dy: float


class Focus(Part):
    type: str
    t: float


class Window(
    Part,
    rename={
        "start_timestamp": "startTimestamp",
        "end_timestamp": "endTimestamp",
        "window_size": "windowSize",
        "key_events": "keyEvents",
        "mouse_paths": "mousePaths",
        "scroll_events": "scrollEvents",
        "focus_changes": "focusChanges",
    },
):
    """A window with the names of ``BehaviorTelemetry``."""

    start_timestamp: float
    end_timestamp: float
    window_size: Size | None = None
    key_events: list[Key] | None = None
    mouse_paths: list[list[Point]] | None = None
    clicks: list[Press] | None = None
    scroll_events: list[Scroll] | None = None
    focus_changes: list[Focus] | None = None
    profile_id: str | None = None
    kind: str | None = None
    observed_at: Annotated[int, Meta(ge=0, le=MAX_EPOCH_MS)] | None = None


_DECODER: Final = msgspec.json.Decoder(Window)


def plain_window(raw: bytes) -> Window | None:
    """The window that the bytes plainly hold; None where they have to be looked at again."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
