"""What every table of docs/results.md is made of: rows that are measured once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from albatross import __version__
from albatross.atomic import read_json, write_file, write_json
from albatross.checkpoints.locate import builtin_names, find_model

Figures = dict[str, Any]
ROWS = Path(__file__).parents[1] / "rows"
"""The rows of the page: kept in the repository, so that each machine can add its own."""
# What a row has for the reader alone; the rest says what is measured.
_SHOWN = {"name", "note", "shows", "sets", "scored_on"}
# What follows these in a command may be spelt like a built-in model, and is none.
_NAMES = ("--name", "--task")
_LOCKS: defaultdict[Path, Lock] = defaultdict(Lock)


@dataclass(frozen=True)
class Place:
    """Where rows are measured.

    Attributes:
        data: the folder of the benchmarks' files, laid out as their publishers do
        work: what is made on the way
        rows: the figures of finished rows, a file each
        limit: of records and steps, to try everything in minutes; None for the real thing
        threads: of each command; all cores when not given
    """

    data: Path
    work: Path
    rows: Path = ROWS
    limit: int | None = None
    threads: int | None = None

    def filled(self, words: str) -> list[str]:
        """Return the words of a command with what stands for {data}, {work} and {encoder}."""
        values = {"data": self.data, "work": self.work, "encoder": encoder()}
        return [word.format(**values) for word in words.split()]

    def make(self, verb: str, source: Any, out: Path, *words: Any) -> Path:
        """Let a command make a folder, unless the same command has; return the folder.

        Beside the folder stands the command, with checksums of the models that it names: by another
        one the folder is made anew, and the same one goes on where it was stopped.
        """
        told = " ".join(
            str(word) if before in _NAMES else self._told(word)
            for before, word in pairwise(["", verb, source, *words])
        )
        kept = out.with_name(f"{out.name}.command")
        with _LOCKS[out]:
            out.parent.mkdir(parents=True, exist_ok=True)
            if not kept.is_file() or kept.read_text(encoding="utf-8") != told:
                for made in (out, out.with_name(f"{out.name}.seeds")):
                    shutil.rmtree(made, ignore_errors=True)
                write_file(kept, told.encode())
            if not is_finished(out):
                self.albatross(verb, source, out, *words)
        return out

    def _told(self, word: Any) -> str:
        """Return a word of a command without this machine's places, of a model with its digest."""
        text = str(word).replace(str(self.work), "WORK").replace(str(self.data), "DATA")
        folder = find_model(text) if text in builtin_names() else Path(str(word))
        weights = folder / "model.safetensors"
        return f"{text}@{_digest(weights)}" if weights.is_file() else text

    def albatross(self, verb: str, *words: Any) -> int:
        """Run a command as anybody would; return the most bytes that it held."""
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        command = [sys.executable, "-m", "albatross", verb, *map(str, words)]
        running = subprocess.Popen(command, env={**os.environ, **threads})
        _, status, used = os.wait4(running.pid, 0)
        if status:
            raise SystemExit(f"This command failed: {' '.join(command)}")
        return used.ru_maxrss * 1_024


class Row(Protocol):
    """One line of a table."""

    @property
    def name(self) -> str:
        """What it is called; also where it is kept."""
        ...

    def measure(self, place: Place) -> Figures:
        """Return its figures, as JSON holds them."""
        ...

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells of its line."""
        ...


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        key: its short name
        title: its heading
        text: what stands above it
        columns: what the cells of a row are
        rows: in their order
        picture: draws it into the page's folder, once its rows are there, and returns its file
        of_encoder: whether its rows are of the encoder inside the package
        is_timed: whether speeds are measured, so that its rows must have the machine to themselves
    """

    key: str
    title: str
    text: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    picture: Callable[[Path, Path], Path | None] = lambda rows, folder: None
    of_encoder: bool = False
    is_timed: bool = False

    def kept(self, row: Row, rows: Path = ROWS) -> Path:
        """Return where a row's figures are, once they are there."""
        return rows / self.key / f"{slug(row.name)}.json"

    def is_measured(self, row: Row, rows: Path = ROWS) -> bool:
        """Whether a row's figures are there, and are those of today's row and encoder."""
        path = self.kept(row, rows)
        return path.is_file() and not _outdated(row, read_json(path))

    def measure(self, row: Row, place: Place) -> str:
        """Measure a row, keep it with the hardware and the day, and return its line."""
        found = row.measure(place)
        figures = {
            "figures": found,
            "definition": definition(row),
            "hardware": hardware(),
            "day": datetime.now(UTC).date().isoformat(),
            "version": __version__,
            **({"encoder": encoder()} if self.of_encoder else {}),
        }
        path = self.kept(row, place.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, figures)
        return _line(row.cells(found))

    def section(self, rows: Path, folder: Path) -> list[str]:
        """Return the lines of the page: heading, text, the rows that are there, and their runs.

        Args:
            rows: where they are kept.
            folder: where the page is, and its pictures.
        """
        kept = [(row, self.kept(row, rows)) for row in self.rows]
        found = [(row, read_json(path)) for row, path in kept if path.is_file()]
        ran = [_run_of(row, each) for row, each in found]
        runs = list(dict.fromkeys(ran))
        lines = [f"## {self.title}", "", *self.text.strip().splitlines(), ""]
        if not found:
            return [*lines, f"Not measured: {len(self.rows)} of {len(self.rows)} rows.", ""]
        lines += [_line([*self.columns, "run"]), "|" + "---|" * (len(self.columns) + 1)]
        for (row, each), run in zip(found, ran, strict=True):
            lines.append(_line([*row.cells(each["figures"]), str(1 + runs.index(run))]))
        drawn = self.picture(rows, folder)
        lines += [] if drawn is None else ["", f"![{self.title}]({drawn.name})"]
        missing = len(self.rows) - len(found)
        said = [f"{number}: {run}" for number, run in enumerate(runs, 1)]
        left = f" Not measured: {missing} of {len(self.rows)} rows." if missing else ""
        return [
            *lines,
            "",
            f"Runs: {'; '.join(said)}.{left}",
            "",
        ]


def hardware() -> str:
    """Say what this machine is: cores, processor, and a GPU where torch sees one."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line]
        model = names[0].split(":")[1].strip() if names else model
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores of {model}{gpu}"


def is_finished(folder: Path) -> bool:
    """Whether a run wrote the folder to its end: one that was stopped left its state there."""
    return (folder / "run.json").is_file() and not (folder / "training_state").is_dir()


def encoder() -> str:
    """Return the beginning of the checksum of the encoder inside the package."""
    return _digest(find_model("pretrained") / "model.safetensors")


def definition(row: Row) -> dict[str, Any]:
    """Return what a row measures: its options, seeds and all else but what is shown, as JSON."""
    parts = asdict(row)
    kept: dict[str, Any] = json.loads(
        json.dumps({key: value for key, value in parts.items() if key not in _SHOWN})
    )
    return kept


def slug(name: str) -> str:
    """Return a name as files have it.

    >>> slug("MNLI, 9,000 rows")
    'mnli--9-000-rows'
    """
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _outdated(row: Row, kept: Mapping[str, Any]) -> str:
    """Say what a row was measured with that is another one today; nothing where all is the same."""
    other = {
        "encoder": kept.get("encoder", encoder()) != encoder(),
        "command": kept.get("definition") != definition(row),
    }
    return " and ".join(what for what, is_other in other.items() if is_other)


def _run_of(row: Row, kept: Mapping[str, Any]) -> str:
    """Say on what and when a row was measured, and if by another command or encoder than today."""
    run, what = f"{kept['hardware']}, {kept['day']}", _outdated(row, kept)
    if not what:
        return run
    return f"{run}, an earlier {what}" + (", defaults of that day" if "encoder" in what else "")


def seeds_of(run: Mapping[str, Any], metric: str) -> Figures:
    """Return a fine-tuning's figures over its seeds, from `run.json`; of one seed, alone."""
    alone = {
        "metric": metric,
        "mean": run["metrics"].get(metric),
        "by_seed": {str(run["settings"]["seed"]): run["metrics"].get(metric)},
        "deviation": 0.0,
    }
    found: Figures = run.get("seeds") or alone
    return found


def spread(seeds: Mapping[str, Any], digits: int = 3) -> str:
    """Return mean and deviation over seeds as a cell: .821 +- .015.

    >>> spread({"mean": 0.8211, "deviation": 0.015, "by_seed": {"0": 1, "1": 1}})
    '.821 ± .015'
    """
    mean, deviation = (
        f"{seeds[part]:.{digits}f}".removeprefix("0") for part in ("mean", "deviation")
    )
    return f"{mean} ± {deviation}" if len(seeds["by_seed"]) > 1 else mean


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
