"""What rounding costs: an export beside the same model in 32-bit floats, on records or on probes.

Records are the user's, and decide. Without any, texts that mean nothing show at least whether the
outputs are still those of the model.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.config import AlbertConfig
from albatross.data.packing import Example
from albatross.engine.engine import Outputs, join_outputs
from albatross.engine.onnx_engine import WORDS, OnnxEngine
from albatross.engine.open import OpenModel
from albatross.errors import AlbatrossWarning, ConfigError, FolderError
from albatross.pipelines.pipeline import answer_records, engine_outputs
from albatross.progress import Progress
from albatross.rng import stream
from albatross.tasks.task import Task, score

_BATCH_TOKENS = 4_096
_LESS_IS_BETTER = ("mse", "mae")
# Figures from 0 to 100; the others go to 1.
_IN_POINTS = ("bleu",)
_PROBES, _LONGEST_PROBE = 64, 64
# Of the outputs' own spread. Fine-tuned models of 4 depths in 8 bits: 0.002 to 0.035 on records.
_SUSPICIOUS = 0.2


@dataclass(frozen=True)
class Accuracy:
    """A task's main figure before and after rounding.

    Attributes:
        metric: its name
        records: how many it was measured on
        before: of the model in 32-bit floats
        after: of the export
        dtype: what the export's weights are
        task: whose figure it is
    """

    metric: str
    records: int
    before: float
    after: float
    dtype: str
    task: str = ""

    @property
    def loss(self) -> float:
        """Points lost: hundredths of the figure, or of an error the percent that it has grown by.

        >>> round(Accuracy("accuracy", 200, 0.91, 0.90, "int8").loss, 6)
        1.0
        """
        lost = self.before - self.after
        if self.metric in _LESS_IS_BETTER:
            lost = -lost / max(self.before, 1e-12)
        return lost if self.metric in _IN_POINTS else 100 * lost

    def __str__(self) -> str:
        """Return a short table."""
        return (
            f"{self.task:<20}{'float32':>10}{self.dtype:>10}{'points lost':>14}\n"
            f"{self.metric:<20}{self.before:>10.4f}{self.after:>10.4f}{self.loss:>14.2f}"
            f"   on {self.records:,} records"
        )


@dataclass(frozen=True)
class Labelled:
    """Records that a task can be scored on.

    Attributes:
        task: what they are of
        file: where they were read
        records: with their labels
    """

    task: Task[Any]
    file: Path
    records: list[Any]


def read_labelled(tasks: Sequence[Task[Any]], dev: Sequence[str]) -> list[Labelled]:
    """Return the records of tasks.

    Args:
        tasks: of the model, by their names.
        dev: a file each, as `TASK=FILE`; a bare one is the first task's.

    Raises:
        ConfigError: two files of one task.
        DataError: they cannot be read.
        LabelError: a record has no label, or one that the task does not know.
    """
    named = {task.name: task for task in tasks}
    files: dict[str, Path] = {}
    for word in dev:
        name, _, file = word.partition("=")
        if name not in named:
            name, file = tasks[0].name, word
        if name in files:
            raise ConfigError(
                "`--dev` must name one file a task. Received two for the task"
                f" {name!r}: {str(files[name])!r} and {file!r}. Say whose each is: one of"
                f" {', '.join(f'{name}=FILE' for name in named)}."
            )
        files[name] = Path(file)
    found = [Labelled(named[name], file, named[name].read(file)) for name, file in files.items()]
    for each in found:
        each.task.check(each.records)
    return found


def check_accuracy(
    before: OpenModel, after: OpenModel, labelled: Labelled, max_loss: float, dtype: str
) -> Accuracy:
    """Measure both on labelled records, print a table, and refuse a loss over the limit.

    Args:
        before: the model in 32-bit floats.
        after: its export.
        labelled: the records of one of its tasks.
        max_loss: in points of the task's main figure.
        dtype: of the export.

    Raises:
        FolderError: more is lost.
    """
    task, records = labelled.task, labelled.records
    figures = []
    with Progress(f"measuring {task.name}", 2) as progress:
        for opened in (before, after):
            answers = answer_records(opened.engine, task, records, _BATCH_TOKENS, progress=progress)
            figures.append(float(score(task, answers, records)[task.main_metric]))
    was, now = figures
    found = Accuracy(task.main_metric, len(records), was, now, dtype, task.name)
    print(found, file=sys.stderr)
    if not found.loss <= max_loss:
        raise FolderError(
            f"An export must lose no more than --max-loss {max_loss:g} points of {found.metric}."
            f" Received: {found.loss:.2f} points, from {was:.4f} to {now:.4f} in {dtype}. Export"
            " with --dtype float16, or allow more; nothing was written."
        )
    return found


def check_probes(before: OnnxEngine, after: OnnxEngine, dtype: str) -> float:
    """Warn if the outputs for texts without meaning have moved far; return how far.

    The difference is the root of its mean square, over the spread of the outputs: what is lost of
    the task's own figure only its records can tell.
    """
    with Progress("comparing", 2) as progress:
        apart = difference(*(_outputs(engine, progress) for engine in (before, after)))
    if not apart <= _SUSPICIOUS:
        warnings.warn(
            f"Outputs in {dtype} should stay within {_SUSPICIOUS:.0%} of their spread. Received: a"
            f" difference of {apart:.0%}. Give labelled records with --dev FILE to see what that"
            " costs, or export with --dtype float16.",
            AlbatrossWarning,
            stacklevel=3,
        )
    return apart


def difference(before: Outputs, after: Outputs) -> float:
    """Return the largest root mean square of a head's differences, over its outputs' spread."""
    shares = [
        _rms(after[name] - expected) / max(_rms(expected - expected.mean(0)), 1e-6)
        for name, expected in before.items()
    ]
    return float(np.max(shares))  # Python's own would let a NaN pass


def probes(config: AlbertConfig) -> list[Example]:
    """Return sequences of pieces drawn at random: for any vocabulary, and the same ones always.

    Their second half is a second text, in which alone a head for answers looks.
    """
    draw = stream(0, "probes")
    lengths = draw.integers(4, min(_LONGEST_PROBE, config.max_position_embeddings) + 1, _PROBES)
    return [
        Example(
            draw.integers(0, config.vocab_size, length),
            np.arange(length) * 2 // length * min(1, config.type_vocab_size - 1),
            asked=int(length) // 2,
        )
        for length in lengths
    ]


def _outputs(engine: OnnxEngine, progress: Progress) -> Outputs:
    """Return what the heads say of the probes."""
    examples = probes(engine.config)
    found = join_outputs(engine_outputs(engine, examples, _BATCH_TOKENS, progress=progress))
    return {
        name: _compared(name, rows) for name, rows in found.items() if not name.endswith("_index")
    }


def _compared(name: str, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an output in the form in which a difference of it means something."""
    if name == WORDS:
        return rows.T  # a row's words compete with each other, so that their spread is what counts
    # Of beams that there are not the logarithm is beyond all others.
    return np.exp(rows) if name.endswith("_log_probs") else rows


def _rms(values: NDArray[np.float32]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
