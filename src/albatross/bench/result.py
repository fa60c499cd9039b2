"""What `albatross bench` found, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

_NOTE = "floor: the model's arithmetic alone, at the speed of numpy's products of 32-bit floats"


@dataclass(frozen=True)
class Timing:
    """Median seconds for some tokens, and what arithmetic alone would take.

    Attributes:
        texts: how many were answered
        tokens: of all of them, with [CLS] and [SEP]
        seconds: the median over the rounds
        floor: seconds of the model's FLOPs at the speed of its matrix products
    """

    texts: int
    tokens: int
    seconds: float
    floor: float


@dataclass(frozen=True)
class Bench:
    """What was measured of one model.

    Attributes:
        model: the folder or the name that was given
        about: its shape and what computed, in words
        threads: processor threads
        lengths: one text alone, by its tokens
        mixed: texts of many lengths, from their letters to the heads' outputs
        start: seconds from the start of a process to its first answer
        bare_start: likewise until ONNX Runtime has been imported, and nothing else
        memory: most bytes that this process held, with a text of 128 tokens; None where the system
            does not tell
        file_bytes: of the folder's files, and of its base's
    """

    model: str
    about: str
    threads: int
    lengths: dict[int, Timing]
    mixed: Timing
    start: float
    bare_start: float
    memory: int | None
    file_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)

    def __str__(self) -> str:
        """Return a table."""
        rows = [("", "measured", "floor", "floor / measured")]
        for length, timing in self.lengths.items():
            rows.append((f"1 text, {length} tokens", *_cells(timing, _milliseconds)))
        tokens = self.mixed.tokens
        title = f"{self.mixed.texts} texts, {tokens:,} tokens"
        rows.append((title, *_cells(self.mixed, lambda seconds: f"{tokens / seconds:,.0f} /s")))
        memory = "not told" if self.memory is None else f"{self.memory / 1e6:,.0f} MB"
        rows.append(("start to first answer", f"{self.start:.2f} s", "", ""))
        rows.append(("start to import onnxruntime", f"{self.bare_start:.2f} s", "", ""))
        rows.append(("memory", memory, "", ""))
        rows.append(("on disk", f"{self.file_bytes / 1e6:,.1f} MB", "", ""))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [f"{self.model}: {self.about}, threads {self.threads}"]
        for name, *cells in rows:
            padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
            lines.append(f"  {name.ljust(widths[0])}  {'  '.join(padded)}".rstrip())
        return "\n".join([*lines, f"  {_NOTE}"])


def _cells(timing: Timing, shown: Callable[[float], str]) -> tuple[str, str, str]:
    """Return measured, floor, and the share of the one in the other."""
    share = f"{100 * timing.floor / timing.seconds:.0f} %"
    return shown(timing.seconds), shown(timing.floor), share


def _milliseconds(seconds: float) -> str:
    """Return a short time for people."""
    return f"{1_000 * seconds:,.1f} ms"
