"""The log of a run: a line of JSON for every step and every evaluation, as they come.

It knows of steps and figures, not of what is trained. What it gives back after a restart is what
it would have held without one, digit for digit.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from albatross.errors import FolderError

LOG = "log.jsonl"
_BLOCK = 1 << 20


class RunLog:
    """Writes a run's log and remembers its last training lines.

    A float has six significant digits, in the file and in memory. What is no number, such as the
    loss of a broken step, is `null` in the file, so that every program can read it.

    Attributes:
        path: the file.
        recent: the last training lines, the latest at the end; those that hold a `loss`.
    """

    def __init__(self, path: Path, keep: int = 200) -> None:
        """Name the file, and how many lines are remembered; nothing is read or written yet."""
        self.path = path
        self.recent: list[dict[str, Any]] = []
        self._keep = keep

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write a line; it is in the file when this returns.

        Raises:
            OSError: it cannot be written.
        """
        line = {name: _rounded(value) for name, value in entry.items()}
        text = json.dumps({name: _storable(value) for name, value in line.items()})
        # Opened for every line: the folder around it is replaced whenever a run is saved.
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
        self._remember(line)

    def rewind(self, step: int, *, measured: bool = True) -> list[dict[str, Any]]:
        """Drop the lines after a step, and return them; a torn last line goes without a word.

        Lines stand in the order of their steps. The file is cut in one go, so that a kill leaves it
        whole or cut. A step of -1 empties it.

        Args:
            step: the last that stays.
            measured: whether an evaluation after that step stays, too.

        Raises:
            FolderError: a line is damaged.
        """
        self.recent = []
        if not self.path.is_file():
            return []
        dropped: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        end = 0
        for start, line in _lines_backwards(self.path):
            entry = _parsed(line, self.path)
            is_later = entry["step"] == step and "evaluation" in entry and not measured
            if entry["step"] > step or is_later:
                dropped.append(entry)
                continue
            end = end or start + len(line) + 1
            if "loss" in entry:
                kept.append(entry)
            if len(kept) == self._keep:
                break
        os.truncate(self.path, end)
        self.recent = kept[::-1]
        return dropped[::-1]

    def copy_to(self, path: Path) -> None:
        """Copy the file; an empty one when no line was written yet."""
        if self.path.is_file():
            shutil.copyfile(self.path, path)
        else:
            path.touch()

    def _remember(self, line: dict[str, Any]) -> None:
        """Keep a training line, and forget the oldest."""
        if "loss" in line:
            self.recent.append(line)
            del self.recent[: -self._keep]


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return all lines of a log; a torn last line is left out.

    Raises:
        FolderError: it is missing, or a line is damaged.
    """
    return list(log_lines(path))


def log_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log one by one; a torn last line is left out.

    Raises:
        FolderError: it is missing, or a line is damaged.
    """
    try:
        with path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    yield _parsed(line, path)
    except OSError as error:
        raise FolderError(
            f"A run's folder must hold `{path.name}`. Received: {str(path)!r}: {error.strerror}."
            " Give the folder of a run."
        ) from error


def _lines_backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield where each whole line starts, and the line without its end, from the last to the first.

    Read in blocks, because a long run has a log of hundreds of megabytes and few lines are wanted.
    """
    with path.open("rb") as stream:
        position = stream.seek(0, os.SEEK_END)
        rest, is_last = b"", True
        while position > 0:
            size = min(_BLOCK, position)
            position = stream.seek(position - size)
            pieces = (stream.read(size) + rest).split(b"\n")
            end = position + sum(len(piece) + 1 for piece in pieces) - 1
            for piece in reversed(pieces[1:]):
                start = end - len(piece)
                if not is_last:  # what follows the last line's end is torn, or empty
                    yield start, piece
                end, is_last = start - 1, False
            rest = pieces[0]
        if rest and not is_last:
            yield 0, rest


def _parsed(line: bytes, path: Path) -> dict[str, Any]:
    """Return what a line says."""
    try:
        values = json.loads(line)
        if not isinstance(values, dict) or "step" not in values:
            raise ValueError("no object with `step`")
    except ValueError as error:
        raise FolderError(
            f"Every line of `{path.name}` must be a JSON object with `step`. Received in"
            f" {str(path)!r}: {line[:40]!r}: {error}. The file is damaged: remove that line."
        ) from error
    return {name: _restored(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    """Return a float with six significant digits; within a mapping too."""
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(f"{float(value):.6g}") if math.isfinite(value) else math.nan


def _storable(value: Any) -> Any:
    """Return None for what is no number: JSON has no word for it."""
    if isinstance(value, Mapping):
        return {name: _storable(one) for name, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _restored(value: Any) -> Any:
    """Return what was stored, with what is no number as one."""
    if isinstance(value, dict):
        return {name: _restored(one) for name, one in value.items()}
    return math.nan if value is None else value
