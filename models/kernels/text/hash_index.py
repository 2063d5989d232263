"""Numba kernel that finds rows by the hash of a text, several looked for at once.

It releases the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models.kernels.memory import address, load_byte, load_integer, prefetch

EMPTY, LEFT = -1, -2
"""A slot that never had a row, and one whose row is gone."""

SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 by the golden ratio (Knuth, 1973): bit 32 and above of a product depend on many bits."""

AT_ONCE = 16
LINE = 64


@njit(nogil=True, cache=True)
def slot_of(key, size):
    """Where the search for a hash begins in a table of so many slots, a power of two to 2^32."""
    return np.int64((np.uint64(key) * SPREAD) >> np.uint64(32)) & (size - 1)


@njit(nogil=True, cache=True)
def fill(keys, rows, slots):
    """Put rows into slots, which have room for them.

    Args:
        keys, rows: a hash, and the row that it stands for, of each.
        slots: (size, 2) int64: hash and row, ``EMPTY`` or ``LEFT`` where there is none.
    """
    size = slots.shape[0]
    for at in range(keys.size):
        slot = slot_of(keys[at], size)
        while slots[slot, 1] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot, 0], slots[slot, 1] = keys[at], rows[at]


@njit(nogil=True, cache=True)
def leave(key, row, slots):
    """Take a row out of its slot, if it has one."""
    size = slots.shape[0]
    slot = slot_of(key, size)
    while slots[slot, 1] != EMPTY:
        if slots[slot, 1] == row:
            slots[slot, 1] = LEFT
            return
        slot = (slot + 1) & (size - 1)


@njit(nogil=True, cache=True)
def find(keys, wheres, text, ends, slots, table, stride, found):
    """Find the row of each of many texts; ``EMPTY`` where there is none.

    What one of them needs is on its way to the caches while those before it are looked at.

    Args:
        keys: hash of each.
        wheres: a number that its row has, too.
        text, ends: the texts one after another, and where each ends.
        slots: as in ``fill``.
        table: address of the first row's ``where``, int64, behind which stand the length of its
            text, int64, and the text.
        stride: bytes from one row to the next.
        found: (len(keys),), filled.
    """
    size, asked = slots.shape[0], keys.size
    slots_at, text_at = address(slots), address(text)
    for ahead in range(asked + AT_ONCE):
        if ahead < asked:
            prefetch(slots_at + 16 * slot_of(keys[ahead], size))
        at = ahead - AT_ONCE
        if at >= 0:
            slot = slot_of(keys[at], size)
            while slots[slot, 1] != EMPTY and (slots[slot, 0] != keys[at] or slots[slot, 1] < 0):
                slot = (slot + 1) & (size - 1)
            found[at] = slots[slot, 1]
            if found[at] >= 0:
                prefetch(table + stride * found[at])
                prefetch(table + stride * found[at] + LINE)
    begin = 0
    for at in range(asked):
        if found[at] >= 0:
            row, length = table + stride * found[at], ends[at] - begin
            same = load_integer(row) == wheres[at] and load_integer(row + 8) == length
            place = 0
            while same and place < length:
                same = load_byte(row + 16 + place) == load_byte(text_at + begin + place)
                place += 1
            if not same:
                found[at] = EMPTY
        begin = ends[at]
