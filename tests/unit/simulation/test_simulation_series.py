"""Metrics under random schedules: the verdicts are those of a scorer that nothing happened to."""

import os
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import orjson
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from models import artifacts
from models.artifacts import Artifact, Model
from models.calibration.conformal import sample_budget
from models.detectors.forecast.batch import MetricPoints, judge_in_order
from models.detectors.forecast.detector import Forecast
from models.kernels.forecast import layout
from processor.state import ring_codec
from processor.state.ring_codec import HEAD
from tests.unit.simulation.schedules import ENDS, WHO, Schedules
from tests.unit.simulation.world import PARTITIONS, SETTINGS, TOPICS, Disk

PROFILES = ("a", "b")
EXAMPLES = int(os.environ.get("SCHEDULES", "400")) // 8
TELEMETRY = TOPICS.telemetry("series")
MINUTE = 60_000
POINTS = st.tuples(
    st.integers(0, PARTITIONS - 1),
    st.sampled_from(PROFILES),
    st.sampled_from([1, 1, 1, 3, 20]),
    st.sampled_from(["usual", "usual", "spike", "level", "late"]),
)
"""Partition, profile, how many points, and what they are."""
WORK = st.lists(st.tuples(POINTS, st.integers(1, 30), ENDS), min_size=1, max_size=8)


@dataclass
class Shelf(Disk):
    """A model directory of which every artefact that ever was can be read."""

    ever: dict[str, bytes] = field(default_factory=dict)

    def write(self, artifact: Artifact) -> None:
        super().write(artifact)
        self.ever[artifact.sha256] = artifact.payload

    def model(self, sha256: str) -> Model:
        return artifacts.unpack(self.ever[sha256], sha256)


class Metrics(Schedules):
    """Two scorers and two retrainers on two partitions."""

    @initialize()
    def start(self) -> None:
        self.shelf = Shelf()
        self.begin(self.shelf)
        self.at: dict[tuple[int, str], int] = {}
        for partition in range(PARTITIONS):
            for profile in PROFILES:
                for _ in range(2):
                    self.send(partition, profile, 20, "usual")
        for process in self.processes[:2]:
            self.end(process, process.step(1000, self.now), "commit")

    def send(self, partition: int, profile: str, count: int, what: str) -> None:
        begin = self.at.get((partition, profile), 0)
        self.at[partition, profile] = begin + count
        times = np.arange(begin, begin + count)
        values = np.sin(times / 3.0) + 0.1 * np.cos(7.0 * times)
        if what == "spike":
            values[-1] += 9.0
        elif what == "level":
            values += 4.0
        elif what == "late":
            times = times - 5
        said = {"timestamps": (self.now // 2 + MINUTE * times).tolist(), "values": values.tolist()}
        self.kafka.append(TELEMETRY, partition, profile.encode(), orjson.dumps(said))

    @rule(who=WHO, work=WORK)
    def points_arrive_and_steps_are_made(self, who: int, work: list) -> None:
        process = self.processes[who]
        for points, most, end in work:
            self.send(*points)
            self.end(process, process.step(most, self.now), end)

    @rule(who=WHO, work=WORK)
    def steps_are_computed_ahead_of_the_commit_before(self, who: int, work: list) -> None:
        turns = [(partial(self.send, *points), most, end) for points, most, end in work]
        self.ahead(self.processes[who], turns)

    @rule(profile=st.sampled_from(PROFILES), command=st.sampled_from(["retrain", "rollback"]))
    def another_version_is_asked_for(self, profile: str, command: str) -> None:
        self.commands += 1
        value = orjson.dumps(
            {
                "command_id": f"c{self.commands}",
                "command": command,
                "profile_id": profile,
                "issued_at": self.now,
            }
        )
        for partition in range(PARTITIONS):
            self.kafka.append(TOPICS.commands, partition, profile.encode(), value)

    def teardown(self) -> None:
        """In the end everything is answered, as if nothing had happened."""
        if not hasattr(self, "kafka"):
            return
        for name in ("scorer", "retrainer"):
            self.the_group_rebalances(name, (0, 1))
        for process in [*self.processes, *self.processes]:
            self.finish(process)
        for partition in range(PARTITIONS):
            for profile in PROFILES:
                self.replay(partition, profile)

    def replay(self, partition: int, profile: str) -> None:
        """Every verdict is that of the version in force with the state that the points before it
        left, to the bit, and the last state is the one that is stored.
        """
        log = self.kafka.logs[TELEMETRY, partition]
        said = {
            verdict["verdict_id"]: verdict
            for verdict in self.kafka.values(TOPICS.anomalies, partition)
        }
        sent = [record for record in log if record.key == profile.encode()]
        assert len(said) == len(log)
        versions = {
            (model["generation"], model["version"]): model["sha256"]
            for model in self.kafka.values(TOPICS.models, partition)
            if model is not None and model["profile_id"] == profile
        }
        state = None
        for record in sent:
            verdict = said[f"{TELEMETRY}-{partition}-{record.offset}"]
            if verdict["status"] != "scored":
                continue
            model = self.shelf.model(versions[verdict["generation"], verdict["model_version"]])
            assert isinstance(model.detector, Forecast)
            points = orjson.loads(record.value)
            times, values = (np.array(points[n], float) for n in ("timestamps", "values"))
            (state,), columns = judge_in_order([MetricPoints(model.detector, state, times, values)])
            surprise = columns[:, layout.SURPRISE]
            budget = sample_budget(SETTINGS.alert_budget, values.size)
            assert verdict["decision"] == float((-surprise - np.log([budget])).min())
        if state is not None:
            stored = {
                each.key: each.value for each in self.kafka.compacted(TOPICS.cold_start, partition)
            }[ring_codec.key("series", profile, HEAD)]
            assert ring_codec.decode_online(stored)[1] == state


Metrics.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=20,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestMetrics = Metrics.TestCase
