"""Limits of numbers, shared by the kernels and the Python code that they replace."""

from typing import Final

LIMIT: Final = 1e100
"""Values are cut at ± this, so that no square, sum or ratio made of them overflows."""
