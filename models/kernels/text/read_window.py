"""The numba kernels of `behavior`: windows read from their text, and what is averaged over them.

What the features mean is said in ``behavior.py``. Arrays are small here, so that one compiled loop
takes a tenth of the time of as many numpy calls. They release the interpreter's lock.

A window is read where it is plainly valid: all names in camelCase and once, none that is unknown,
strings of plain ASCII without an escape, a time of observation in milliseconds. What is not has to
be looked at again, by ``BehaviorTelemetry``, which says what a window is.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numba import njit

from models.kernels.memory import address
from models.kernels.memory import load_byte as _byte
from models.kernels.memory import load_double as _double
from models.kernels.memory import load_half as _half
from models.kernels.memory import load_word as _word
from models.kernels.memory import store as _store
from models.kernels.memory import trailing_zeros as _trailing_zeros
from models.kernels.text.numbers import number, same
from models.kernels.text.window_features import window
from schemas.base import MAX_EPOCH_MS

SPACE, QUOTE, BACKSLASH, MINUS, COMMA, COLON = (ord(sign) for sign in ' "\\-,:')
OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = (ord(sign) for sign in "{}[]")
TAB, LINE, RETURN = (ord(sign) for sign in "\t\n\r")
LETTER_A, LETTER_Z = ord("A"), ord("Z")
ONE = np.uint64(1)


def _word_of(text: str) -> np.uint64:
    """The first eight bytes of a text as they are loaded, with zeros behind a shorter one."""
    return np.uint64(int.from_bytes(text.encode()[:8], "little"))


NULL = int.from_bytes(b"null", "little")
CHANGES_OF_FOCUS = _word_of("focus"), _word_of("blur")
BEHAVIOR, KEY, SPACE_BAR = _word_of("behavior"), _word_of("Key"), _word_of("Space")

EVERY, HIGHEST = (np.uint64(byte * 0x0101010101010101) for byte in (0x01, 0x80))
QUOTES = np.uint64(QUOTE * 0x0101010101010101)
"""A byte of a word that is a quote becomes zero where they differ in no bit."""

NEEDED, ABSENT, COUNTED, CODE, TYPE = range(5)
"""What a member is: a number, one that may be null or absent, such an integer, and two texts."""

POINT, CLICK, STROKE, SCROLL, CHANGE, FRAME = range(6)
"""Sorts of objects in a window."""

_MEMBERS = (
    (("t", 0, NEEDED), ("x", 1, NEEDED), ("y", 2, NEEDED)),
    (
        ("t", 0, NEEDED), ("x", 1, NEEDED), ("y", 2, NEEDED),
        ("button", -1, COUNTED), ("duration", 3, ABSENT),
    ),
    (("code", 2, CODE), ("downTime", 0, NEEDED), ("upTime", 1, ABSENT)),
    (("t", 0, NEEDED), ("dy", 1, NEEDED)),
    (("type", 1, TYPE), ("t", 0, NEEDED)),
    (("width", 0, NEEDED), ("height", 1, NEEDED)),
)  # fmt: skip
"""Of each sort: name, column that it fills, and what it is, in the usual order."""

FIRSTS = np.array([0, *accumulate(map(len, _MEMBERS))])
_flat = [member for members in _MEMBERS for member in members]
NAMES = np.array([_word_of(name) for name, _, _ in _flat])
LENGTHS = np.array([len(name) for name, _, _ in _flat])
COLUMNS = np.array([column for _, column, _ in _flat])
WHAT = np.array([what for _, _, what in _flat])

WIDTHS = np.array([3, 4, 3, 2, 2, 2])
"""Columns of a table of each sort."""

START, END, SIZE, PATHS, CLICKS, STROKES, SCROLLS, CHANGES, IDENTITY, KIND, TIME = range(11)
_TOP = (
    "startTimestamp", "endTimestamp", "windowSize", "mousePaths", "clicks", "keyEvents",
    "scrollEvents", "focusChanges", "profile_id", "kind", "observed_at",
)  # fmt: skip
TOP_LENGTHS = np.array([len(name) for name in _TOP])
TOP_FIRST = np.array([_word_of(name) for name in _TOP])
TOP_LAST = np.array([_word_of(name[-8:]) for name in _TOP])
"""The first and the last eight bytes of a name tell which it is. ``PATHS`` to ``CHANGES`` stand in
the order of the sorts that they hold."""

LENGTHS_OF, OBSERVED = 5, 6
"""Behind the tables of sorts the lengths of paths, behind the counts the time of observation."""


SHORTEST = 15
"""Bytes of an object that fills a row, and of the comma behind it, at least."""


@njit(nogil=True, cache=True)
def _skip(at, end):
    """Where white space ends."""
    while at < end and _byte(at) <= SPACE:
        sign = _byte(at)
        if sign != SPACE and sign != LINE and sign != TAB and sign != RETURN:
            break
        at += 1
    return at


@njit(nogil=True, cache=True, inline="always")
def _behind(at, end):
    """The sign behind a value, and where what comes behind that begins."""
    at = _skip(at, end)
    return _byte(at), _skip(at + 1, end)


@njit(nogil=True, cache=True)
def _quote(at, end):
    """The next quote, behind plain ASCII; -1 where there is anything else."""
    while at < end and _byte(at) != QUOTE:
        if not SPACE <= _byte(at) < 127 or _byte(at) == BACKSLASH:
            return -1
        at += 1
    return at if at < end else -1


@njit(nogil=True, cache=True)
def _start_of(word, size):
    """The first bytes of a word, at most eight, with zeros behind them."""
    return word if size >= 8 else word & ((ONE << np.uint64(8 * size)) - ONE)


@njit(nogil=True, cache=True)
def _value(at, end, what, place):
    """Where the value at ``at`` ends, -1 where it is not plainly what it should be.

    Args:
        place: what it comes to is written there, but for an integer, which tells nothing.
    """
    if what >= CODE:
        until = _quote(at + 1, end) if _byte(at) == QUOTE else -1
        if until < 0:
            return -1
        size, word = until - at - 1, _word(at + 1)
        if what == TYPE:
            _store(place, 1.0 if _start_of(word, size) in CHANGES_OF_FOCUS else 0.0)
        elif size == 4 and _start_of(word, 3) == KEY and LETTER_A <= _byte(at + 4) <= LETTER_Z:
            _store(place, np.float64(_byte(at + 4) - LETTER_A))
        elif size == 5 and _start_of(word, 5) == SPACE_BAR:
            _store(place, np.float64(LETTER_Z + 1 - LETTER_A))
        else:
            _store(place, -1.0)
        return until + 1
    if what != NEEDED and _half(at) == NULL:
        if what == ABSENT:
            _store(place, np.nan)
        return at + 4
    if what == COUNTED:
        negative = _byte(at) == MINUS
        at, _, whole, _ = number(at + negative, end)
        return at if whole >= negative else -1
    at, value, _, _ = number(at, end)
    _store(place, value)
    return at


@njit(nogil=True, cache=True)
def _object(at, end, sort, row):
    """Where the object at ``at`` ends, -1 where it is not plainly one of its sort.

    Args:
        row: its columns are written there.
    """
    if _byte(at) != OPEN:
        return -1
    first, last, seen = FIRSTS[sort], FIRSTS[sort + 1], 0
    member = first
    sign, at = COMMA, _skip(at + 1, end)
    while sign == COMMA:
        word = _word(at + 1)
        # The highest bit of the first byte that is a quote is the first that is set.
        other = word ^ QUOTES
        size = np.int64(_trailing_zeros((other - EVERY) & ~other & HIGHEST)) >> 3
        if _byte(at) != QUOTE or _byte(at + 1 + size) != QUOTE:
            return -1
        name, turn = _start_of(word, size), first
        while NAMES[member] != name or LENGTHS[member] != size:
            member = member + 1 if member + 1 < last else first
            turn += 1
            if turn == last:
                return -1
        if seen >> (member - first) & 1:
            return -1
        seen |= 1 << (member - first)
        at = _skip(at + size + 2, end)
        if _byte(at) != COLON:
            return -1
        at = _value(_skip(at + 1, end), end, WHAT[member], row + 8 * COLUMNS[member])
        if at < 0:
            return -1
        sign, at = _behind(at, end)
        member = member + 1 if member + 1 < last else first
    for member in range(first, last):
        if not seen >> (member - first) & 1:
            if WHAT[member] == ABSENT:
                _store(row + 8 * COLUMNS[member], np.nan)
            elif WHAT[member] != COUNTED:
                return -1
    return at if sign == CLOSE else -1


@njit(nogil=True, cache=True)
def _objects(at, end, sort, row):
    """Where the array at ``at`` ends, -1 where it is none of that sort; how many rows it fills."""
    if _byte(at) != OPEN_LIST:
        return -1, 0
    count, sign = 0, COMMA
    at = _skip(at + 1, end)
    if _byte(at) == CLOSE_LIST:
        return at + 1, 0
    while sign == COMMA:
        at = _object(at, end, sort, row)
        # Beyond its end the record is not what it seemed, and there may be more than rows.
        if not 0 <= at <= end:
            return -1, 0
        if sort != CHANGE or _double(row + 8) > 0.0:
            row += 8 * WIDTHS[sort]
            count += 1
        sign, at = _behind(at, end)
    return at if sign == CLOSE_LIST else -1, count


@njit(nogil=True, cache=True)
def _paths(at, end, points, lengths):
    """The same of an array of paths: where it ends, how many points, and how many paths."""
    if _byte(at) != OPEN_LIST:
        return -1, 0, 0
    every, count, sign = 0, 0, COMMA
    at = _skip(at + 1, end)
    if _byte(at) == CLOSE_LIST:
        return at + 1, 0, 0
    while sign == COMMA:
        at, size = _objects(at, end, POINT, points)
        if not 0 <= at <= end:
            return -1, 0, 0
        points += 8 * WIDTHS[POINT] * size
        every += size
        _store(lengths, np.int64(size))
        lengths += 8
        count += 1
        sign, at = _behind(at, end)
    return at if sign == CLOSE_LIST else -1, every, count


@njit(nogil=True, cache=True)
def _read(at, end, key, key_size, tables, counts, span):
    """Whether the window at ``at`` is plainly valid; what it holds to the addresses behind.

    Args:
        key, key_size: of the record, of which the profile has to be.
        tables: out, of each sort that fills rows, and the lengths of paths, as int64.
        counts: out, rows of each of these, as int64, and the time of observation, -1 where it tells
            none.
        span: out, start and end; and two for what has to be valid and tells nothing.
    """
    for place in range(OBSERVED):
        _store(counts + 8 * place, np.int64(0))
    _store(counts + 8 * OBSERVED, np.int64(-1))
    sign, at = _behind(at, end)
    if sign != OPEN:
        return False
    seen, sign = 0, COMMA
    while sign == COMMA:
        until = _quote(at + 1, end) if _byte(at) == QUOTE else -1
        size = until - at - 1
        if size <= 0:
            return False
        head, member = _start_of(_word(at + 1), size), 0
        while TOP_LENGTHS[member] != size or TOP_FIRST[member] != head:
            member += 1
            if member == TOP_LENGTHS.size:
                return False
        if seen >> member & 1 or (size > 8 and TOP_LAST[member] != _word(until - 8)):
            return False
        seen |= 1 << member
        at = _skip(until + 1, end)
        if _byte(at) != COLON:
            return False
        at = _skip(at + 1, end)
        if member > END and _half(at) == NULL:
            at += 4
        elif member <= END:
            at, value, _, _ = number(at, end)
            _store(span + 8 * member, value)
        elif member == PATHS:
            at, every, count = _paths(at, end, tables[POINT], tables[LENGTHS_OF])
            _store(counts + 8 * POINT, every)
            _store(counts + 8 * LENGTHS_OF, count)
        elif PATHS < member <= CHANGES:
            sort = member - PATHS
            at, count = _objects(at, end, sort, tables[sort])
            _store(counts + 8 * sort, count)
        elif member == SIZE:
            at = _object(at, end, FRAME, span + 16)
        elif member == IDENTITY:
            until = _quote(at + 1, end) if _byte(at) == QUOTE else -1
            if until - at - 1 != key_size or not same(at + 1, key, key_size):
                return False
            at = until + 1
        elif member == KIND:
            if _byte(at) != QUOTE or _word(at + 1) != BEHAVIOR or _byte(at + 9) != QUOTE:
                return False
            at += 10
        else:
            at, _, whole, _ = number(at, end)
            if not 0 <= whole <= MAX_EPOCH_MS:
                return False
            _store(counts + 8 * OBSERVED, whole)
        if not 0 <= at <= end:
            return False
        sign, at = _behind(at, end)
    return sign == CLOSE and seen & 3 == 3 and at == end


@njit(nogil=True, cache=True)
def read_windows(
    text, ends, keys, key_ends, points, clicks, strokes, scrolls, changes, lengths, counts, span,
    common, hands, soon, near, longest, good, times, rows,
):  # fmt: skip
    """Read windows, and average over each; ``good[n]`` is whether that could be done.

    Args:
        text, ends: the records one after another, and where each ends; sixteen zeros behind.
        keys, key_ends: the same of their keys.
        points, clicks, strokes, scrolls, changes, lengths: scratch, one more row in each than a
            record can have.
        counts, span: scratch, (7,) and (4,).
        common, hands, soon, near, longest: as in ``window``.
        good: out, (n,).
        times: out, time of observation in epoch milliseconds, -1 where none is told, (n,).
        rows: out, the features, (n, 52).
    """
    text_at, keys_at = address(text), address(keys)
    tables = (
        address(points), address(clicks), address(strokes), address(scrolls), address(changes),
        address(lengths),
    )  # fmt: skip
    at = key = 0
    for n in range(ends.size):
        good[n] = _read(
            text_at + at, text_at + ends[n], keys_at + key, key_ends[n] - key, tables,
            address(counts), address(span),
        )  # fmt: skip
        if good[n]:
            times[n] = counts[OBSERVED]
            window(
                points[: counts[POINT]], lengths[: counts[LENGTHS_OF]], clicks[: counts[CLICK]],
                strokes[: counts[STROKE]], scrolls[: counts[SCROLL]], changes[: counts[CHANGE]],
                span[0], span[1], common, hands, soon, near, longest, rows[n],
            )  # fmt: skip
        at, key = ends[n], key_ends[n]
