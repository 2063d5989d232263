"""The forecast detector: time of a point, time of a training, bytes of a profile.

Run with ``python -m benchmarks.bench_forecast``. Times are processor times of one thread: the
least of several repetitions, since whatever else runs on the machine only adds to them, and the
median beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from models.detectors.forecast import Forecast
from models.detectors.forecast.state import STATE_BYTES
from models.evaluation.metric_series.synthetic import KINDS

LEARNT = (30, 100, 200, 750, 2000)
JUDGED = 3000
MOST = {"a point, µs": 2.5, "learning 750 points, ms": 5.0, "bytes at 750 points": 6000.0}


def seconds(run: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Least and median processor time of a call."""
    run()
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken), float(np.median(taken))


def main() -> int:
    """Print the table; 1 if a figure is above what it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=25)
    repetitions = parser.parse_args().repetitions
    times, values = KINDS["daily"](max(LEARNT) + JUDGED, np.random.default_rng(0))
    column = values[:, None]
    figures: dict[str, float] = {}
    print("| detector | learnt | a point, µs (median) | learning, ms (median) | model | state |")
    print("|---|---|---|---|---|---|")
    for name, shapes in (("forecast", True), ("light", False)):
        for learnt in LEARNT:
            X, own = column[:learnt], times[:learnt]
            model = Forecast(shapes=shapes).fit(X, times=own)

            def learn(X=X, own=own, shapes=shapes) -> Forecast:
                return Forecast(shapes=shapes).fit(X, times=own)

            def judge(model=model, first=learnt) -> object:
                part = slice(first, first + JUDGED)
                return model.judge(column[part], times=times[part])

            point, usual_point = (1e6 / JUDGED * taken for taken in seconds(judge, repetitions))
            learning, usual = (1e3 * taken for taken in seconds(learn, repetitions))
            print(
                f"| {name} | {learnt} | {point:.2f} ({usual_point:.2f}) "
                f"| {learning:.2f} ({usual:.2f}) | {model.nbytes} | {STATE_BYTES} |"
            )
            if shapes and learnt == 750:
                figures = {
                    "a point, µs": point,
                    "learning 750 points, ms": learning,
                    "bytes at 750 points": model.nbytes + STATE_BYTES,
                }
    for what, most in MOST.items():
        said = "holds" if figures[what] <= most else "FAILS"
        print(f"{what}: {figures[what]:.2f}, must be at most {most:g}: {said}")
    return int(any(figures[what] > most for what, most in MOST.items()))


if __name__ == "__main__":
    raise SystemExit(main())
