"""Numba kernel of drift: the records of a batch, profile by profile; see ``drift.py``.

It releases the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def follow_groups(
    counts, means, decisions, p_values, gentle, bold, records, quiet, since, each, plain, rule
):
    """Follow ``counts[g]`` records of each profile.

    ``plain[g]`` says whether no drift is to be told behind any of them. ``gentle``, ``bold``,
    ``records`` and ``since`` become those after the last, ``each`` is ``since`` behind each record.
    ``rule`` is the wealth that is told, the two stakes, the most wealth, and the records behind an
    anomaly that are not counted.
    """
    bound, gentle_stake, bold_stake, most, guard = rule
    begin = 0
    for g in range(counts.size):
        end = begin + counts[g]
        a, b, n, last = gentle[g], bold[g], records[g], since[g]
        fine = True
        for at in range(begin, end):
            if decisions[at] < 0.0:
                last = 0
            elif decisions[at] >= 0.0:
                if last >= 0:
                    last += 1
                edge = 1.2 * (means[g] - p_values[at]) / (1.0 - means[g])
                if (last < 0 or last > guard) and edge == edge:
                    a = min((a if a > 1.0 else 1.0) * (1.0 + gentle_stake * edge), most)
                    b = min((b if b > 1.0 else 1.0) * (1.0 + bold_stake * edge), most)
                    n += 1
            each[at] = last
            fine = fine and not ((a + b) * 0.5 >= bound and n >= quiet[g])
        plain[g] = fine
        gentle[g], bold[g], records[g], since[g] = a, b, n, last
        begin = end
