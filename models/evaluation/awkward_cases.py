"""The awkward streams that are played, each with what it must come to."""

from __future__ import annotations

from functools import partial

from models.evaluation.awkward import (
    Case,
    _series,
    _vectors,
    absent,
    accepted,
    constants,
    counter,
    day_and_night,
    enveloped,
    in_seconds,
    in_turn,
    short_first,
    stationary,
    step,
)

CONNECT = '{"schema":{"type":"string","optional":false},"payload":"ID"}'


REFUSED = partial(Case, false_alarms=None, found=None, dead_letters=True)


CASES: tuple[Case, ...] = (
    *(
        Case("equal samples", f"vectors, first {n} of 200 equal", partial(_vectors, equal=n))
        for n in (160, 180, 195)
    ),
    Case(
        "equal samples",
        "vectors, 160 of 200 equal, scattered",
        partial(_vectors, equal=160, scattered=True),
        false_alarms=(0.0, 0.05),
    ),
    *(
        Case("equal samples", f"series, first {n} of 200 equal", partial(_series, equal=n),
             kind="series")
        for n in (180, 195, 199)
    ),
    *(
        Case("repeated samples", f"each {k} times", partial(_vectors, repeats=k))
        for k in (2, 6, 15)
    ),
    *(
        Case("dependence", f"AR(1), {phi}", partial(_vectors, dependence=phi))
        for phi in (0.8, 0.9, 0.95)
    ),
    Case(
        "dependence", "AR(1), 0.98", partial(_vectors, dependence=0.98), false_alarms=(0.0, 0.05)
    ),
    Case("dependence", "series, AR(1), 0.9", partial(_series, dependence=0.9), kind="series"),
    Case(
        "budget", "vectors, stationary",
        partial(stationary, make=partial(_vectors, every=100)),
        false_alarms=(0.0075, 0.0125), long=4,
    ),
    Case(
        "budget", "series, stationary",
        partial(stationary, make=partial(_series, every=100)), kind="series",
        false_alarms=(0.0075, 0.0125), long=4,
    ),
    *(
        Case("offset", f"{centre:g} ± {spread:g}", partial(_vectors, centre=centre, spread=spread))
        for centre, spread in ((1.78e12, 1e4), (6.8e10, 500.0), (1e9, 10.0))
    ),
    *(
        Case("offset", f"series, 1e9 ± {spread:g}",
             partial(_series, centre=1e9, spread=spread), kind="series")
        for spread in (0.5, 1.0)
    ),
    Case("names", "short first record", short_first),
    Case("names", "3 of 7 names in turn", in_turn, found=None),
    Case("counters", "a total that grows", counter, false_alarms=None, found=None,
         event="looks_like_counter"),
    Case("constants", "3 after a constant 2", constants),
    *(
        Case("pollution", f"{share:.0%} of what is learnt", partial(_vectors, polluted=share),
             found=0.83)
        for share in (0.02, 0.05)
    ),
    Case("absent feature", "absurd, then plain", absent, false_alarms=None, found=None,
         event="features_changed"),
    *(
        Case("new normal", f"step by {by:g} deviations", partial(step, by=by),
             false_alarms=(0.0, 0.02), event="shifted" if by > 1.0 else None)
        for by in (1.0, 2.0, 3.0, 5.0, 8.0)
    ),
    Case("new normal", "day and night", day_and_night, false_alarms=(0.0, 0.02)),
    *(
        Case("accepted verdicts", f"{first} at {far:+g} deviations, of every fourth record",
             partial(accepted, first=first, far=far), false_alarms=(0.0, 0.1))
        for first, far in ((45, -8.0), (20, -8.0))
    ),
    REFUSED("units of time", "seconds", in_seconds),
    REFUSED("keys", "Connect envelope", partial(enveloped, form=CONNECT)),
    REFUSED("keys", "JSON object", partial(enveloped, form='{"id":"ID"}')),
)  # fmt: skip
"""Every case; kinds that need recordings of behaviour are measured by ``evaluate`` itself."""
