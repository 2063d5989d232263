"""Simulated browser windows: a person's hand at keys, mouse and wheel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

WINDOW_MS: Final = 10_000
WIDTH, HEIGHT = 1440, 900
WORDS: Final = [
    "the",
    "and",
    "then",
    "there",
    "these",
    "other",
    "into",
    "start",
    "station",
    "thing",
    "listen",
    "near",
    "hear",
    "water",
    "rest",
    "is",
    "at",
    "on",
    "in",
    "to",
    "it",
    "are",
    "or",
    "nation",
    "enter",
    "large",
    "sent",
    "tell",
    "sharing",
    "outer",
    "letter",
    "intend",
    "teach",
    "hero",
]


@dataclass(frozen=True)
class Hand:
    """How a person types, points and scrolls; times in ms, distances in px, shares 0–1."""

    dwell: float
    dwell_spread: float
    flight: float
    flight_spread: float
    speed: float
    curve: float
    click: float
    double: float
    scroll: float
    scroll_gap: float
    down: float
    focus: float


def hand(rng: np.random.Generator) -> Hand:
    """A person out of the population."""
    return Hand(
        dwell=rng.uniform(70, 140),
        dwell_spread=rng.uniform(0.12, 0.25),
        flight=rng.uniform(130, 290),
        flight_spread=rng.uniform(0.18, 0.32),
        speed=rng.uniform(500, 1300),
        curve=rng.uniform(0.04, 0.18),
        click=rng.uniform(65, 140),
        double=rng.uniform(0.05, 0.3),
        scroll=rng.choice([53.0, 100.0, 120.0]),
        scroll_gap=rng.uniform(110, 380),
        down=rng.uniform(0.65, 0.95),
        focus=rng.uniform(0.1, 0.8),
    )


ANOMALIES: Final = {"robot": "gross", "takeover": "gross", "other person": "subtle"}


def changed(usual: Hand, what: str | None, rng: np.random.Generator) -> Hand:
    """The hand behind a window: the usual one, or that of an anomaly."""
    if what == "robot":
        return replace(
            usual, dwell=4.0, dwell_spread=0.001, flight=18.0, flight_spread=0.001,
            speed=9000.0, curve=0.0, click=3.0, scroll_gap=20.0,
        )  # fmt: skip
    if what == "takeover":
        slower = 2.6 if usual.dwell < 105 else 0.35
        return replace(
            usual, dwell=usual.dwell * slower, flight=usual.flight * (1.9 if slower > 1 else 0.45),
            speed=usual.speed * (0.25 if slower > 1 else 3.5), click=usual.click * slower,
            curve=0.5, scroll=usual.scroll * 3,
        )  # fmt: skip
    return hand(rng) if what == "other person" else usual


def drifted(usual: Hand, by: float) -> Hand:
    """The same person with more practice: quicker by ``by`` tenths."""
    quicker = 1.0 / (1.0 + 0.1 * max(by, 0.0))
    return replace(usual, dwell=usual.dwell * quicker, flight=usual.flight * quicker)


def simulated_window(used: Hand, rng: np.random.Generator, at: int) -> dict[str, Any]:
    """One record of telemetry: the window of 10 s that begins at ``at``, epoch ms."""
    return {
        "startTimestamp": at,
        "endTimestamp": at + WINDOW_MS,
        "windowSize": {"width": WIDTH, "height": HEIGHT},
        "keyEvents": _keys(used, rng, at),
        "mousePaths": [_path(used, rng, at + 2500 * n) for n in range(int(rng.integers(2, 5)))],
        "clicks": _clicks(used, rng, at),
        "scrollEvents": _scrolls(used, rng, at),
        "focusChanges": [
            {"type": "blur" if n % 2 else "focus", "t": at + 1500 + 700 * n}
            for n in range(int(rng.poisson(used.focus)))
        ],
    }


def _keys(used: Hand, rng: np.random.Generator, at: int) -> list[dict[str, Any]]:
    words = rng.choice(np.array(WORDS), size=int(rng.integers(5, 9)))
    codes = [
        code for word in words for code in (*(f"Key{letter}" for letter in word.upper()), "Space")
    ]
    gaps = used.flight * rng.lognormal(0.0, used.flight_spread, len(codes))
    dwells = used.dwell * rng.lognormal(0.0, used.dwell_spread, len(codes))
    downs = at + 200 + np.cumsum(gaps)
    return [
        {"code": code, "downTime": round(down), "upTime": round(down + dwell)}
        for code, down, dwell in zip(codes, downs.tolist(), dwells.tolist(), strict=True)
    ]


def _path(used: Hand, rng: np.random.Generator, at: int) -> list[dict[str, Any]]:
    start, end = rng.uniform((50, 50), (WIDTH - 50, HEIGHT - 50), (2, 2))
    length = float(np.hypot(*(end - start))) + 1.0
    steps = int(np.clip(length / used.speed * 1000 / 25, 6, 40))
    # Slow at both ends, quick between: the shape of a reach with the hand.
    part = (1 - np.cos(np.linspace(0, np.pi, steps))) / 2
    aside = np.array([start[1] - end[1], end[0] - start[0]]) / length
    bow = used.curve * length * np.sin(np.pi * part) * rng.normal(1.0, 0.3)
    points = start + part[:, None] * (end - start) + bow[:, None] * aside
    if used.curve:
        points += rng.normal(0.0, 0.8, points.shape)
    times = at + length / used.speed * 1000 * np.linspace(0, 1, steps)
    return [
        {"t": round(t, 1), "x": round(x, 1), "y": round(y, 1)}
        for t, (x, y) in zip(times.tolist(), points.tolist(), strict=True)
    ]


def _clicks(used: Hand, rng: np.random.Generator, at: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for n in range(int(rng.integers(2, 5))):
        x, y = rng.integers(50, WIDTH - 50), rng.integers(50, HEIGHT - 50)
        times = [at + 1800 + 2200 * n]
        if rng.random() < used.double:
            times.append(times[0] + round(rng.normal(180, 20)))
        found += [
            {
                "t": time,
                "x": int(x),
                "y": int(y),
                "button": 0,
                "duration": round(used.click * rng.lognormal(0.0, 0.15), 1),
            }
            for time in times
        ]
    return found


def _scrolls(used: Hand, rng: np.random.Generator, at: int) -> list[dict[str, Any]]:
    count = int(rng.integers(4, 10))
    times = at + 500 + np.cumsum(used.scroll_gap * rng.lognormal(0.0, 0.35, count))
    down = np.where(rng.random(count) < used.down, 1.0, -1.0)
    steps = used.scroll * down * rng.integers(1, 4, count)
    return [
        {"t": round(t, 1), "dy": dy} for t, dy in zip(times.tolist(), steps.tolist(), strict=True)
    ]
