"""Numba kernel that reads verdicts without an alarm as the scorer writes them; see ``verdicts.py``.

It releases the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models.kernels.memory import address
from models.kernels.memory import load_byte as _byte
from models.kernels.memory import load_integer as _integer
from models.kernels.memory import store as _store
from models.kernels.text.numbers import number, same

QUOTE, BACKSLASH, SPACE, LAST = ord('"'), ord("\\"), 32, 126

TEXTS: Final = (
    b'{"verdict_id":"',
    b'","profile_id":"',
    b'","kind":"',
    b'","status":"',
    b'","anomaly":false,"score":',
    b',"decision":',
    b',"p_value":',
    b',"severity":"none","model_version":',
    b',"generation":',
    b',"samples_seen":',
    b',"samples_needed":',
    b',"reasons":[],"rule_severity":',
    b',"suppressed":',
    b',"regime":',
    b',"late":',
    b',"source":',
    b',"observed_at":',
    b',"scored_at":',
    b',"samples":[],"samples_omitted":0',
    b"}",
    b"null",
    b"false",
    b"true",
    b"learning",
    b"scored",
    b"abstained",
    b'"none"',
    b'"low"',
    b'"medium"',
    b'"high"',
    b'"critical"',
)
"""What stands between the values of a verdict, and the words that may stand for one."""

NULL, FALSE, TRUE, STATUS, RULE = 20, 21, 22, 23, 26
SAMPLES, END = 18, 19

STATUSES: Final = ("learning", "scored", "abstained")
RULES: Final = ("", "none", "low", "medium", "high", "critical")
"""Of the columns ``STATUS`` and ``RULE``; the empty one where none is told."""

(
    OF_KIND, OF_STATUS, OF_RULE, SUPPRESSED, GENERATION, SEEN, NEEDED, OBSERVED, SCORED, HASH, WIDTH
) = range(11)  # fmt: skip
"""Columns of what is read."""


@njit(nogil=True, cache=True, inline="always")
def _take(at, end, texts, ends, which):
    """Where a text ends that is at ``at``; -1 if another one is, or ``at`` is -1."""
    begin = _integer(ends + 8 * which)
    size = _integer(ends + 8 * which + 8) - begin
    if at < 0 or end - at < size or not same(at, texts + begin, size):
        return np.int64(-1)
    return at + size


@njit(nogil=True, cache=True)
def _word(at, end, texts, ends, first, last):
    """Which of some words is at ``at``, and where it ends; -1 if none is."""
    for which in range(first, last):
        found = _take(at, end, texts, ends, which)
        if found >= 0:
            return which - first, found
    return np.int64(-1), np.int64(-1)


@njit(nogil=True, cache=True)
def _plain(at, end):
    """Where a text of ASCII without escapes ends; -1 if it does not."""
    while 0 <= at < end and SPACE <= _byte(at) <= LAST and _byte(at) != QUOTE:
        if _byte(at) == BACKSLASH:
            return np.int64(-1)
        at += 1
    return at


@njit(nogil=True, cache=True)
def _number_or_null(at, end, texts, ends):
    """Where a number or null ends, and its value; -1 if there is neither."""
    found = _take(at, end, texts, ends, NULL)
    if found >= 0 or at < 0:
        return found, np.nan, np.int64(-1)
    found, value, whole, _ = number(at, end)
    return found, value, whole


@njit(nogil=True, cache=True)
def _text_or_null(at, end, texts, ends):
    """Where a text or null ends; -1 if there is neither."""
    found = _take(at, end, texts, ends, NULL)
    if found >= 0 or at < 0 or at >= end or _byte(at) != QUOTE:
        return found
    found = _plain(at + 1, end)
    return found + 1 if 0 <= found < end and _byte(found) == QUOTE else np.int64(-1)


@njit(nogil=True, cache=True)
def _read(texts, ends, kinds, kind_ends, count, crc, at, end, key, key_size, row):
    """Whether a record could be read, and its p-value; what else it holds is stored at ``row``."""
    missing = np.nan
    at = _take(at, end, texts, ends, 0)
    mark = at
    at = _plain(at, end)
    if at < 0:
        return False, missing
    found = np.uint64(0xFFFFFFFF)
    for place in range(mark, at):
        low = (found ^ np.uint64(_byte(place))) & np.uint64(0xFF)
        found = (found >> np.uint64(8)) ^ np.uint64(_integer(crc + 8 * np.int64(low)))
    _store(row + 8 * HASH, np.int64(found ^ np.uint64(0xFFFFFFFF)))
    at = _take(at, end, texts, ends, 1)
    if at < 0 or end - at < key_size or not same(at, key, key_size):
        return False, missing
    at = _take(at + key_size, end, texts, ends, 2)
    kind, at = _word(at, end, kinds, kind_ends, 0, count)
    status, at = _word(_take(at, end, texts, ends, 3), end, texts, ends, STATUS, RULE)
    at, _, _ = _number_or_null(_take(at, end, texts, ends, 4), end, texts, ends)
    at, _, _ = _number_or_null(_take(at, end, texts, ends, 5), end, texts, ends)
    at, p_value, _ = _number_or_null(_take(at, end, texts, ends, 6), end, texts, ends)
    at, value, whole = _number_or_null(_take(at, end, texts, ends, 7), end, texts, ends)
    if at < 0 or (whole < 0 and not np.isnan(value)) or p_value < 0 or p_value > 1:
        return False, missing
    at, value, generation = _number_or_null(_take(at, end, texts, ends, 8), end, texts, ends)
    at, _, seen = _number_or_null(_take(at, end, texts, ends, 9), end, texts, ends)
    at, _, needed = _number_or_null(_take(at, end, texts, ends, 10), end, texts, ends)
    if at < 0 or (generation < 0 and not np.isnan(value)) or seen < 0 or needed < 0:
        return False, missing
    at = _take(at, end, texts, ends, 11)
    rule, after = _word(at, end, texts, ends, RULE, RULE + 5)
    at = after if after >= 0 else _take(at, end, texts, ends, NULL)
    suppressed, at = _word(_take(at, end, texts, ends, 12), end, texts, ends, FALSE, FALSE + 2)
    at = _text_or_null(_take(at, end, texts, ends, 13), end, texts, ends)
    _, at = _word(_take(at, end, texts, ends, 14), end, texts, ends, FALSE, FALSE + 2)
    at = _text_or_null(_take(at, end, texts, ends, 15), end, texts, ends)
    at, _, observed = _number_or_null(_take(at, end, texts, ends, 16), end, texts, ends)
    at, _, scored = _number_or_null(_take(at, end, texts, ends, 17), end, texts, ends)
    after = _take(at, end, texts, ends, SAMPLES)
    at = _take(after if after >= 0 else at, end, texts, ends, END)
    _store(row + 8 * OF_KIND, kind)
    _store(row + 8 * OF_STATUS, status)
    _store(row + 8 * OF_RULE, rule + 1)
    _store(row + 8 * SUPPRESSED, suppressed)
    _store(row + 8 * GENERATION, generation)
    _store(row + 8 * SEEN, seen)
    _store(row + 8 * NEEDED, needed)
    _store(row + 8 * OBSERVED, observed)
    _store(row + 8 * SCORED, scored)
    return at == end and kind >= 0 and status >= 0 and observed >= 0 and scored >= 0, p_value


@njit(nogil=True, cache=True)
def read_verdicts(
    texts, ends, kinds, kind_ends, crc, text, text_ends, keys, key_ends, good, rows, p_values
):
    """Read records one after another; ``good`` is whether each could be read.

    Args:
        texts, ends: ``TEXTS`` one after another, and where each begins; one more at the end.
        kinds, kind_ends: the kinds that there are, in the same way.
        crc: the 256 remainders of the polynomial of CRC-32.
        text, text_ends: the records, and where each ends; ``SLACK`` bytes behind the last.
        keys, key_ends: what stands where each one's profile is named.
        good: out.
        rows: out, int64 of shape (records, ``WIDTH``): the columns above, -1 for null, and the
            CRC-32 of the verdict's id.
        p_values: out, not a number for null.
    """
    texts_at, ends_at, kinds_at = address(texts), address(ends), address(kinds)
    kind_ends_at, crc_at, text_at = address(kind_ends), address(crc), address(text)
    keys_at, rows_at = address(keys), address(rows)
    begin = key = np.int64(0)
    for n in range(text_ends.size):
        good[n], p_values[n] = _read(
            texts_at, ends_at, kinds_at, kind_ends_at, kind_ends.size - 1, crc_at,
            text_at + begin, text_at + text_ends[n], keys_at + key, key_ends[n] - key,
            rows_at + 8 * WIDTH * n,
        )  # fmt: skip
        begin, key = text_ends[n], key_ends[n]
