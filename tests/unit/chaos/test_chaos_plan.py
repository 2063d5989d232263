"""What a seed draws: the faults of a round, and who sends telemetry."""

from __future__ import annotations

from itertools import islice
from random import Random

from models.features import KINDS
from tests.chaos.faults import BROKERS, FAULTS, chosen
from tests.chaos.load import RECORDS_OF_A_PROFILE, profiles
from tests.chaos.verify import samples_of

PARTITIONS = 4


def test_a_seed_draws_the_same_faults_at_the_same_moments() -> None:
    assert chosen(Random(11)) == chosen(Random(11))
    assert chosen(Random(11)) != chosen(Random(12))


def test_rounds_draw_every_fault_and_at_most_one_of_a_broker() -> None:
    rounds = [chosen(Random(seed)) for seed in range(100)]

    assert {name for planned in rounds for _, name in planned} == set(FAULTS)
    for planned in rounds:
        assert 2 <= len(planned) <= 3
        assert sum(name in BROKERS for _, name in planned) <= 1
        assert planned == sorted(planned)


def test_every_kind_sends_on_every_partition_and_profiles_are_replaced() -> None:
    places = len(KINDS) * PARTITIONS
    sending = profiles(PARTITIONS, seed=3)
    seen = set()
    for profile in islice(sending, 2 * RECORDS_OF_A_PROFILE * places):
        profile.record()
        seen.add((profile.kind, profile.partition, profile.profile_id))

    assert {(kind, partition) for kind, partition, _ in seen} == {
        (kind, partition) for kind in KINDS for partition in range(PARTITIONS)
    }
    assert len(seen) >= 2 * places


def test_some_records_are_no_telemetry() -> None:
    profile = next(profiles(1, seed=3))
    records = [profile.record() for _ in range(300)]

    assert 0 < sum(samples_of(profile.kind, value) == 0 for value in records) < 30


def test_samples_are_counted_as_the_kinds_define_them() -> None:
    assert samples_of("series", b'{"timestamps": [1, 2], "values": [1, 2]}') == 2
    assert samples_of("drowsiness", b'{"events": [{}, {}, {}]}') == 3
    assert samples_of("drowsiness", b'{"ear_value": 0.3}') == 1
    assert samples_of("features", b'{"values": [1, 2, 3]}') == 1
    assert samples_of("series", b"{") == 0
