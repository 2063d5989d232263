"""Where a model lies in memory, as numbers that stand in columns."""

from __future__ import annotations

from struct import Struct
from typing import Final

PLACE_NUMBERS: Final = 5
PLACE = Struct(f"={PLACE_NUMBERS}q")
"""Address and words of a packed model and of its calibration's table, and width of a row."""

NOWHERE: Final = -1
"""Slot, and serial number, of a model that is not in memory."""
