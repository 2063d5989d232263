"""What goes wrong: each fault is a generator that says how many seconds until its next move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic

from confluent_kafka import KafkaException, Producer

from processor.topics import Topics
from tests.chaos.cast import Cast, Slot
from tests.kafka.broker import JvmBroker

# Where both make new producers after an outage, the later one wins, and then the one restarted.
FENCED_SECONDS = 90.0
LOOK_SECONDS = 0.2
JUNK = 20


@dataclass(frozen=True)
class Stage:
    """What faults act on.

    Attributes:
        session: the group's session time-out in seconds.
        note: tells what was done to whom.
    """

    cast: Cast
    brokers: Sequence[JvmBroker]
    bootstrap: str
    topics: Topics
    partitions: int
    session: float
    note: Callable[[str], None]


Fault = Callable[[Stage, Random], Iterator[float]]


def kill(stage: Stage, rng: Random) -> Iterator[float]:
    """Kill -9 of a role."""
    slot = _one(stage, rng)
    stage.note(f"kill {slot}")
    stage.cast.kill(slot)
    yield 0.0


def kill_all(stage: Stage, rng: Random) -> Iterator[float]:
    """Kill -9 of all processes at once, and of one of them again while it starts."""
    stage.note("kill all")
    for slot in stage.cast.slots():
        stage.cast.kill(slot)
    yield rng.uniform(1.0, 4.0)
    again = _one(stage, rng)
    stage.note(f"kill {again} again")
    stage.cast.kill(again)
    yield 0.0


def terminate(stage: Stage, rng: Random) -> Iterator[float]:
    """SIGTERM and a restart."""
    slot = _one(stage, rng)
    stage.note(f"terminate {slot}")
    stage.cast.terminate(slot)
    yield 0.0


def scale(stage: Stage, rng: Random) -> Iterator[float]:
    """One process more, or the one more leaves."""
    role = _role(rng)
    slot = (role, "2")
    if slot in stage.cast.slots():
        stage.note(f"scale in {slot}")
        stage.cast.terminate(slot, restart=False)
    else:
        stage.note(f"scale out {slot}")
        stage.cast.start(slot)
    yield 0.0


def zombie(stage: Stage, rng: Random) -> Iterator[float]:
    """SIGSTOP for longer than the session, so that others take over; then it goes on."""
    slot = _one(stage, rng)
    seconds = stage.session * rng.uniform(1.3, 3.0)
    stage.note(f"freeze {slot} for {seconds:.1f} s")
    life = stage.cast.freeze(slot)
    yield seconds
    if life is not None:
        stage.note(f"thaw {life.name}")
        stage.cast.thaw(life)


def pause(stage: Stage, rng: Random) -> Iterator[float]:
    """SIGSTOP for less than the session: nobody takes over, clients meet their time-outs."""
    slot = _one(stage, rng)
    seconds = stage.session * rng.uniform(0.2, 0.8)
    stage.note(f"pause {slot} for {seconds:.1f} s")
    life = stage.cast.freeze(slot)
    yield seconds
    if life is not None:
        stage.cast.thaw(life)


def twin(stage: Stage, rng: Random) -> Iterator[float]:
    """A second process with a slot that is held: the first must end, and not with 0."""
    yield from _fenced(stage, _one(stage, rng), 0.0)


def zombie_twin(stage: Stage, rng: Random) -> Iterator[float]:
    """The supervisor replaces a process that hangs, and then it goes on."""
    yield from _fenced(stage, _one(stage, rng), stage.session * rng.uniform(1.3, 2.5))


def _fenced(stage: Stage, slot: Slot, frozen: float) -> Iterator[float]:
    if frozen:
        stage.cast.freeze(slot)
    stage.note(f"twin of {slot}" + (f", frozen for {frozen:.1f} s" if frozen else ""))
    first = stage.cast.twin(slot)
    if first is None:
        return
    if frozen:
        yield frozen
        stage.note(f"thaw {first.name}")
        stage.cast.thaw(first)
    deadline = monotonic() + FENCED_SECONDS
    while not stage.cast.ended(first):
        if monotonic() > deadline:
            stage.cast.problems.append(f"{first.name} goes on beside its twin")
            stage.cast.abort(first)
            return
        yield LOOK_SECONDS
    stage.note(f"{first.name} ended")


def kill_broker(stage: Stage, rng: Random) -> Iterator[float]:
    """Kill -9 of a broker, away for some seconds."""
    broker = rng.choice(list(stage.brokers))
    stage.note(f"kill broker {broker.port}")
    broker.kill()
    yield rng.uniform(0.0, 4.0)
    broker.start()
    stage.note(f"broker {broker.port} is back")


def restart_broker(stage: Stage, rng: Random) -> Iterator[float]:
    """A clean restart of a broker."""
    broker = rng.choice(list(stage.brokers))
    stage.note(f"restart broker {broker.port}")
    broker.stop()
    yield rng.uniform(0.0, 2.0)
    broker.start()
    stage.note(f"broker {broker.port} is back")


def freeze_broker(stage: Stage, rng: Random) -> Iterator[float]:
    """SIGSTOP of a broker: connections stay open and nobody answers."""
    broker = rng.choice(list(stage.brokers))
    # Beyond 3 s the controller fences it, and a coordinator forgets who was about to join.
    seconds = rng.uniform(1.0, 10.0)
    stage.note(f"freeze broker {broker.port} for {seconds:.1f} s")
    broker.pause()
    yield seconds
    broker.resume()


def foreign(stage: Stage, rng: Random) -> Iterator[float]:
    """A foreign producer's transaction stays open in all topics that are read, then is aborted.

    Its telemetry looks like telemetry and its answers like answers: whoever counts one of them
    reads what was never committed.
    """
    producer = Producer(
        {
            "bootstrap.servers": stage.bootstrap,
            "transactional.id": f"foreign-{rng.randrange(10**9)}",
            "transaction.timeout.ms": 20_000,
            "log_level": 0,
        }
    )
    topics = stage.topics
    seconds = rng.uniform(0.2, 4.0)
    stage.note(f"foreign transaction for {seconds:.1f} s")
    try:
        producer.init_transactions(10.0)
        producer.begin_transaction()
        for number in range(JUNK):
            partition = number % stage.partitions
            profile = f"f{partition}-{rng.randrange(3):04d}"
            for topic, key, value in (
                (topics.telemetry("features"), profile, '{"values": {"junk": 1}}'),
                (topics.telemetry("series"), profile, '{"timestamps": [1], "values": [1]}'),
                (topics.candidates, profile, "{}"),
                (topics.accepted, profile, "{}"),
                (topics.anomalies, profile, "{}"),
                (topics.models, f"features:{profile}", "{}"),
                (topics.cold_start, f"features:{profile}:0", "{}"),
                (topics.pool, f"features:{profile}:0", "{}"),
            ):
                producer.produce(topic, key=key, value=value, partition=partition)
        producer.flush(5.0)
        yield seconds
        producer.abort_transaction(10.0)
    except KafkaException as error:
        # Away with the broker: its transaction is aborted when its time-out is over.
        stage.note(f"foreign transaction: {error.args[0].name()}")


ROLES: dict[str, Fault] = {
    "kill": kill,
    "kill all": kill_all,
    "terminate": terminate,
    "scale": scale,
    "zombie": zombie,
    "pause": pause,
    "twin": twin,
    "zombie twin": zombie_twin,
    "foreign transaction": foreign,
}
BROKERS: dict[str, Fault] = {
    "kill broker": kill_broker,
    "restart broker": restart_broker,
    "freeze broker": freeze_broker,
}
FAULTS = ROLES | BROKERS


def chosen(rng: Random) -> list[tuple[float, str]]:
    """The faults of a round with their moments in seconds: two or three, at most one a broker's."""
    names = rng.sample(list(ROLES), rng.choice((1, 2, 2)))
    if rng.random() < 0.5:
        names.append(rng.choice(list(BROKERS)))
    elif len(names) == 1:
        names.append(rng.choice([name for name in ROLES if name not in names]))
    return sorted((rng.uniform(0.3, 4.0), name) for name in names)


def _one(stage: Stage, rng: Random) -> Slot:
    """A slot that is filled: scorers more often than retrainers."""
    role = _role(rng)
    return rng.choice(stage.cast.slots(role))


def _role(rng: Random) -> str:
    drawn = rng.random()
    return "score" if drawn < 0.5 else "retrain" if drawn < 0.75 else "ingest"
