"""Models: fit, score, load and bytes, ours beside scikit-learn and isotree in one run."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn.ensemble

import models
from models.artifacts import Model, pack, unpack
from models.kernels import block as packing
from models.kernels import score as score_kernels

SAMPLES, FEATURES, TREES, FORESTS, ROWS_EACH = 200, 17, 100, 200, 10
Timing = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """One row of the table: ours beside a peer's, in one unit.

    ``peer`` is None where the peer is not installed; ``ratio`` is ours / peer.
    """

    name: str
    unit: str
    ours: float
    against: str
    peer: float | None
    must: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None else self.ours / self.peer


def medians(timed: dict[str, Timing], repetitions: int) -> dict[str, float]:
    """Median processor seconds of each, one after another in every repetition: noise hits all."""
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for run in timed.values():
        run()
    for _ in range(repetitions):
        for name, run in timed.items():
            start = time.process_time()
            run()
            taken[name].append(time.process_time() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def peer_isotree() -> Any | None:
    """The isotree package, or None where it is not installed."""
    try:
        return import_module("isotree")
    except ImportError:
        return None


def new_isotree(isotree: Any, seed: int) -> Any:
    return isotree.IsolationForest(
        ntrees=TREES, ndim=1, sample_size=SAMPLES, missing_action="fail", nthreads=1,
        random_seed=seed,
    )  # fmt: skip


def new_sklearn(seed: int) -> Any:
    return sklearn.ensemble.IsolationForest(n_estimators=TREES, random_state=seed)


def fitting(X: np.ndarray, isotree: Any | None, repetitions: int) -> list[Figure]:
    """Fit of one model on 200 × 17."""
    timed: dict[str, Timing] = {
        "ours": lambda: models.IsolationForest(n_estimators=TREES, random_state=0).fit(X),
        "forest": lambda: models.Forest(n_estimators=TREES).fit(X),
        "blend": lambda: models.Blend().fit(X),
        "sklearn": lambda: new_sklearn(0).fit(X),
    }
    if isotree is not None:
        timed["isotree"] = lambda: new_isotree(isotree, 0).fit(X)
    seconds = {name: 1e3 * value for name, value in medians(timed, repetitions).items()}
    return [
        Figure("fit, IsolationForest", "ms", seconds["ours"], "scikit-learn", seconds["sklearn"],
               "≤ 1/40"),
        Figure("fit, IsolationForest", "ms", seconds["ours"], "isotree", seconds.get("isotree")),
        Figure("fit, forest of half-sample trees, calibrated", "ms", seconds["forest"],
               "scikit-learn", seconds["sklearn"]),
        Figure("fit, blend, calibrated", "ms", seconds["blend"], "scikit-learn",
               seconds["sklearn"]),
    ]  # fmt: skip


def scoring(
    samples: Sequence[np.ndarray], rows: np.ndarray, isotree: Any | None, repetitions: int
) -> list[Figure]:
    """One row, and a batch of 2,000 rows over 200 different forests; microseconds a row."""
    ours = [
        models.IsolationForest(n_estimators=TREES, random_state=seed).fit(X)
        for seed, X in enumerate(samples)
    ]
    theirs = [new_sklearn(seed).fit(X) for seed, X in enumerate(samples[:20])]
    ours_by_name = {
        "packed": ours,
        "forest": [models.Forest(random_state=seed).fit(X) for seed, X in enumerate(samples)],
        "blend": [models.Blend().fit(X) for X in samples],
    }
    count = rows.shape[0]
    in_order = np.arange(FORESTS), np.full(FORESTS, ROWS_EACH)
    shuffled = np.random.default_rng(1).permutation(np.repeat(np.arange(FORESTS), ROWS_EACH))
    alone = np.ones(count, dtype=np.int64)
    flat = rows.reshape(-1)
    # Reasons are for anomalies only: one row here and there.
    few = [rows[k : k + 1] for k in range(FORESTS)]
    timed: dict[str, Timing] = {
        "one": lambda: [ours[k].score_samples(rows[k : k + 1]) for k in range(len(theirs))]
    }
    for name, detectors in ours_by_name.items():
        timed[name] = lambda detectors=detectors: together(detectors, *in_order, flat)
        timed[name + " random"] = lambda detectors=detectors: together(
            detectors, shuffled, alone, flat
        )
        if name != "packed":
            timed[name + " alone"] = lambda detectors=detectors: [
                packing.score_rows(detector.block_, row)
                for detector, row in zip(detectors, few, strict=True)
            ]
            timed[name + " why"] = lambda detectors=detectors: [
                packing.explain_rows(detector.block_, row)
                for detector, row in zip(detectors, few, strict=True)
            ]
    timed["sklearn"] = lambda: [
        forest.score_samples(rows[k : k + 1]) for k, forest in enumerate(theirs)
    ]
    timed["sklearn batch"] = lambda: [
        forest.score_samples(rows[k * ROWS_EACH : (k + 1) * ROWS_EACH])
        for k, forest in enumerate(theirs)
    ]
    if isotree is not None:
        trees = [new_isotree(isotree, seed).fit(X) for seed, X in enumerate(samples)]
        timed["isotree one"] = lambda: [
            trees[k].predict(rows[k : k + 1]) for k in range(len(theirs))
        ]
        timed["isotree"] = lambda: [
            forest.predict(rows[k * ROWS_EACH : (k + 1) * ROWS_EACH])
            for k, forest in enumerate(trees)
        ]
        timed["isotree large"] = lambda: trees[0].predict(rows)
    us = {name: 1e6 * value for name, value in medians(timed, repetitions).items()}
    each = {name: value / count for name, value in us.items()}
    by_row = us["sklearn"] / len(theirs)
    one = us["one"] / len(theirs)
    isotree_one = us["isotree one"] / len(theirs) if isotree is not None else None
    in_batch = us["sklearn batch"] / (len(theirs) * ROWS_EACH)
    isotree_each = each.get("isotree")
    return [
        Figure("score, one row, one model", "µs", one, "scikit-learn", by_row),
        Figure("score, one row, one model", "µs", one, "isotree", isotree_one),
        Figure("score, packed batch, rows sorted", "µs a row", each["packed"],
               "scikit-learn row by row", by_row, "≤ 1/800"),
        Figure("score, packed batch, rows sorted", "µs a row", each["packed"],
               "scikit-learn, 10 rows a call", in_batch),
        Figure("score, packed batch, rows sorted", "µs a row", each["packed"],
               "isotree, 10 rows a call", isotree_each, "≤ 1/2"),
        Figure("score, packed batch, rows sorted", "µs a row", each["packed"],
               "isotree, one forest, 2,000 rows a call", each.get("isotree large"), "≤ 1/2"),
        Figure("score, packed batch, rows random", "µs a row", each["packed random"],
               "scikit-learn row by row", by_row),
        Figure("score, packed batch, rows random", "µs a row", each["packed random"],
               "isotree, 10 rows a call", isotree_each),
        Figure("score, packed, half-sample trees, sorted", "µs a row", each["forest"],
               "scikit-learn row by row", by_row),
        Figure("score, packed, blend, sorted", "µs a row", each["blend"],
               "scikit-learn row by row", by_row),
        Figure("score, packed, blend, random", "µs a row", each["blend random"],
               "scikit-learn row by row", by_row),
        Figure("reasons, one row a model, half-sample", "µs a row", us["forest why"] / FORESTS,
               "our own scoring of it", us["forest alone"] / FORESTS, "≤ 2"),
        Figure("reasons, one row a model, blend", "µs a row", us["blend why"] / FORESTS,
               "our own scoring of it", us["blend alone"] / FORESTS, "≤ 2"),
    ]  # fmt: skip


def together(
    detectors: Sequence[Any], order: np.ndarray, counts: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Scores of ``counts[g]`` rows by the detector ``order[g]``, in one compiled call."""
    blocks = [detector.block_ for detector in detectors]
    addresses = np.array([block.ctypes.data for block in blocks])[order]
    sizes = np.array([block.size for block in blocks])[order]
    out = np.empty(int(counts.sum()))
    score_kernels.score_models(addresses, sizes, counts, values, out)
    return out


def storing(X: np.ndarray, isotree: Any | None, repetitions: int) -> list[Figure]:
    """Opening a stored model, digest checked, and its bytes."""
    names = tuple(f"feature_{column}" for column in range(FEATURES))
    artifacts = {
        name: pack(Model(detector.fit(X), names, X.astype(np.float32), {}), kind="features",
                   profile_id="someone", partition=0, generation=0)
        for name, detector in (("forest", models.Forest()), ("blend", models.Blend()))
    }  # fmt: skip
    forest = models.IsolationForest(n_estimators=TREES, random_state=0).fit(X)
    stored = joblib_bytes(new_sklearn(0).fit(X))
    timed: dict[str, Timing] = {
        name: lambda artifact=artifact: unpack(artifact.payload, artifact.sha256)
        for name, artifact in artifacts.items()
    }
    timed["sklearn"] = lambda: joblib.load(io.BytesIO(stored))
    isotree_bytes = None
    if isotree is not None:
        pickled = joblib_bytes(new_isotree(isotree, 0).fit(X))
        isotree_bytes = float(len(pickled))
        timed["isotree"] = lambda: joblib.load(io.BytesIO(pickled))
    ms = {name: 1e3 * value for name, value in medians(timed, repetitions).items()}
    kib = 1024.0
    return [
        Figure("load, forest of half-sample trees", "ms", ms["forest"], "scikit-learn",
               ms["sklearn"]),
        Figure("load, forest of half-sample trees", "ms", ms["forest"], "isotree",
               ms.get("isotree")),
        Figure("load, blend", "ms", ms["blend"], "scikit-learn", ms["sklearn"]),
        Figure("bytes packed, IsolationForest", "KiB", forest.nbytes / kib, "scikit-learn, joblib",
               len(stored) / kib, "≤ 96 KiB"),
        Figure("bytes packed, IsolationForest", "KiB", forest.nbytes / kib, "isotree, joblib",
               None if isotree_bytes is None else isotree_bytes / kib),
        Figure("bytes packed, half-sample trees", "KiB", models.Forest().fit(X).nbytes / kib,
               "scikit-learn, joblib", len(stored) / kib),
        Figure("bytes packed, blend", "KiB", models.Blend().fit(X).nbytes / kib,
               "scikit-learn, joblib", len(stored) / kib),
        Figure("artefact with samples, blend", "KiB", len(artifacts["blend"].payload) / kib,
               "scikit-learn, joblib", len(stored) / kib),
    ]  # fmt: skip


def joblib_bytes(estimator: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


def importing(forests: int) -> float:
    """Largest difference to scikit-learn over so many random imported forests, NaN included."""
    worst = 0.0
    for seed in range(forests):
        random = np.random.default_rng(seed)
        X = random.normal(size=(random.integers(2, 200), random.integers(1, 20)))
        X *= 10.0 ** random.integers(-6, 7, X.shape[1])
        X[random.random(X.shape) < random.choice([0.0, 0.1, 0.4])] = np.nan
        original = sklearn.ensemble.IsolationForest(
            n_estimators=10, max_features=random.choice([0.5, 1.0]), random_state=seed
        ).fit(X)
        imported = models.IsolationForest.from_sklearn(original)
        judged = np.concatenate([X, random.permuted(X * 1.5, axis=0)])
        gap = np.abs(imported.score_samples(judged) - original.score_samples(judged))
        worst = max(worst, float(gap.max()))
    return worst


def to_markdown(figures: Sequence[Figure], difference: float, forests: int) -> str:
    lines = ["| figure | ours | peer | ours ÷ peer | must |", "|---|---|---|---|---|"]
    for figure in figures:
        ratio = figure.ratio
        shown = "–" if ratio is None else f"1/{1 / ratio:,.1f}" if ratio < 1 else f"{ratio:,.2f}"
        peer = f"{figure.against}: " + (
            "not installed" if figure.peer is None else f"{figure.peer:,.3g} {figure.unit}"
        )
        lines.append(
            f"| {figure.name} | {figure.ours:,.3g} {figure.unit} | {peer} | {shown} "
            f"| {figure.must} |"
        )
    lines.append(
        f"| largest difference of {forests:,} imported forests | {difference:.1e} "
        "| scikit-learn | | ≤ 1e-9 |"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with ``--json FILE`` write the figures too."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench_models", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--forests", type=int, default=1000, help="imported forests to compare")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    options = parser.parse_args(arguments)
    models.warm_up()
    isotree = peer_isotree()
    random = np.random.default_rng(0)
    samples = [random.normal(size=(SAMPLES, FEATURES)) for _ in range(FORESTS)]
    rows = random.normal(size=(FORESTS * ROWS_EACH, FEATURES))
    figures = [
        *fitting(samples[0], isotree, options.repetitions),
        *scoring(samples, rows, isotree, options.repetitions),
        *storing(samples[0], isotree, options.repetitions),
    ]
    difference = importing(options.forests)
    print(f"{SAMPLES} × {FEATURES} samples, {TREES} trees, {FORESTS} models, one thread\n")
    print(to_markdown(figures, difference, options.forests))
    if options.json is not None:
        document = {
            "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures],
            "import_difference": difference,
        }
        options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
