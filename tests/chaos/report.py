"""What a run tells: a line a round, and the table at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any


@dataclass
class Report:
    """What was counted so far."""

    seed: int
    rounds: int = 0
    records: int = 0
    dead_letters: int = 0
    replayed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """As a JSON object: what `telltale govern attach` takes for the control R7."""
        others = self.findings.total() - self.findings["lost"] - self.findings["doubled"]
        return {
            "version": version("telltale"),
            "seed": self.seed,
            "rounds": self.rounds,
            "seconds": round(self.seconds, 1),
            "faults": dict(self.faults),
            "records": self.records,
            "dead_letters": self.dead_letters,
            "lost": self.findings["lost"],
            "doubled": self.findings["doubled"],
            "wrong": others,
        }

    def table(self) -> str:
        """The table: what was done to it, and what came of it."""
        recovery = (
            f"{median(self.recoveries):.1f} s median, {max(self.recoveries):.1f} s max"
            if self.recoveries
            else "–"
        )
        rows = [
            ("rounds", f"{self.rounds} in {self.seconds:.0f} s, seed {self.seed}"),
            *((f"fault: {name}", str(count)) for name, count in sorted(self.faults.items())),
            *((f"exit: {how}", str(count)) for how, count in sorted(self.exits.items())),
            ("telemetry records", str(self.records)),
            ("of them dead letters", str(self.dead_letters)),
            ("metrics judged once more", str(self.replayed)),
            ("time to recover", recovery),
            ("lost", str(self.findings["lost"])),
            ("doubled", str(self.findings["doubled"])),
            *(
                (f"wrong: {sort}", str(count))
                for sort, count in sorted(self.findings.items())
                if sort not in ("lost", "doubled")
            ),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
