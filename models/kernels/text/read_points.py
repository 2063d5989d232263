"""The numba kernel that reads records of `series` from their text, without an object for each.

A record is read where it is plainly valid: an object with times and values, each once, and nothing
beside them but its own profile, kind and time of observation; strings without an escape, times that
are not negative. What is not has to be looked at again, by ``SeriesTelemetry``, which says what a
record is. It releases the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.limits import LIMIT
from models.kernels.memory import address
from models.kernels.memory import load_byte as _byte
from models.kernels.memory import load_word as _word
from models.kernels.memory import store as _store
from models.kernels.text.numbers import number, same
from models.kernels.text.read_window import (
    CLOSE,
    CLOSE_LIST,
    COLON,
    COMMA,
    OPEN,
    OPEN_LIST,
    QUOTE,
    _behind,
    _quote,
    _skip,
    _start_of,
    _word_of,
)
from schemas.base import MAX_EPOCH_MS

MEMBERS = ("timestamps", "values", "observed_at", "profile_id", "kind")
TIMES, VALUES, OBSERVED, IDENTITY, KIND = range(len(MEMBERS))
BOTH = 1 << TIMES | 1 << VALUES

FIRST = np.array([_word_of(name) for name in MEMBERS])
LAST = np.array([_word_of(name[-8:]) for name in MEMBERS])
LENGTHS = np.array([len(name) for name in MEMBERS])
SERIES = _word_of('series"')

SHORTEST = 2
"""Bytes of a number and what parts it from the next, at least."""


@njit(nogil=True, cache=True)
def _numbers(at, end, row, rising):
    """Where an array of numbers ends, -1 where it is none; how many it has.

    Args:
        row: out, address of the numbers.
        rising: whether they have to be whole, not negative, and ascending, as times are.
    """
    if _byte(at) != OPEN_LIST:
        return -1, 0
    count, before, sign = 0, np.int64(-1), COMMA
    at = _skip(at + 1, end)
    if _byte(at) == CLOSE_LIST:
        return at + 1, 0
    while sign == COMMA:
        at, value, whole, _ = number(at, end)
        if at < 0 or (rising and whole <= before):
            return -1, 0
        before = whole
        _store(row, min(max(value, -LIMIT), LIMIT))
        row += 8
        count += 1
        sign, at = _behind(at, end)
    return at if sign == CLOSE_LIST else -1, count


@njit(nogil=True, cache=True)
def _read(at, end, key, key_size, stamps, values, told):
    """How many points the record at ``at`` has, -1 where it is not plainly valid.

    Args:
        key, key_size: of the record, of which the profile has to be.
        stamps, values: out, addresses of its times and values.
        told: out, address of its time of observation, -1 where it tells none.
    """
    _store(told, np.int64(-1))
    if _byte(at) != OPEN:
        return -1
    at = _skip(at + 1, end)
    seen, of_times, of_values, sign = 0, 0, 0, COMMA
    while sign == COMMA:
        until = _quote(at + 1, end) if _byte(at) == QUOTE else -1
        size = until - at - 1
        if size <= 0:
            return -1
        head, member = _start_of(_word(at + 1), size), 0
        while LENGTHS[member] != size or FIRST[member] != head:
            member += 1
            if member == LENGTHS.size:
                return -1
        if seen >> member & 1 or (size > 8 and LAST[member] != _word(until - 8)):
            return -1
        seen |= 1 << member
        at = _skip(until + 1, end)
        if _byte(at) != COLON:
            return -1
        at = _skip(at + 1, end)
        if member == TIMES:
            at, of_times = _numbers(at, end, stamps, True)
        elif member == VALUES:
            at, of_values = _numbers(at, end, values, False)
        elif member == OBSERVED:
            at, _, whole, _ = number(at, end)
            if not 0 <= whole <= MAX_EPOCH_MS:
                return -1
            _store(told, whole)
        elif member == IDENTITY:
            until = _quote(at + 1, end) if _byte(at) == QUOTE else -1
            if until - at - 1 != key_size or not same(at + 1, key, key_size):
                return -1
            at = until + 1
        else:
            if _byte(at) != QUOTE or _start_of(_word(at + 1), 7) != SERIES:
                return -1
            at += 8
        if not 0 <= at <= end:
            return -1
        sign, at = _behind(at, end)
    whole_record = sign == CLOSE and seen & BOTH == BOTH and at == end
    return of_values if whole_record and of_times == of_values else -1


@njit(nogil=True, cache=True)
def read_points(text, ends, keys, key_ends, stamps, values, counts, observed):
    """Read records of points, one behind another.

    Args:
        text, ends: the records one after another, and where each ends; sixteen zeros behind.
        keys, key_ends: the same of their keys.
        stamps, values: out, times and values of the points of the records that could be read, one
            record behind another; room for one in every ``SHORTEST`` bytes of text, and one more.
        counts: out, points of each record, -1 of those that could not be read, (n,).
        observed: out, time of observation in epoch milliseconds, -1 where none is told, (n,).
    """
    text_at, keys_at, told = address(text), address(keys), address(observed)
    stamps_at, values_at = address(stamps), address(values)
    at = key = 0
    for n in range(ends.size):
        count = _read(
            text_at + at, text_at + ends[n], keys_at + key, key_ends[n] - key,
            stamps_at, values_at, told + 8 * n,
        )  # fmt: skip
        counts[n] = count
        stamps_at += 8 * max(count, 0)
        values_at += 8 * max(count, 0)
        at, key = ends[n], key_ends[n]
