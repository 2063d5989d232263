"""Headers of a record of any producer: text and numbers that stand in them."""

from __future__ import annotations

import re
from typing import Final

MAX_DIGITS: Final = 19
"""As an offset has at most. Python refuses a number of more than 4,300 digits."""

_DIGITS: Final = re.compile(rb"[0-9]{1,%d}" % MAX_DIGITS)


def header_number(value: bytes | None) -> int | None:
    """The whole number that a header holds; None if it holds anything else."""
    if value is None or not _DIGITS.fullmatch(value):
        return None
    return int(value)


def header_text(value: bytes | None, most: int) -> str:
    """The text that a header holds, cut to ``most`` characters; what is not UTF-8 is replaced."""
    # Four bytes a character at most, so nothing that is shown is cut off before it is decoded.
    return (value or b"")[: 4 * most].decode("utf-8", "replace")[:most]
