"""Numbers as JSON writes them, and texts compared, by their address: for kernels of every file."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models.kernels.memory import as_double
from models.kernels.memory import load_byte as _byte
from models.kernels.memory import load_word as _word
from models.kernels.memory import trailing_zeros as _trailing_zeros

MINUS, PLUS, DOT, ZERO, UPPER_E, LOWER_E = (ord(sign) for sign in "-+.0Ee")

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
def number(at, end):
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
def same(at, other, size):
    """Whether as many bytes are the same at two addresses."""
    done = 0
    if size >= 8:
        while done < size - 8 and _word(at + done) == _word(other + done):
            done += 8
        return done >= size - 8 and _word(at + size - 8) == _word(other + size - 8)
    while done < size and _byte(at + done) == _byte(other + done):
        done += 1
    return done == size
