"""Numba kernels that read records whose text is known but for its numbers; see ``layout.py``.

They release the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models._memory import address, as_double
from models._memory import copy as _copy
from models._memory import load_byte as _byte
from models._memory import load_half as _half
from models._memory import load_integer as _integer
from models._memory import load_word as _word
from models._memory import store as _store
from models._memory import trailing_zeros as _trailing_zeros
from models.features.extracted import LIMIT
from schemas.base import MAX_EPOCH_MS

TIME, IDENTITY, NUMBER, STRING = -1, -2, -3, -4
"""Holes that are no column of the vector: time of observation, profile, and what is ignored."""

QUOTE, BACKSLASH, MINUS, PLUS, DOT, ZERO = (ord(sign) for sign in '"\\-+.0')
UPPER_E, LOWER_E, COMMA = ord("E"), ord("e"), ord(",")
NULL = int.from_bytes(b"null", "little")

ZEROS, SIXES, UPPER = (np.uint64(byte * 0x0101010101010101) for byte in (ord("0"), 6, 0xF0))
BYTES, PAIRS = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(10 * 2**8 + 1)
HALVES, FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(100 * 2**16 + 1)
WORDS, EIGHTS = np.uint64(0x0000FFFF0000FFFF), np.uint64(10_000 * 2**32 + 1)
"""Eight digits to four numbers of two, two of four, and one: masks and factors."""

WHOLE_TENS = np.array([10**n for n in range(9)], dtype=np.uint64)

NONE = (np.int64(-1), 0.0, np.int64(-1), False)
"""What there is to say of a number that cannot be read."""

SMALL = np.uint64(1 << 62)

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
    """Where the digits at ``at`` end, and the number that they make behind those found.

    Eight at a time, without a branch for each (Lemire, Quickly parsing eight digits, 2018).
    """
    more = True
    while more and at < end:
        word = _word(at) ^ ZEROS
        # What is no digit has something in its upper half, with 6 added or without.
        other = ((word + SIXES) | word) & UPPER
        count = min(np.int64(_trailing_zeros(other)) >> 3, end - at)
        more = count == 8
        if count > 0:
            word <<= np.uint64(64 - 8 * count)
            word = ((word & BYTES) * PAIRS) >> np.uint64(8)
            word = ((word & HALVES) * FOURS) >> np.uint64(16)
            word = ((word & WORDS) * EIGHTS) >> np.uint64(32)
            found = found * WHOLE_TENS[count] + word
            at += count
    return at, found


@njit(nogil=True, cache=True, inline="always")
def _zeros(at, end):
    """Zeros at ``at``."""
    begin = at
    while at < end and _byte(at) == ZERO:
        at += 1
    return at - begin


@njit(nogil=True, cache=True)
def _number(at, end):
    """The JSON number at ``at``: where it ends, its value, that as a whole one, whether shortest.

    It ends at -1 where there is none that is plainly a double. Of what is not a whole number
    without a sign the third is -1. The last is true where it is written as a double is, in the
    shortest way.
    """
    begin = at
    at += at < end and _byte(at) == MINUS
    first, dot, power, plain = at, at, np.int64(0), True
    at, digits = _digits(at, end, np.uint64(0))
    many = at - first
    if many == 0 or (many > 1 and _byte(first) == ZERO):
        return NONE
    if at < end and _byte(at) == DOT:
        plain = False
        dot = at + 1
        at, digits = _digits(dot, end, digits)
        if at == dot:
            return NONE
        power += dot - at
        many += at - dot
        # Only of very long ones does it matter how many there are.
        if many > DECIMAL and _byte(first) == ZERO:
            many -= 1 + _zeros(dot, at)
    if many > DIGITS:
        return NONE
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
            return NONE
        power += -np.int64(given) if negative else np.int64(given)
    if not -EXPONENT <= power <= EXPONENT:
        return NONE
    if plain and first > begin and digits == np.uint64(0):
        return NONE
    if digits < np.uint64(1 << 53) and -EXACT <= power <= EXACT:
        value = np.float64(digits) * TENS[power] if power > 0 else digits / TENS[-power]
    else:
        bits = to_bits(digits, power)
        if bits < 0:
            return NONE
        value = as_double(bits)
    # Smaller ones may have an exponent.
    shortest = shortest and (value >= 1e-4 or digits == np.uint64(0))
    if first > begin:
        return at, -value, np.int64(-1), shortest
    return at, value, np.int64(digits) if plain and digits < SMALL else np.int64(-1), shortest


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
def _read(layout, size, pieces, holes, count, at, end, key, key_size, row, spans):
    """The time that a record of a layout tells, -1 where none; and whether it is of that layout.

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
        if end - at < length or not _same(at, layout + begin, length):
            return time, False
        at += length
        begin = until
        if hole == IDENTITY:
            if end - at < key_size or not _same(at, key, key_size):
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
                at, value, whole, shortest = _number(mark, end)
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
    return time, evident and end - at == length and _same(at, layout + begin, length)


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
