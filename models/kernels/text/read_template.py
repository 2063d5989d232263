"""Numba kernels that read records whose text is known but for its numbers; see ``layout.py``.

They release the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.limits import LIMIT
from models.kernels.memory import address
from models.kernels.memory import copy as _copy
from models.kernels.memory import load_byte as _byte
from models.kernels.memory import load_half as _half
from models.kernels.memory import load_integer as _integer
from models.kernels.memory import store as _store
from models.kernels.text.numbers import number, same
from schemas.base import MAX_EPOCH_MS

TIME, IDENTITY, NUMBER, STRING = -1, -2, -3, -4
"""Holes that are no column of the vector: time of observation, profile, and what is ignored."""

QUOTE, BACKSLASH, COMMA = (ord(sign) for sign in '"\\,')
NULL = int.from_bytes(b"null", "little")


@njit(nogil=True, cache=True)
def _read(layout, size, pieces, holes, count, at, end, key, key_size, row, spans):
    """The time in a record, -1 if it has none; and whether the record has this layout.

    Addresses alone, and no arrays: those who share one are counted at every call, which took two
    thirds of the time.

    Args:
        layout, size: the layout's constant text, and its bytes.
        pieces, holes, count: of the layout, as ``read_groups`` has them; how many holes there are.
        at, end: the record.
        key, key_size: what stands where its profile is named.
        row: out, its values.
        spans: out, where each value begins and ends; one that is not written as it would be
            written ends at 0.
    """
    time, begin, evident = np.int64(-1), np.int64(0), False
    for h in range(count):
        until, hole = _integer(pieces + 8 * h), _integer(holes + 8 * h)
        length = until - begin
        if end - at < length or not same(at, layout + begin, length):
            return time, False
        at += length
        begin = until
        if hole == IDENTITY:
            if end - at < key_size or not same(at, key, key_size):
                return time, False
            at += key_size
        elif hole == STRING:
            while at < end and 32 <= _byte(at) < 127 and _byte(at) != QUOTE:
                if _byte(at) == BACKSLASH:
                    return time, False
                at += 1
        else:
            mark, value, whole, shortest = at, np.nan, np.int64(-1), True
            absent = hole >= 0 and end - at >= 4 and _half(at) == NULL
            if absent:
                at += 4
            else:
                at, value, whole, shortest = number(mark, end)
            if at < 0:
                return time, False
            if hole >= 0:
                _store(spans + 16 * hole, mark)
                _store(spans + 16 * hole + 8, at if shortest else 0)
                _store(row + 8 * hole, value if absent else min(max(value, -LIMIT), LIMIT))
                evident = evident or not absent
            elif hole == TIME:
                time = whole
                if not 0 <= whole <= MAX_EPOCH_MS:
                    return time, False
    length = size - begin
    return time, evident and end - at == length and same(at, layout + begin, length)


@njit(nogil=True, cache=True)
def _write(spans, count, at):
    """Put values together as JSON from where each stands; where that ends, or ``at`` without one.

    Args:
        spans: address of where each begins and ends; 0 without one.
        at: address to write to.
    """
    end = at
    for _ in range(count):
        begin, size = _integer(spans), _integer(spans + 8) - _integer(spans)
        if size < 0:
            return at
        _copy(begin, end, size)
        _store(end + size, np.uint8(COMMA))
        end += size + 1
        spans += 16
    return end - 1


@njit(nogil=True, cache=True)
def read_groups(
    layouts, starts, pieces, holes, first_holes, firsts, lasts, counts, widths, text, ends,
    longest, keys, key_ends, values, times, good, vectors, vector_ends, spans,
):  # fmt: skip
    """Read records group by group; ``good[g]`` is whether all of a group could be read.

    Args:
        templates, starts: constant text of all layouts, and where each begins; one more at the end.
        pieces: where each piece of constant text that a hole follows ends, in its layout.
        holes, first_holes: column or sort of each hole, and the first hole of each layout; one
            more at the end.
        firsts, lasts: the layouts to be tried for each group.
        counts, widths: records of each group, columns of each.
        text, ends: the records one after another, and where each ends.
        longest: bytes of a record at most.
        keys, key_ends: key of each group, and where it ends.
        values: out, the groups' vectors one after another.
        times: out, time of observation in epoch milliseconds of each record, -1 where none is told.
        vectors, vector_ends: out, the records' vectors as JSON without brackets, and where each
            ends; nothing of one that is not written that way. As large as ``text``, of which the
            last ``SLACK`` bytes are not of a record.
        spans: scratch, two for each column of the widest. Not made here: of what nothing but the
            address is used any more, numba lets go.
    """
    spans_at, vectors_at, row_at = address(spans), address(vectors), address(values)
    layouts_at, text_at, keys_at = address(layouts), address(text), address(keys)
    pieces_at, holes_at, written = address(pieces), address(holes), np.int64(0)
    at = record = key = 0
    for g in range(counts.size):
        good[g] = firsts[g] < lasts[g]
        which = firsts[g]
        for _ in range(counts[g]):
            end = ends[record]
            found, time = False, np.int64(-1)
            # The layout of the record before it is tried first.
            for turn in range(lasts[g] - firsts[g]):
                if not good[g] or end - at > longest:
                    break
                chosen = which + turn
                if chosen >= lasts[g]:
                    chosen -= lasts[g] - firsts[g]
                first = first_holes[chosen]
                time, found = _read(
                    layouts_at + starts[chosen], starts[chosen + 1] - starts[chosen],
                    pieces_at + 8 * first, holes_at + 8 * first, first_holes[chosen + 1] - first,
                    text_at + at, text_at + end, keys_at + key, key_ends[g] - key, row_at, spans_at,
                )  # fmt: skip
                if found:
                    which = chosen
                    break
            good[g] = good[g] and found
            times[record] = time
            if good[g]:
                written = _write(spans_at, widths[g], vectors_at + written) - vectors_at
            vector_ends[record] = written
            at = end
            record += 1
            row_at += 8 * widths[g]
        key = key_ends[g]
