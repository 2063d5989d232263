"""Numba kernels that read records whose text is known but for its numbers; see ``layout.py``.

They release the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models._memory import copy as _copy
from models._memory import load_byte as _byte
from models._memory import load_half as _half
from models._memory import load_word as _word
from models.features.extracted import LIMIT
from schemas.base import MAX_EPOCH_MS

TIME, IDENTITY, NUMBER, STRING = -1, -2, -3, -4
"""Holes that are no column of the vector: time of observation, profile, and what is ignored."""

QUOTE, BACKSLASH, MINUS, PLUS, DOT, ZERO = (ord(sign) for sign in '"\\-+.0')
UPPER_E, LOWER_E, COMMA = ord("E"), ord("e"), ord(",")
NULL = int.from_bytes(b"null", "little")

DIGITS: Final = 19
"""As many decimal digits always fit 64 bits."""

EXPONENT: Final = 60
"""Powers of ten up to here, and down to their reciprocals, are in the table."""


def _powers() -> np.ndarray:
    """128 bits of 5^q for each q from -``EXPONENT`` on, the most significant set: high, low.

    Cut off for q ≥ 0, rounded up for a reciprocal, as the method of ``to_bits`` asks.
    """
    found = np.empty((2 * EXPONENT + 1, 2), dtype=np.uint64)
    for q in range(-EXPONENT, EXPONENT + 1):
        if q >= 0:
            power = 5**q
            shift = 128 - power.bit_length()
            bits = power << shift if shift >= 0 else power >> -shift
        else:
            power = 5**-q
            bits = (1 << (power.bit_length() + 127)) // power + 1
            while bits >= 1 << 128:
                bits >>= 1
        found[q + EXPONENT] = bits >> 64, bits & (2**64 - 1)
    return found


POWERS = _powers()

DECIMAL: Final = 15
"""No two decimals of so many digits are one double: each is the shortest that gives its own."""

EXACT: Final = 22
TENS = np.array([float(10**q) for q in range(EXACT + 1)])
"""Powers of ten that are doubles, as are whole numbers below 2^53: one operation rounds once."""


@njit(nogil=True, cache=True, inline="always")
def _product(a, b):
    """The 128 bits of a · b: high, low."""
    low32 = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & low32, b >> half, b & low32
    mid = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (mid & low32)
    return a1 * b1 + (mid >> half) + (other >> half), a * b


@njit(nogil=True, cache=True)
def to_bits(digits, power):
    """Bits of the double nearest to digits · 10^power; -1 where that takes a closer look.

    Lemire, Number Parsing at a Gigabyte per Second, Software: Practice and Experience 51(8), 2021.

    Args:
        digits: uint64.
        power: -``EXPONENT`` to ``EXPONENT``.
    """
    one = np.uint64(1)
    if digits == np.uint64(0):
        return np.int64(0)
    zeros = np.uint64(0)
    while not digits >> np.uint64(63):
        digits <<= one
        zeros += one
    high, low = _product(digits, POWERS[power + EXPONENT, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = _product(digits, POWERS[power + EXPONENT, 1])
        low += more
        if low < more:
            high += one
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) and not -27 <= power <= 55:
        return np.int64(-1)
    top = high >> np.uint64(63)
    cut = top + np.uint64(64 - 52 - 3)
    mantissa = high >> cut
    exponent = ((217706 * power) >> 16) + 63 + np.int64(top) - np.int64(zeros) + 1023
    halfway = low <= one and -4 <= power <= 23 and mantissa & np.uint64(3) == one
    if halfway and mantissa << cut == high:
        # To the even one of the two doubles.
        mantissa &= ~one
    mantissa += mantissa & one
    mantissa >>= one
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        exponent += 1
    if exponent <= 0 or exponent >= 2047:
        return np.int64(-1)
    return np.int64((mantissa & ~np.uint64(1 << 52)) | (np.uint64(exponent) << np.uint64(52)))


@njit(nogil=True, cache=True, inline="always")
def _digits(at, end, found):
    """Where the digits at ``at`` end, and the number that they make behind those found."""
    while at < end:
        digit = _byte(at) - np.uint8(ZERO)
        if digit > np.uint8(9):
            break
        found = found * np.uint64(10) + np.uint64(digit)
        at += 1
    return at, found


@njit(nogil=True, cache=True, inline="always")
def _zeros(at, end):
    """Zeros at ``at``."""
    begin = at
    while at < end and _byte(at) == ZERO:
        at += 1
    return at - begin


@njit(nogil=True, cache=True)
def _number(at, end, whole, bits, value):
    """Where the JSON number at ``at`` ends; -1 where there is none that is plainly a double.

    It goes to ``value[0]``, which is ``bits`` seen as a double; of a whole number without a sign
    ``whole[0]`` is the value, else -1. ``whole[1]`` is 1 where it is written as a double is, in the
    shortest way, else 0.
    """
    begin = at
    if at < end and _byte(at) == MINUS:
        at += 1
    first, dot, power, plain = at, at, np.int64(0), True
    at, digits = _digits(at, end, np.uint64(0))
    many = at - first
    if many == 0 or (many > 1 and _byte(first) == ZERO):
        return -1
    if at < end and _byte(at) == DOT:
        plain = False
        dot = at + 1
        at, digits = _digits(dot, end, digits)
        if at == dot:
            return -1
        power += dot - at
        many += at - dot
        if _byte(first) == ZERO:
            many -= 1 + _zeros(dot, at)
    if many > DIGITS:
        return -1
    shortest = not plain and many <= DECIMAL and (_byte(at - 1) != ZERO or at == dot + 1)
    if at < end and (_byte(at) == LOWER_E or _byte(at) == UPPER_E):
        plain = shortest = False
        at += 1
        negative = at < end and _byte(at) == MINUS
        if at < end and (_byte(at) == MINUS or _byte(at) == PLUS):
            at += 1
        mark = at
        at, given = _digits(at, end, np.uint64(0))
        if at == mark or at > mark + 4:
            return -1
        power += -np.int64(given) if negative else np.int64(given)
    if not -EXPONENT <= power <= EXPONENT:
        return -1
    if plain and first > begin and digits == np.uint64(0):
        return -1
    if digits < np.uint64(1 << 53) and -EXACT <= power <= EXACT:
        value[0] = np.float64(digits) * TENS[power] if power > 0 else digits / TENS[-power]
    else:
        bits[0] = to_bits(digits, power)
        if bits[0] < 0:
            return -1
    # Smaller ones may have an exponent.
    whole[1] = shortest and (value[0] >= 1e-4 or digits == np.uint64(0))
    if first > begin:
        value[0] = -value[0]
    whole[0] = -1
    if plain and first == begin and digits < np.uint64(1 << 62):
        whole[0] = np.int64(digits)
    return at


@njit(nogil=True, cache=True, inline="always")
def _same(at, other, size):
    """Whether as many bytes are the same at two addresses."""
    done = 0
    if size >= 8:
        while done < size - 8 and _word(at + done) == _word(other + done):
            done += 8
        return done >= size - 8 and _word(at + size - 8) == _word(other + size - 8)
    while done < size and _byte(at + done) == _byte(other + done):
        done += 1
    return done == size


@njit(nogil=True, cache=True)
def _read(
    layout, size, pieces, holes, at, end, key, key_size, row, time, whole, bits, value, spans
):  # fmt: skip
    """Whether a record has a layout; its values go to ``row``, its time to ``time[0]``.

    Where each value stands goes to ``spans``; of one that is not written as it would be written,
    there is none: it ends at 0.
    """
    time[0] = -1
    begin, evident = 0, False
    for h in range(holes.size):
        length = pieces[h] - begin
        if end - at < length or not _same(at, layout + begin, length):
            return False
        at += length
        begin = pieces[h]
        hole = holes[h]
        if hole == IDENTITY:
            if end - at < key_size or not _same(at, key, key_size):
                return False
            at += key_size
        elif hole == STRING:
            while at < end and 32 <= _byte(at) < 127 and _byte(at) != QUOTE:
                if _byte(at) == BACKSLASH:
                    return False
                at += 1
        elif hole >= 0 and end - at >= 4 and _half(at) == NULL:
            row[hole] = np.nan
            spans[hole, 0], spans[hole, 1] = at, at + 4
            at += 4
        else:
            mark = at
            at = _number(mark, end, whole, bits, value)
            if at < 0:
                return False
            if hole >= 0:
                spans[hole, 0], spans[hole, 1] = mark, at if whole[1] else 0
                row[hole] = min(max(value[0], -LIMIT), LIMIT)
                evident = True
            elif hole == TIME:
                time[0] = whole[0]
                if not 0 <= whole[0] <= MAX_EPOCH_MS:
                    return False
    length = size - begin
    return evident and end - at == length and _same(at, layout + begin, length)


@njit(nogil=True, cache=True)
def read_groups(
    layouts, starts, pieces, holes, first_holes, firsts, lasts, counts, widths, text, ends,
    longest, keys, key_ends, values, times, good, vectors, vector_ends,
):  # fmt: skip
    """Read records group by group; ``good[g]`` is whether all of a group could be read.

    Args:
        layouts, starts: constant text of all layouts, and where each begins; one more at the end.
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
    """
    whole, bits, time = np.empty(2, np.int64), np.empty(1, np.int64), np.empty(1, np.int64)
    spans = np.empty((widths.max(), 2), np.int64)
    vectors_at, written = vectors.ctypes.data, 0
    value = bits.view(np.float64)
    layouts_at, text_at, keys_at = layouts.ctypes.data, text.ctypes.data, keys.ctypes.data
    at = record = done = key = 0
    for g in range(counts.size):
        good[g] = firsts[g] < lasts[g]
        which = firsts[g]
        for n in range(counts[g]):
            end = ends[record + n]
            row = values[done + n * widths[g] : done + (n + 1) * widths[g]]
            found = False
            good[g] = good[g] and end - at <= longest
            # The layout of the record before it is tried first.
            for turn in range(lasts[g] - firsts[g]):
                if not good[g]:
                    break
                chosen = which + turn
                if chosen >= lasts[g]:
                    chosen -= lasts[g] - firsts[g]
                a, b = first_holes[chosen], first_holes[chosen + 1]
                found = _read(
                    layouts_at + starts[chosen], starts[chosen + 1] - starts[chosen],
                    pieces[a:b], holes[a:b], text_at + at, text_at + end,
                    keys_at + key, key_ends[g] - key, row, time, whole, bits, value, spans,
                )  # fmt: skip
                if found:
                    which = chosen
                    break
            good[g] = good[g] and found
            times[record + n] = time[0]
            if good[g] and spans[: widths[g], 1].min() > 0:
                for column in range(widths[g]):
                    size = spans[column, 1] - spans[column, 0]
                    _copy(spans[column, 0], vectors_at + written, size)
                    written += size
                    vectors[written] = COMMA
                    written += 1
                written -= 1
            vector_ends[record + n] = written
            at = end
        record += counts[g]
        done += counts[g] * widths[g]
        key = key_ends[g]
