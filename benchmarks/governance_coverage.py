"""Bias analyses of simulated fleets: what is planted is found, what is equal stays quiet.

    python -m benchmarks.governance_coverage [--seeds 100]

Prints for each planted unfairness how often each metric found it, how many metrics spoke on equal
fleets, and how often intervals held the truth. Exit code 1 if a promise of docs/governance.md is
not kept.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.governance.bias.analysis import BiasRequest, analyse
from models.governance.monitoring.drift import Sketches, drift
from tests.unit.governance import simulated

FOUND, SPOKE, COVERED = 0.95, 0.05, (0.93, 0.97)
DRAWS = 400
ANALYSIS_SEEDS = 1_000_000
LABEL_METRICS = ("demographic_parity", "alert_rate_ratio", "equal_opportunity")


def metrics_of(
    seed: int, told: simulated.Unfairness, confidence: float = 0.95
) -> Mapping[str, Any]:
    """The metrics of a fleet with a seed of its own."""
    fleet = simulated.fleet(np.random.default_rng(seed), told)
    # Draws of the analysis are to be independent of those that made the fleet.
    own = seed + ANALYSIS_SEEDS
    request = BiasRequest(["group"], bootstrap_samples=DRAWS, confidence=confidence, seed=own)
    metrics: Mapping[str, Any] = analyse(fleet, request)["metrics"]
    return metrics


def speaks(metric: Mapping[str, Any]) -> bool:
    """Whether a metric finds a difference: beyond its threshold, and more than chance."""
    return metric["status"] in ("warning", "fail") and metric["p_value"] <= 0.05


def found(seeds: Sequence[int]) -> dict[str, float]:
    """Planted unfairness and metric → how often it is found."""
    counts: Counter[str] = Counter()
    for name, (told, wanted) in simulated.FINDS.items():
        for seed in seeds:
            metrics = metrics_of(seed, told)
            counts.update(f"{name}: {each}" for each in wanted if speaks(metrics[each]))
    wanted = [f"{name}: {each}" for name, (_, some) in simulated.FINDS.items() for each in some]
    return {name: counts[name] / len(seeds) for name in wanted}


def spoke(seeds: Sequence[int]) -> float:
    """Share of metrics that speak on fleets whose groups are alike."""
    loud = total = 0
    for seed in seeds:
        for metric in metrics_of(10_000 + seed, simulated.EQUAL).values():
            if metric["status"] != "not_applicable":
                total += 1
                loud += speaks(metric)
    return loud / total


def covered(seeds: Sequence[int], told: simulated.Unfairness) -> dict[str, float]:
    """Metric → how often its interval holds the truth."""
    true, counts = simulated.truth(told), Counter[str]()
    for seed in seeds:
        metrics = metrics_of(20_000 + seed, told)
        for name in LABEL_METRICS:
            held = metrics[name]["confidence_interval"]
            counts[name] += held["lower"] <= true[name] <= held["upper"]
    return {name: counts[name] / len(seeds) for name in LABEL_METRICS}


def sketches(
    rng: np.random.Generator,
    features: int,
    days: int,
    moved: Sequence[int] = (),
    each: int = 100,
) -> Sketches:
    """Daily sketches of features that do not drift, but for some.

    Args:
        each: records of a feature and day.
    """
    shares = np.full((features, 12), 0.1)
    shares[:, [0, -1]] = 0.0
    for feature in moved:
        shares[feature, 1:-1] = np.array([1, 1, 1, 1, 1, 1, 1, 1, 4, 8]) / 20.0
    bins = rng.multinomial(each, shares[:, None, :], size=(features, days))
    return Sketches(
        bins.astype(np.float64),
        np.zeros((features, days)),
        rng.normal(0.0, each**-0.5, (features, days)),
        np.full((features, days), float(each)),
    )


def drift_found(seeds: Sequence[int], features: int = 1000) -> tuple[float, float, int]:
    """Share of seeds that find one profile's drifting feature among those of many profiles.

    Beside it the share of seeds with a false discovery, and how many stationary features are said
    to have moved in all seeds.
    """
    hits = false = alarms = 0
    for seed in seeds:
        rng = np.random.default_rng(30_000 + seed)
        reference = sketches(rng, features, 30)
        told = drift(reference, sketches(rng, features, 7, [0])).moved
        hits += bool(told[0])
        false += bool(told[1:].any())
        alarms += int(drift(reference, sketches(rng, features, 7)).moved.sum())
    return hits / len(seeds), false / len(seeds), alarms


def main() -> int:
    """Print all figures; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    seeds = range(parser.parse_args().seeds)
    good = True
    for name, share in found(seeds).items():
        good &= share >= FOUND
        print(f"found      {name:40} {share:.3f}  (at least {FOUND})", flush=True)
    quiet = spoke(seeds)
    good &= quiet <= SPOKE
    print(
        f"equal      metrics that speak                       {quiet:.3f}  (at most {SPOKE})",
        flush=True,
    )
    intervals = covered(range(10 * len(seeds)), simulated.GAPS)
    for name, share in intervals.items():
        good &= COVERED[0] <= share <= COVERED[1]
        print(f"interval   {name:40} {share:.3f}  ({COVERED[0]} to {COVERED[1]})", flush=True)
    hits, false, alarms = drift_found(seeds)
    good &= hits >= FOUND and false <= 0.05 and alarms <= 0.05 * len(seeds)
    print(f"drift      found {hits:.3f}, seeds with a false discovery beside it {false:.3f}")
    print(f"drift      stationary features said to have moved: {alarms} in {len(seeds)} seeds")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
