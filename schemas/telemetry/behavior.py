"""`telemetry.behavior` on the wire: a window of browser interaction."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AliasChoices, FailFast, Field, with_config
from typing_extensions import TypedDict

from schemas.base import STRICT, Number, Telemetry

# Elements are TypedDicts: pydantic checks them in compiled code and no Python object is made for
# each point of a path. The first wrong element of a list ends its check.


@with_config(STRICT)
class WindowSize(TypedDict):
    """Inner size of the browser window."""

    width: Annotated[Number, Field(description="Width in pixels.")]
    height: Annotated[Number, Field(description="Height in pixels.")]


@with_config(STRICT)
class KeyEvent(TypedDict):
    """A key pressed and released."""

    code: Annotated[str, Field(description="KeyboardEvent.code, as KeyT or Space.")]
    down_time: Annotated[
        Number,
        Field(
            validation_alias=AliasChoices("downTime", "down_time"),
            description="When the key went down, in milliseconds.",
        ),
    ]
    up_time: Annotated[
        Number | None,
        Field(
            default=None,
            validation_alias=AliasChoices("upTime", "up_time"),
            description="When it came up, in milliseconds; null while it is held.",
        ),
    ]


@with_config(STRICT)
class MousePoint(TypedDict):
    """A place of the pointer on its path."""

    t: Annotated[Number, Field(description="Time in milliseconds.")]
    x: Annotated[Number, Field(description="Pixels from the left.")]
    y: Annotated[Number, Field(description="Pixels from the top.")]


@with_config(STRICT)
class Click(TypedDict):
    """A press of a mouse button."""

    t: Annotated[Number, Field(description="Time in milliseconds.")]
    x: Annotated[Number, Field(description="Pixels from the left.")]
    y: Annotated[Number, Field(description="Pixels from the top.")]
    button: Annotated[
        int | None, Field(default=None, description="MouseEvent.button: 0 is the main button.")
    ]
    duration: Annotated[
        Number | None,
        Field(default=None, description="How long the button was down, in milliseconds."),
    ]


@with_config(STRICT)
class ScrollEvent(TypedDict):
    """A turn of the wheel or its like."""

    t: Annotated[Number, Field(description="Time in milliseconds.")]
    dy: Annotated[Number, Field(description="Pixels scrolled, downwards positive.")]


@with_config(STRICT)
class FocusChange(TypedDict):
    """The window gained or lost the focus."""

    type: Annotated[
        str, Field(description="`focus` or `blur`; an event of any other type is ignored.")
    ]
    t: Annotated[Number, Field(description="Time in milliseconds.")]


MousePath = Annotated[list[MousePoint], FailFast()]


class BehaviorTelemetry(Telemetry):
    """A window of browser interaction; times in milliseconds of one clock, places in pixels.

    Names are accepted in camelCase and in snake_case; where both are given, camelCase counts.
    """

    summary: ClassVar[str] = "Windows of browser interaction."

    start_timestamp: Number = Field(
        validation_alias=AliasChoices("startTimestamp", "start_timestamp"),
        description="Start of the window in milliseconds.",
    )
    end_timestamp: Number = Field(
        validation_alias=AliasChoices("endTimestamp", "end_timestamp"),
        description="End of the window in milliseconds.",
    )
    window_size: WindowSize | None = Field(
        default=None,
        validation_alias=AliasChoices("windowSize", "window_size"),
        description="Inner size of the browser window.",
    )
    key_events: Annotated[list[KeyEvent] | None, FailFast()] = Field(
        default=None,
        validation_alias=AliasChoices("keyEvents", "key_events"),
        description="Keys; absent is empty.",
    )
    mouse_paths: Annotated[list[MousePath] | None, FailFast()] = Field(
        default=None,
        validation_alias=AliasChoices("mousePaths", "mouse_paths"),
        description="Paths of the pointer, each without a pause; absent is empty.",
    )
    clicks: Annotated[list[Click] | None, FailFast()] = Field(
        default=None, description="Clicks; absent is empty."
    )
    scroll_events: Annotated[list[ScrollEvent] | None, FailFast()] = Field(
        default=None,
        validation_alias=AliasChoices("scrollEvents", "scroll_events"),
        description="Scrolls; absent is empty.",
    )
    focus_changes: Annotated[list[FocusChange] | None, FailFast()] = Field(
        default=None,
        validation_alias=AliasChoices("focusChanges", "focus_changes"),
        description="Changes of the focus; absent is empty.",
    )
