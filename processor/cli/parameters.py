"""Arguments and options that several commands have."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.base import id_fault
from schemas.telemetry import TELEMETRY
from schemas.times import rfc3339_ms

if TYPE_CHECKING:

    class Kind(StrEnum):
        """Kinds of telemetry."""
else:
    Kind = StrEnum("Kind", {kind.upper(): kind for kind in TELEMETRY}, module=__name__)


UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def time_of(text: str, now: int, *, ahead: bool) -> int:
    """Epoch milliseconds of a time as an operator writes it.

    Args:
        text: epoch milliseconds, RFC 3339 with zone, or a duration as 2h, 30m, 1d12h.
        now: epoch milliseconds.
        ahead: whether a duration counts from now on; else back from now.

    Raises:
        ValueError: none of these.
    """
    if re.fullmatch(r"\d{10,15}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"(\d+(\.\d+)?[smhdw])+", text, re.ASCII):
        parts = re.findall(r"([\d.]+)([smhdw])", text)
        lasts = round(sum(float(count) * UNITS_MS[unit] for count, unit in parts))
        return now + lasts if ahead else now - lasts
    try:
        return rfc3339_ms(text)
    except ValueError:
        raise ValueError(
            "expected epoch milliseconds, RFC 3339 with zone, or a duration as 2h or 1d12h, "
            f"got {text!r}"
        ) from None


def moment_of(text: str, option: str, now: int, *, ahead: bool) -> int:
    """Epoch milliseconds of an option's time; wrong usage if it is none."""
    try:
        return time_of(text, now, ahead=ahead)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def checked_id(text: str) -> str:
    fault = id_fault(text)
    if fault is not None:
        raise typer.BadParameter(fault)
    return text


def utf8_text(text: str | None) -> str | None:
    if text is not None and not text.isascii():
        # What the shell passed is no UTF-8 then.
        lone = next((at for at, sign in enumerate(text) if "\ud800" <= sign <= "\udfff"), None)
        if lone is not None:
            raise typer.BadParameter(f"not UTF-8 at character {lone}")
    return text


Id = Annotated[
    str,
    typer.Argument(metavar="ID", callback=checked_id, help="The profile's id: its records' key."),
]
OfKind = Annotated[Kind | None, typer.Option(help="Only of this kind; else of all.")]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Epoch ms, RFC 3339 with zone, or from now on as 2h, 30m, 3d; else without end.",
    ),
]
Reason = Annotated[str | None, typer.Option(callback=utf8_text, help="Why, for the audit.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the receipt.")]
