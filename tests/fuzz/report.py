"""The figures of a fuzzing run, and the table that is printed at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.check import Answer
from tests.fuzz.payloads import UNTOUCHED, Payload

OUTCOMES = ("learning", "scored", "anomaly", "abstained", "dead letter")


@dataclass
class Report:
    """Counts and extremes; times in seconds, memory in bytes, RSS in KiB as the kernel tells it."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    mutations: Counter[tuple[str, bool]] = field(default_factory=Counter)
    payloads: int = 0
    compared: int = 0
    trainings: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    slowest: float = 0.0
    slowest_told: str = "none timed"
    slowest_training: float = 0.0
    slowest_training_told: str = "none timed"
    largest: int = 0
    largest_told: str = "none traced"
    early_rss: int = 0
    rss: int = 0

    def take(self, item: Payload, answer: Answer) -> None:
        self.payloads += 1
        self.outcomes[item.kind, answer.outcome] += 1
        if answer.reason is not None:
            self.reasons[answer.reason] += 1
        for name in item.what.split("+"):
            self.mutations[name, answer.reason is not None] += 1

    def batch(self, seconds: float, trained: int) -> None:
        """Add the CPU time of a batch and the models that it brought."""
        self.cpu += seconds
        self.trainings += trained

    def least_worth_telling(self, trains: bool) -> float:
        """Seconds up to which a record changes nothing in the report."""
        return self.slowest_training if trains else self.slowest

    def timed(self, item: Payload, seconds: float, trains: bool) -> None:
        """Note the time of a record, of one that completes a profile's learning apart."""
        if trains and seconds > self.slowest_training:
            self.slowest_training, self.slowest_training_told = seconds, told(item)
        if not trains and seconds > self.slowest:
            self.slowest, self.slowest_told = seconds, told(item)

    def traced(self, item: Payload, taken: int) -> None:
        if taken > self.largest:
            self.largest, self.largest_told = taken, told(item)

    def text(self) -> str:
        """The table."""
        kinds = sorted({kind for kind, _ in self.outcomes})
        lines = ["kind         " + "".join(f"{name:>13}" for name in (*OUTCOMES, "payloads"))]
        for kind in kinds:
            counts = [self.outcomes[kind, name] for name in OUTCOMES]
            cells = "".join(f"{count:>13}" for count in (*counts, sum(counts)))
            lines.append(f"{kind:<13}{cells}")
        sums = [sum(self.outcomes[kind, name] for kind in kinds) for name in OUTCOMES]
        lines.append("all          " + "".join(f"{count:>13}" for count in (*sums, sum(sums))))
        lines += ["", "dead letters by reason"]
        lines += [f"  {reason:<20}{count:>9}" for reason, count in self.reasons.most_common()]
        lines += ["", "what was done             answered  dead letter"]
        names = sorted({name for name, _ in self.mutations if name})
        for name in names:
            good, bad = self.mutations[name, False], self.mutations[name, True]
            lines.append(f"  {name:<22}{good:>10}{bad:>13}")
        untouched = self.mutations[UNTOUCHED, False]
        lines += [
            "",
            f"{self.payloads} payloads, of them {untouched} untouched; 0 failures",
            f"{self.compared} judged again by another JSON parser: the same",
            f"{self.trainings} models trained on the way",
            f"slowest record: {self.slowest * 1e3:.1f} ms of CPU time ({self.slowest_told})",
            f"slowest with a training: {self.slowest_training * 1e3:.1f} ms "
            f"({self.slowest_training_told})",
            f"most memory: {self.largest / 2**20:.1f} MiB ({self.largest_told})",
            f"peak RSS: {self.rss / 1024:.0f} MiB"
            + (f", {self.early_rss / 1024:.0f} MiB of it at 25,000" if self.early_rss else ""),
            f"decode → extract → score: {self.payloads / max(self.cpu, 1e-9):.0f} records/s of "
            f"CPU time; with making and checking them {self.payloads / max(self.seconds, 1e-9):.0f}"
            f"/s, {self.seconds:.0f} s of CPU time in all",
        ]
        return "\n".join(lines)


def told(item: Payload) -> str:
    return f"payload {item.number}, {item.kind}, {item.what}, {len(item.record.value or b'')} bytes"
