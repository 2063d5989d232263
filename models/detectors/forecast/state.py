"""The online state of a profile: what a detector knows of the points since its training."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.kernels.forecast import layout

State: TypeAlias = NDArray[np.void]
"""Values of ``layout.STATE``, of one profile shape (1,): bytes that may be stored and compared."""

Floats = NDArray[np.float64]

STATE_BYTES = layout.STATE.itemsize

_COUNTS = {
    **dict.fromkeys(("points", "since_gap", "equal", "late", "probe"), 2.0**53),
    "tick": float(layout.TICKS),
}


def new_state(head: Floats) -> State:
    """The state before the first point, of a model with that head."""
    state = np.zeros(1, layout.STATE)
    state["median"], state["scale"] = head[layout.MEDIAN], head[layout.SCALE]
    state["spread"], state["volatility"], state["season"] = head[layout.LONG], 0.8, np.nan
    return state


def moved(state: State, head: Floats) -> State:
    """The state, left as it is, at the scale of another model of the same profile, by its head."""
    carried = state.copy()
    median, scale = head[layout.MEDIAN], head[layout.SCALE]
    ratio, offset = state["scale"] / scale, (state["median"] - median) / scale
    carried["median"], carried["scale"] = median, scale
    bound = layout.LIMIT_Z
    carried["ring"] = np.clip(state["ring"].astype(np.float64) * ratio + offset, -bound, bound)
    carried["level"] = np.clip(state["level"] * ratio + offset, -bound, bound)
    carried["spread"] = np.minimum(state["spread"] * ratio, bound)
    carried["analog"], carried["season"], carried["near"] = 0.0, np.nan, 0
    # That errors were unheard of by the model before says nothing of those by this one.
    unheard = carried["surprise"][:, layout.ERROR, int(layout.UNHEARD / layout.BIN_WIDTH) :]
    carried["total"][:, layout.ERROR] -= unheard.sum(axis=1, dtype=np.uint32)
    unheard[:] = 0
    return carried


def to_bytes(state: State) -> bytes:
    """The state as it is stored."""
    return state.tobytes()


def from_bytes(*stored: bytes) -> State:
    """Stored states, each ``STATE_BYTES`` long, shape (n,).

    Raises:
        ValueError: another number of bytes than a state has, or a count that is none: the kernels
            take these as places in memory.
    """
    for size in map(len, stored):
        if size != STATE_BYTES:
            raise ValueError(f"a state of {size} bytes: expected {STATE_BYTES}")
    states = np.frombuffer(b"".join(stored), layout.STATE).copy()
    for name, end in _COUNTS.items():
        counts = states[name]
        wrong = ~((counts >= 0.0) & (counts < end) & (counts == np.floor(counts)))
        if wrong.any():
            raise ValueError(
                f"a state whose {name} is {counts[wrong][0]}: expected 0 to {end:g}, integer"
            )
    return states
