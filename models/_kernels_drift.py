"""Numba kernel of drift: the records of a batch, profile by profile; see ``drift.py``.

It releases the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def follow_groups(
    counts, skipped, means, decisions, p_values, gentle, bold, records, quiet, plain, rule
):
    """Follow ``counts[g]`` records of each profile where none is an anomaly and no drift is told.

    ``plain[g]`` says whether that is so; then ``gentle``, ``bold`` and ``records`` are those after
    the last. The first ``skipped[g]`` records are not counted. ``rule`` is the wealth that is
    told, the two stakes, and the most wealth.
    """
    bound, gentle_stake, bold_stake, most = rule
    begin = 0
    for g in range(counts.size):
        end = begin + counts[g]
        a, b, n = gentle[g], bold[g], records[g]
        fine = True
        for at in range(begin, end):
            fine = fine and decisions[at] >= 0.0
            edge = 1.2 * (means[g] - p_values[at]) / (1.0 - means[g])
            if at - begin >= skipped[g] and edge == edge:
                a = min((a if a > 1.0 else 1.0) * (1.0 + gentle_stake * edge), most)
                b = min((b if b > 1.0 else 1.0) * (1.0 + bold_stake * edge), most)
                n += 1
            fine = fine and not ((a + b) * 0.5 >= bound and n >= quiet[g])
        plain[g] = fine
        if fine:
            gentle[g], bold[g], records[g] = a, b, n
        begin = end
