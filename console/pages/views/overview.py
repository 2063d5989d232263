"""The overview: what is abnormal now, how the profiles are, whether everything works."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from console.auth.callers import Console, needs
from console.auth.permissions import MODEL_READ, Caller
from console.live.statistics import outcomes, statistics
from console.pages import pulse
from console.pages.rendering import PREFIX, render

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
Step = Annotated[Literal["10s", "1m", "5m", "15m", "1h"], Query()]


@router.get("/overview")
def overview(request: Request, console: Console, who: Reader, step: Step = "1m") -> Response:
    """The page; its parts are read again as the stream goes on."""
    remembered: pulse.Pulse = request.app.state.pulse
    counts = statistics(console.state, who, console.kafka.alert_budget)
    begins, found = pulse.intervals(console, who, pulse.STEPS[step])
    return render(
        request,
        "overview.html",
        who,
        step=step,
        steps=pulse.STEPS,
        since=begins[0],
        found={name: sum(each) for name, each in found.items()},
        chart=pulse.chart(begins, found),
        counts=counts,
        states=remembered.states(console, who),
        state_names=pulse.STATES,
        rate=remembered.rate(console, who, counts["total_events"]),
        lag=sum(console.state.lag.values()),
        worst=pulse.worst(console, who, begins[0]),
        events=pulse.happened(console, who, 10),
        outcomes=outcomes(console.state, who),
        changes=pulse.happened(console, who, 8, pulse.MODEL_EVENTS),
        health=pulse.health(console),
        guide=console.settings.console_guide,
    )
