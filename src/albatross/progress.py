"""Progress on standard error: a bar for a person, a line now and then for a log file."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

# Work that ends sooner leaves no line in a log.
_SECONDS_WORTH_A_LINE = 2.0


class Progress:
    """Show how far a piece of work is; silent for work that ends within two seconds in a log.

    The bar and the lines come by the clock, also while the work says nothing of itself.

    >>> with Progress("counting", total=2) as progress:
    ...     progress.advance(2)
    """

    def __init__(
        self, title: str, total: float | None, *, done: float = 0, line_every: float = 20.0
    ) -> None:
        """Name the work.

        Args:
            title: what is being done.
            total: its size; None when that is not known.
            done: how much of it was done before.
            line_every: seconds between lines when standard error is no terminal.
        """
        self._title, self._total, self._done = title, total, done
        self._line_every = line_every
        self._bar: Any = None
        self._task: Any = None
        self._ended = threading.Event()
        self._start = time.monotonic()
        self._note = ""

    def __enter__(self) -> Self:
        """Start the bar, or the lines where there is no terminal to draw it on."""
        if sys.stderr.isatty():
            self._start_bar()
        else:
            threading.Thread(target=self._print_lines, daemon=True).start()
        return self

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """Say that some of the work is done, with a short note such as the loss."""
        self._done += amount
        self._note = self._note if note is None else note
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, note=self._note)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the finished bar, or a last line."""
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        elif time.monotonic() - self._start > _SECONDS_WORTH_A_LINE:
            self._print_line()

    def _start_bar(self) -> None:
        """Draw the bar; rich keeps it moving from a thread of its own."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task(
            self._title, total=self._total, completed=self._done, note=""
        )

    def _print_lines(self) -> None:
        """Print a line now and then until the work has ended."""
        while not self._ended.wait(self._line_every):
            self._print_line()

    def _print_line(self) -> None:
        """Print one line for a log file."""
        parts = [self._title + ":"]
        if self._total:
            parts.append(f"{100 * self._done / self._total:.0f}%")
        elif self._done:
            parts.append(f"{self._done:,.0f}")
        parts.append(f"after {time.monotonic() - self._start:.0f}s")
        line = " ".join(parts) + (f"  {self._note}" if self._note else "")
        print(line, file=sys.stderr, flush=True)
