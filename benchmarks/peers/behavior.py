"""Windows of browser interaction with plain pydantic models and numpy: 17 numbers of a window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

PAIRS = {f"{a}{b}" for a, b in zip("THEIAENRT", "HERNANDET", strict=True)}


class Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Size(Part):
    width: float
    height: float


class Key(Part):
    code: str
    down_time: float
    up_time: float | None = None


class Point(Part):
    t: float
    x: float
    y: float


class Click(Point):
    button: int = 0
    duration: float = 0.0


class Scroll(Part):
    t: float
    dy: float


class Focus(Part):
    type: str
    t: float


class Window(Part):
    start_timestamp: float
    end_timestamp: float
    window_size: Size
    key_events: list[Key] = []
    mouse_paths: list[list[Point]] = []
    clicks: list[Click] = []
    scroll_events: list[Scroll] = []
    focus_changes: list[Focus] = []


def extract(window: Window) -> list[float]:
    """The 17 features of a window; 0 where there is nothing to tell one from."""
    speeds, changes, straight, distance = mouse(window.mouse_paths)
    clicks = sorted((click.t, click.x, click.y) for click in window.clicks)
    double = sum(
        b[0] - a[0] < 500 and np.hypot(b[1] - a[1], b[2] - a[2]) <= 10 for a, b in pairwise(clicks)
    )
    dwell = np.array([k.up_time - k.down_time for k in window.key_events if k.up_time is not None])
    keys = sorted(window.key_events, key=lambda k: k.down_time)
    flight = np.array(
        [b.down_time - a.down_time for a, b in pairwise(keys) if a.code[3:] + b.code[3:] in PAIRS]
    )
    scrolls = np.array([(s.t, s.dy) for s in window.scroll_events]).reshape(-1, 2)
    between = np.diff(scrolls[:, 0])
    minutes = (window.end_timestamp - window.start_timestamp) / 60_000
    durations = np.array([click.duration for click in window.clicks])
    return [
        mean(speeds), std(speeds), mean(changes), std(changes), mean(straight),
        mean(durations), double / max(1, len(clicks)),
        mean(dwell), std(dwell), mean(flight), std(flight),
        mean(np.abs(scrolls[:, 1])), std(between), mean(between), mean(scrolls[:, 1] > 0),
        len(window.focus_changes) / minutes if minutes > 0 else 0.0,
        distance / max(1, len(clicks) + len(keys)),
    ]  # fmt: skip


def mouse(
    paths: Sequence[Sequence[Point]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Speeds, accelerations, straightness of each path, and the whole distance."""
    speeds, changes, straight, distance = [np.empty(0)], [np.empty(0)], [], 0.0
    for path in paths:
        points = np.array([(point.t, point.x, point.y) for point in path])
        if len(points) < 2:
            continue
        step = np.diff(points, axis=0)
        seconds = np.maximum(step[:, 0], 1.0) / 1e3
        length = np.hypot(step[:, 1], step[:, 2])
        speeds.append(length / seconds)
        changes.append(np.diff(speeds[-1]) / seconds[1:])
        travelled = float(length.sum())
        if travelled:
            straight.append(float(np.hypot(*(points[-1, 1:] - points[0, 1:]))) / travelled)
        distance += travelled
    return np.concatenate(speeds), np.concatenate(changes), np.array(straight), distance


def mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def std(values: np.ndarray) -> float:
    return float(values.std()) if len(values) else 0.0
