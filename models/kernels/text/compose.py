"""Numba kernel that puts texts together from pieces; it releases the interpreter's lock."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from numba import njit

from models.kernels.memory import copy


@njit(nogil=True, cache=True)
def compose(pieces, piece_ends, holes, text, starts, ends, out, first, count):
    """Write texts one after another: a piece, what fills the hole behind it, …, the last piece.

    Args:
        pieces, piece_ends: constant text, and where each of its h + 1 pieces ends.
        holes: which filling each of the h holes takes.
        text: of all fillings.
        starts, ends: where each filling is in ``text``, of shape (fillings, texts).
        out: large enough for all; it and the other texts have ``SLACK`` bytes behind their end.
        first, count: the texts that are wanted.
    """
    constant, filled, target = pieces.ctypes.data, text.ctypes.data, out.ctypes.data
    done = 0
    for n in range(first, first + count):
        begin = 0
        for h in range(piece_ends.size):
            size = piece_ends[h] - begin
            copy(constant + begin, target + done, size)
            done += size
            begin = piece_ends[h]
            if h < holes.size:
                at = starts[holes[h], n]
                size = ends[holes[h], n] - at
                copy(filled + at, target + done, size)
                done += size
