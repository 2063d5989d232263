"""What a console has in memory before anybody asks."""

from console.lanes.query import Wanted, find_lanes
from console.live.state import now_ms
from console.pages.warming import warm_lanes
from console.store.database import Database
from tests.unit.console.records import anomaly
from tests.unit.console.test_console_api import fill, made


def test_the_lanes_of_a_day_are_in_memory_before_anybody_asks(database: Database):
    console, now = made(database), now_ms()
    fill(console, anomaly(0, "pump-1", scored_at=now - 3_600_000))

    warm_lanes(console)
    read = console.state.lanes.read
    found = find_lanes(console.state.lanes, database, Wanted(now - 86_400_000, now))

    assert [lane.name for lane in found.lanes] == ["pump-1"]
    assert read == console.state.lanes.read > 0
