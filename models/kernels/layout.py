"""How a compiled model is handed to the kernels; no numba is needed to know that."""

from __future__ import annotations

from struct import Struct
from typing import Final

LAYOUT_WORDS: Final = 5
LAYOUT = Struct(f"={LAYOUT_WORDS}q")
"""Address and words of a packed model and of its calibration's table, and width of a row."""

NOT_IN_MEMORY: Final = -1
"""Slot, and serial number, of a model that is not in memory."""
