"""What the function of a job is given: its configuration, the stores, and how it reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from console.jobs.queue import Owner
from console.settings import ConsoleSettings
from console.store.database import Database
from processor.settings import Settings


class Stopped(Exception):
    """The job is to end: it was cancelled, its time is over, or its worker ends."""


@dataclass
class Context:
    """A job that runs.

    Attributes:
        config: as its type's model has checked it.
        owner: who asked for it; what it reads is bounded to what that caller sees.
        settings: of the console.
        kafka: with the topic prefix of the owner's organisation.
        accounts: the store of the whole console.
        database: the store of the owner's topics; the same unless they have a prefix of their own.
        stop: set when the job is to end.
        kept: figures so far; they are the results if the job is stopped.
    """

    job_id: str
    attempt: int
    config: dict[str, Any]
    owner: Owner
    settings: ConsoleSettings
    kafka: Settings
    accounts: Database
    database: Database
    send: Callable[[dict[str, float | None], dict[str, Any], float | None], None]
    stop: threading.Event = field(default_factory=threading.Event)
    kept: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise if the job is to end; to be called every few seconds at least.

        Raises:
            Stopped: what is left is to be given up.
        """
        if self.stop.is_set():
            raise Stopped

    def report(
        self,
        *,
        epoch: int | None = None,
        epochs: int | None = None,
        loss: float | None = None,
        accuracy: float | None = None,
        val_loss: float | None = None,
        val_accuracy: float | None = None,
        records: int | None = None,
        progress: float | None = None,
        **more: Any,
    ) -> None:
        """Add a frame, which everyone who follows the job sees.

        Args:
            epoch, epochs: how far it is, and of how many.
            progress: 0 to 1; epoch of epochs unless it is given.
            more: further fields of the frame.

        Raises:
            Stopped: the job is to end; the frame was added.
        """
        if progress is None and epoch is not None and epochs:
            progress = min(epoch / epochs, 1.0)
        figures: dict[str, float | None] = {
            "epoch": epoch,
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
        }
        self.send(figures, {"epochs": epochs, "records": records, **more}, progress)
        self.check()

    def keep(self, **figures: Any) -> None:
        """Note figures that are results even if the job is stopped."""
        self.kept |= figures


class JobError(Exception):
    """Why a job cannot be done: a sentence for whoever asked for it."""
