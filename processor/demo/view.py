"""How the demo looks: a live view on a terminal, plain lines elsewhere, and the summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from models.features import KINDS
from processor.demo.scoreboard import Board
from processor.operations import tail
from processor.text.escaping import printable

PLAIN_SECONDS = 2.0
FRESH_LINES = 3

NEXT = (
    ("docker compose up", "Kafka, both roles, Prometheus and Grafana"),
    ("telltale topics create", "or the topics on a Kafka of your own, then"),
    ("telltale run", "both roles in one process (--help lists the settings),"),
    ("telltale produce FILE --kind features", "telemetry from a file, and"),
    ("telltale tail --anomalies", "its anomalies as they come"),
)


class View:
    """Shows a board: redrawn in place on a terminal, a few lines now and then elsewhere."""

    def __init__(self, console: Console, plain: bool) -> None:
        self._console = console
        self._plain = plain
        self._board: Board | None = None
        self._seconds = 0.0
        self._waiting = "starting"
        self._live: Live | None = None
        self._told = 0.0

    def say(self, text: str | Text) -> None:
        """A line of its own."""
        # A string would be searched for markup and names of emoji.
        line = Text(text) if isinstance(text, str) else text
        self._console.print(line, highlight=False, soft_wrap=True)

    @contextmanager
    def watching(self, board: Board, seconds: float) -> Iterator[None]:
        """Show the board while the block runs."""
        self._board, self._seconds = board, seconds
        if self._plain:
            self.say("embedded broker is up")
            yield
            return
        with Live(self.draw(), console=self._console, refresh_per_second=8) as live:
            self._live = live
            try:
                yield
            finally:
                live.update(self.draw(), refresh=True)
                self._live = None

    def waiting(self, why: str) -> None:
        """The demo cannot begin yet."""
        if self._plain and why != self._waiting:
            self.say(printable(why))
        self._waiting = why
        self._redraw()

    def refresh(self) -> None:
        """Show what is new."""
        self._waiting = ""
        self._redraw()
        board = self._board
        if not self._plain or board is None or monotonic() - self._told < PLAIN_SECONDS:
            return
        self._told = monotonic()
        self.say(self._status(board))
        fresh = board.take_fresh()
        for line in fresh[-FRESH_LINES:]:
            self.say(f"    {line}")

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(self.draw())

    def _status(self, board: Board) -> str:
        learning = sum(board.profiles(kind)[0] for kind in KINDS)
        active = sum(board.profiles(kind)[2] for kind in KINDS)
        return (
            f"{monotonic() - board.began:4.0f} s  {board.rate():,.0f} records/s, "
            f"{board.answered:,} verdicts, profiles: {learning} learning, {active} active, "
            f"{board.events['adopted']} retrained"
        )

    def draw(self) -> Group:
        """The live view."""
        board = self._board
        if board is None or self._waiting:
            waiting = Text(printable(self._waiting))
            return Group(Panel(waiting, title="telltale demo", border_style="dim"))
        passed = min(monotonic() - board.began, self._seconds)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total=self._seconds, completed=passed, width=30),
            f"{passed:.0f} of {self._seconds:.0f} s",
            f"[bold]{board.rate():,.0f}[/bold] records/s",
            f"[bold]{board.answered:,}[/bold] verdicts",
        )
        return Group(
            Panel(head, title="telltale demo", border_style="cyan"),
            Panel(_profiles(board), title="profiles", border_style="dim"),
            Panel(_anomalies(board), title="anomalies", border_style="dim"),
            Panel(_retrainings(board), title="retrainings", border_style="dim"),
        )

    def summary(self, board: Board) -> None:
        """What was found, missed, and wrongly told."""
        seconds = monotonic() - board.began
        self.say("")
        self.say(
            f"{board.answered:,} records in {seconds:.0f} s, a verdict for each; "
            f"{board.events['trained']} profiles learnt, {board.events['adopted']} retrainings "
            f"adopted, {board.events['refused']} refused."
        )
        self._console.print(_summary(board))
        self.say("Next:")
        for command, what in NEXT:
            self.say(Text.assemble("  ", (f"{command:<38}", "bold"), f" {what}"))


def _profiles(board: Board) -> Table:
    table = Table.grid(padding=(0, 2))
    for kind in KINDS:
        learning, progress, active, version = board.profiles(kind)
        table.add_row(
            kind,
            ProgressBar(total=1.0, completed=progress if learning else 1.0, width=20),
            f"{learning} learning" if learning else "",
            f"[green]{active} active[/green]" if active else "",
            f"up to version {version}" if version > 1 else "",
        )
    return table


def _anomalies(board: Board) -> Group | Text:
    lines = []
    for told, verdict in reversed(board.anomalies):
        line = tail.line(verdict)
        line.append(f"  {told}", "dim italic")
        line.truncate(200)
        lines.append(line)
    return Group(*lines) if lines else Text("none yet", "dim")


def _retrainings(board: Board) -> Group | Text:
    lines = [
        Text(
            printable(
                f"{tail.clock(event['at'])} {event['kind']:<10} {event['profile_id']}  "
                f"{event['event']}: {event['detail']}"
            ),
            no_wrap=True,
        )
        for event in list(board.retrainings)[-4:]
    ]
    return Group(*lines) if lines else Text("none yet", "dim")


def _summary(board: Board) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("kind", "gross found", "subtle found", "missed", "false alarms", "rate", "budget"):
        table.add_column(name, justify="left" if name == "kind" else "right", no_wrap=True)
    for kind in KINDS:
        score = board.score(kind)
        missed = score.gross - score.gross_found + score.subtle - score.subtle_found
        rate = score.false_alarms / score.normal if score.normal else 0.0
        table.add_row(
            kind,
            f"{score.gross_found} of {score.gross}",
            f"{score.subtle_found} of {score.subtle}",
            str(missed),
            f"{score.false_alarms} of {score.normal:,}",
            f"{rate:.2%}",
            f"{board.alert_budget:.2%}",
        )
    return table
