"""Counts samples that a restore leaves out because rings are smaller now; logs one line."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Omitted:
    """Counts, while state is restored, samples that rings no longer hold, and their profiles."""

    def __init__(self) -> None:
        self._profiles: Counter[str] = Counter()
        self._samples: Counter[str] = Counter()

    def note(self, kind: str, samples: int) -> None:
        """Count what the ring of one profile left out."""
        if samples:
            self._profiles[kind] += 1
            self._samples[kind] += samples

    def tell(self, log: Any, topic: str, setting: str) -> None:
        """Log what was left out of rings of a topic, and the setting that bounds them."""
        for kind, samples in self._samples.items():
            log.warning(
                "samples_left_out",
                topic=topic,
                kind=kind,
                samples=samples,
                profiles=self._profiles[kind],
                detail=f"{setting} is smaller than it was: the oldest samples are not used. If it "
                "is raised again before they are overwritten, they are used again",
            )
