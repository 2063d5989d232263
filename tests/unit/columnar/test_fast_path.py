"""The fast path gives what the plain path gives: outputs byte for byte, and the same state."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.columnar.fast_path import FastPath, NoFastPath
from processor.records import ConsumerRecord, ProducerRecord, ProfileKey
from processor.state.profiles import ActiveProfile, LearningProfile, State
from processor.state.spill import encode_learning
from tests.fuzz.corpus import sources
from tests.fuzz.payloads import PARTITION, payload
from tests.fuzz.stage import Stage
from tests.unit.builders import TOPICS, command

SOURCES = sources(None)
SEED = 5
LOST = "simulated-active"
"""A profile whose models cannot be opened, in one of the tests."""


@pytest.fixture(scope="module")
def stages() -> tuple[Stage, Stage]:
    return Stage(SOURCES), Stage(SOURCES, NoFastPath())


@pytest.fixture(scope="module")
def stages_that_lost_a_model() -> tuple[Stage, Stage]:
    both = Stage(SOURCES), Stage(SOURCES, NoFastPath())
    for stage in both:
        stage.lose(LOST)
    return both


COMMANDS = st.builds(
    lambda name, profile: (name, profile),
    st.sampled_from(["suppress", "resume", "forget", "retrain", "rollback"]),
    st.sampled_from(["simulated-active", "simulated-learning", "new-0", "unknown"]),
)
BATCHES = st.tuples(st.integers(0, 100_000), st.integers(1, 80), st.lists(COMMANDS, max_size=2))


def batch_of(drawn: tuple[int, int, list[tuple[str, str]]]) -> list[ConsumerRecord]:
    """Payloads of every kind and fault, commands among them."""
    first, count, commands = drawn
    telemetry = [payload(SEED, first + n, SOURCES).record for n in range(count)]
    asked = [
        command(name, profile=profile, partition=PARTITION, offset=at)
        for at, (name, profile) in enumerate(commands)
    ]
    return [*telemetry[: count // 2], *asked, *telemetry[count // 2 :]]


def comparable(state: State) -> dict[ProfileKey, ActiveProfile | bytes]:
    """The profiles, those that learn as bytes: arrays do not compare as a whole."""
    return {
        key: encode_learning(profile) if isinstance(profile, LearningProfile) else profile
        for key, profile in state.profiles.items()
    }


def by_profile(outputs: Sequence[ProducerRecord]) -> list[ProducerRecord]:
    """Outputs in the order of each topic, key and kind; that of several profiles is free."""

    def place(out: ProducerRecord) -> tuple[str, bytes, str]:
        event = orjson.loads(out.value or b"{}") if out.topic == TOPICS.lifecycle else {}
        return out.topic, out.key or b"", event.get("kind", "")

    return sorted(outputs, key=place)


def same(stages: Sequence[Stage], batch: Sequence[ConsumerRecord]) -> None:
    quick, plain = (by_profile(stage.feed(batch)) for stage in stages)

    assert quick == plain
    of_quick, of_plain = (stage.state for stage in stages)
    assert comparable(of_quick) == comparable(of_plain)
    assert of_quick.suppressions == of_plain.suppressions
    assert of_quick.forgettings == of_plain.forgettings
    assert +of_quick.counts == +of_plain.counts
    assert list(of_quick.learning) == list(of_plain.learning)


@settings(max_examples=40)
@given(BATCHES)
def test_all_kinds_statuses_and_faults(stages: tuple[Stage, Stage], drawn):
    same(stages, batch_of(drawn))


@settings(max_examples=10)
@given(BATCHES)
def test_a_model_that_is_lost(stages_that_lost_a_model: tuple[Stage, Stage], drawn):
    same(stages_that_lost_a_model, batch_of(drawn))


def test_telemetry_that_ingest_wrote_leads_back_to_its_record(stages: tuple[Stage, Stage]):
    headers = ((), (("telltale.source", b"in-3-7"),), (("telltale.source", b"not a place"),))
    valid = [
        one.record
        for number in range(600)
        if (one := payload(SEED, number, SOURCES)).kind == "features" and one.what == "untouched"
    ]
    batch = [one._replace(headers=headers[at % 3]) for at, one in enumerate(valid)]

    for _ in range(2):
        same(stages, batch)
    written = stages[0].feed(batch)

    verdicts = [orjson.loads(out.value or b"") for out in written if out.topic == TOPICS.anomalies]
    assert {v["source"] for v in verdicts} == {None, "in-3-7"}
    assert sum(v["source"] is not None for v in verdicts) == len(batch[1::3])


def test_it_is_the_fast_path_that_is_compared(stages: tuple[Stage, Stage]):
    """Records of one profile that are valid are read in columns from the second batch on."""
    quick, plain = stages
    batch = [
        one
        for number in range(400)
        if (one := payload(SEED, number, SOURCES)).kind == "features" and one.what == "untouched"
    ]
    taken: list[int] = []

    class Counting(FastPath):
        def read(self, reader, telemetry):
            found = super().read(reader, telemetry)
            taken.append(sum(len(read.positions) for read in found[0]))
            return found

    stage = Stage(SOURCES, Counting())
    for _ in range(2):
        stage.feed([one.record for one in batch])

    assert max(taken) > 0
    assert isinstance(plain.context.fast_path, NoFastPath)
    assert not isinstance(quick.context.fast_path, NoFastPath)
