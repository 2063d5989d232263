"""The processes of a run, and the supervisor that restarts those that end, with their slot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

COMMAND = str(Path(sys.executable).with_name("telltale"))
SUPERVISED_SECONDS = 0.2
STOP_SECONDS = 10.0
# A machine shared with a broker and a dozen of processes is granted a little more.
GRACE_SECONDS = 5.0

Slot = tuple[str, str]
"""Role (`score`, `retrain`, `ingest` or `console`) and slot."""


@dataclass
class Life:
    """One process of a slot, from its start to its end."""

    slot: Slot
    number: int
    process: subprocess.Popen[bytes]
    log: Path
    provoked: str | None = None
    terminated: float | None = None
    told_to_end: bool = False
    frozen: int = 0

    @property
    def name(self) -> str:
        return f"{'-'.join(self.slot)}.{self.number}"

    def lines(self) -> list[dict[str, object]]:
        """The structured lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


class Cast:
    """The slots that should be filled, as a Deployment's replicas, and who fills them now."""

    def __init__(
        self,
        environment: Mapping[str, str],
        logs: Path,
        arguments: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """
        Args:
            arguments: what follows the command of a role.
        """
        self.exits: Counter[str] = Counter()
        self.problems: list[str] = []
        self._environment = os.environ | dict(environment) | {"PYTHONFAULTHANDLER": "1"}
        self._logs = logs
        self._arguments = arguments or {}
        self._lock = threading.RLock()
        self._live: dict[Slot, Life] = {}
        self._outgoing: list[Life] = []
        self._lives: Counter[Slot] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()

    def slots(self, role: str | None = None) -> list[Slot]:
        """The slots that are filled, of one role or of all."""
        with self._lock:
            return sorted(slot for slot in self._live if role in (None, slot[0]))

    def start(self, slot: Slot) -> None:
        """Fill a slot from now on."""
        with self._lock:
            self._live[slot] = self._begin(slot)

    def kill(self, slot: Slot) -> None:
        """SIGKILL: the supervisor starts the next one."""
        with self._lock:
            if (life := self._live.get(slot)) is not None:
                life.provoked = "killed"
                life.process.kill()

    def terminate(self, slot: Slot, restart: bool = True) -> None:
        """SIGTERM: the next one comes when it has ended, or none."""
        with self._lock:
            if (life := self._live.get(slot)) is not None:
                self._terminate(life)
                if not restart:
                    del self._live[slot]
                    self._outgoing.append(life)

    def freeze(self, slot: Slot) -> Life | None:
        """SIGSTOP: the process that holds the slot, to be thawed; None where there is none."""
        with self._lock:
            life = self._live.get(slot)
            if life is not None:
                life.frozen += 1
                life.process.send_signal(signal.SIGSTOP)
            return life

    def thaw(self, life: Life) -> None:
        """SIGCONT; one that was told to end meanwhile is given its time from now on."""
        with self._lock:
            life.frozen -= 1
            if life.terminated is not None:
                life.terminated = monotonic()
            life.process.send_signal(signal.SIGCONT)

    def twin(self, slot: Slot) -> Life | None:
        """Start a second process with a slot, which from now on holds it; the first one."""
        with self._lock:
            first = self._live.get(slot)
            if first is None or first.process.poll() is not None:
                return None
            first.provoked = "fenced"
            self._outgoing.append(first)
            self._live[slot] = self._begin(slot)
            return first

    def abort(self, life: Life) -> None:
        """SIGABRT to one that does not end: its log tells where each of its threads stands."""
        life.process.send_signal(signal.SIGCONT)
        life.process.send_signal(signal.SIGABRT)

    def abort_all(self) -> None:
        """The same to all that fill a slot, which stay empty."""
        with self._lock:
            for slot in self.slots():
                life = self._live.pop(slot)
                life.provoked = "aborted"
                self._outgoing.append(life)
                self.abort(life)

    def ended(self, life: Life) -> bool:
        """Whether a process is no more."""
        return life.process.poll() is not None

    def close(self) -> None:
        """Kill all that run."""
        self._ended.set()
        self._thread.join(5.0)
        with self._lock:
            for life in [*self._live.values(), *self._outgoing]:
                if life.process.poll() is None:
                    life.process.kill()
                    life.process.wait()

    def _begin(self, slot: Slot) -> Life:
        self._lives[slot] += 1
        number = self._lives[slot]
        log = self._logs / f"{'-'.join(slot)}.{number}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [COMMAND, slot[0], *self._arguments.get(slot[0], ()), *_named(slot)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        return Life(slot, number, process, log)

    def _terminate(self, life: Life) -> None:
        life.provoked = "terminated"
        life.terminated = monotonic()
        life.told_to_end = True
        # One that is stopped takes the signal only when it goes on.
        life.process.send_signal(signal.SIGTERM)

    def _supervise(self) -> None:
        while not self._ended.wait(SUPERVISED_SECONDS):
            with self._lock:
                for slot, life in list(self._live.items()):
                    if self._over(life):
                        self._live[slot] = self._begin(slot)
                self._outgoing = [life for life in self._outgoing if not self._over(life)]

    def _over(self, life: Life) -> bool:
        """Whether a process has ended; how it did is noted."""
        code = life.process.poll()
        if code is None:
            late = (
                life.terminated is not None
                and not life.frozen
                and monotonic() - life.terminated > STOP_SECONDS + GRACE_SECONDS
            )
            if late:
                self.problems.append(f"{life.name} did not end within {STOP_SECONDS:.0f} s")
                life.terminated = None
                self.abort(life)
            return False
        lines = life.lines()
        told = next((str(x["reason"]) for x in reversed(lines) if x.get("event") == "ended"), None)
        why = life.provoked or (told or "no reason told").partition(":")[0]
        self.exits[f"{why} → {code}"] += 1
        if any(line.get("event") == "crashed" for line in lines):
            self.problems.append(f"{life.name} crashed: {told}")
        elif life.provoked == "fenced" and code == 0 and not life.told_to_end:
            self.problems.append(f"{life.name} had a twin and ended with 0")
        elif life.provoked is None and told is None:
            self.problems.append(f"{life.name} ended with {code} and said nothing")
        return True


def _named(slot: Slot) -> tuple[str, ...]:
    """How a process is told its slot; consoles have none."""
    return () if slot[0] == "console" else ("--slot", slot[1])
