"""How a metric's model and its online state lie in memory, and the constants of their meaning.

A model is one block: ``HEAD`` float64, then float32 tails and knots of the calibration, the season
table and the library in binary16, and one bit a library value that says whether a window may end
there. No numba is needed to know that.
"""

from __future__ import annotations

from typing import Final

import numpy as np

STATISTICS: Final = ("error", "mean_error", "level", "volatility", "shape", "cycle", "flat")
LAGS, NEAREST, PROBES, RING = 16, 16, 16, 256
BINS, KNOTS, WEIGHTS, COUNT = 32, 40, 8, len(STATISTICS)
ERROR, MEAN_ERROR, LEVEL, VOLATILITY, SHAPE, CYCLE, FLAT = range(COUNT)
LIMIT_Z, LARGEST, BIN_WIDTH = 1000.0, 40.0, 0.4
GAP_STEPS, CLOCK_SET_BACK = 3.5, 20

# The head of a model, float64: ``FIRST_WEIGHT`` is that of eight weights of the forecast.
HEAD = 20
(MEDIAN, SCALE, STEP, PERIOD, BUCKETS, LAG, RATE, LONG, FLOOR, ORIGIN) = range(10)
FIRST_WEIGHT, SHAPES, LIBRARY = 10, 18, 19
TAILS_AT = 8 * HEAD
KNOTS_AT = TAILS_AT + 4 * 4 * COUNT
SEASON_AT = KNOTS_AT + 4 * KNOTS * COUNT

STATE: Final = np.dtype(
    [
        *((name, "f8") for name in ("last", "last_time", "points", "since_gap", "level", "spread")),
        *((name, "f8") for name in ("analog", "mean_error", "volatility", "equal", "season")),
        *((name, "f8") for name in ("probe", "late", "tick", "median", "scale")),
        ("distance", "f4", NEAREST),
        ("total", "u4", COUNT),
        ("near", "u2", NEAREST),
        ("ring", "f2", RING),
        ("surprise", "u2", (COUNT, BINS)),
        ("run", "u2"),
        ("alone", "u2"),
    ]
)
"""The online state of one profile; ``median`` and ``scale`` are those of the model it belongs to.

``surprise`` counts in ``UNITS``, ``near`` from 1 (0: none). ``run`` grows with each error that is
far off and falls with each other; ``alone`` is the share of those that were alone, of 65,536.
"""
_OFFSETS = {name: place[1] for name, place in (STATE.fields or {}).items()}
(LAST, LAST_TIME, POINTS, SINCE_GAP, S_LEVEL, SPREAD, ANALOG, S_MEAN, S_VOLATILITY) = range(9)
EQUAL, SEASON, PROBE, LATE, TICK, S_MEDIAN, S_SCALE, SCALARS = range(9, 17)
DISTANCE_AT, TOTAL_AT = _OFFSETS["distance"], _OFFSETS["total"]
RUN_AT = _OFFSETS["run"]
NEAR_AT, RING_AT, SURPRISE_AT = _OFFSETS["near"], _OFFSETS["ring"], _OFFSETS["surprise"]

# An error beyond ``FAR`` deviations is far off. It stands alone if the calibration says that it is
# rarer than ``UNHEARD`` nats and there was no run of them: then nothing learns from it, unless
# ``OFTEN`` of 65,536 were alone lately, 2.6 %: they are usual then. Beyond ``ABRUPT`` deviations
# the usual size of an error follows a run at once. Beyond ``ABSURD`` the regime is another one: the
# calibration leaves such errors out.
FAR, UNHEARD, ABRUPT, ABSURD = 7.0, 10.0, 40.0, 200.0
RUN_STEP, RUN, LONGEST_RUN = 4, 10, 16
KEPT, OFTEN, AT_ONCE = 3.0, 1700, 0.3

# Columns of what a point gives: log p-values are negated, nats. ``MEAN_BEHIND``, ``EQUAL_BEHIND``:
# mean error and run of equal values with it. From ``VALUES`` and ``SHARES`` on: of each statistic.
(RARITY, SURPRISE, EXPECTED, DEVIATION, MEAN_BEHIND, EQUAL_BEHIND, VALUES) = range(7)
SHARES, COLUMNS = VALUES + COUNT, VALUES + 2 * COUNT

# Recent surprise is forgotten by half in so many points, and believed against so many points that
# agree with the calibration. Between two of its decays, every 32 points, new ones count for more.
HALVES = np.array([100.0, 100.0, 100.0, 1000.0, 1000.0, 1000.0, 1000.0])
PRIORS = np.array([30.0, 30.0, 30.0, 200.0, 200.0, 200.0, 200.0])
TICKS = 32
GROWTH = 2.0 ** (np.arange(TICKS) / HALVES[:, None])
DECAYS = 2.0 ** (-TICKS / HALVES)
UNITS = np.floor(64000.0 * (1.0 - 2.0 ** (-1.0 / HALVES)) * DECAYS)
# How much each statistic counts: the shapes for what was learnt, the errors for what is usual now.
STATIC_VOTES = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0])
RECENT_VOTES = np.array([2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5])
