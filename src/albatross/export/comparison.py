"""Whether two engines answer alike: every task of a folder, on probes that fit its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example, pack
from albatross.engine.engine import Engine, Outputs, join_outputs, run_depths
from albatross.engine.open import OpenModel
from albatross.errors import FolderError
from albatross.export.writing_comparison import compare_writing
from albatross.head_spec import HeadSpec
from albatross.pipelines.pipeline import engine_outputs
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Task

LARGEST_DIFFERENCE = 1e-4
"""Of any output, between two engines that compute in 32-bit floats."""
# Short, long, empty and odd; long ones are read in windows.
_LONG = "The gull flew over the harbour, and the tern did not. " * 60
_TEXTS = ("", "A lovely film.", "naïve café 42, (twice)!", _LONG)
_WORDS = tuple(_LONG.split())
_PROBES: Mapping[str, Sequence[Any]] = {
    "choice": tuple(
        {"context": text, "question": "Who flew _?", "choices": ("a gull", "", "both of them")}
        for text in _TEXTS
    ),
    "spans": tuple(("Who flew over the harbour?", text) for text in _TEXTS),
    "coherence": (("A lovely film.", "It was not."), _LONG, "It ended. They left."),
    "fill-mask": ("[MASK]", "A [MASK] film, [MASK]!", f"{_LONG} [MASK] {_LONG}"),
    "tagging": (*_TEXTS, ("Ada", "Lovelace", "", "(1815)"), _WORDS),
}
_TEXT_PROBES = (*_TEXTS, ("A lovely film.", "It was not."), ("", _LONG), (_LONG, _LONG))
_BATCH_TOKENS = 1_024
# Log probabilities below are of beams that do not exist.
_IMPOSSIBLE = -1e29


def probes_of(task: Task[Any]) -> list[Example]:
    """Return sequences that a task reads, short and long."""
    probes = _PROBES.get(task.kind, _TEXT_PROBES)
    return [example for probe in probes for example in task.features(task.record(probe))]


def compare_engines(expected: OpenModel, found: OpenModel, largest: float) -> None:
    """Refuse two engines of one model that differ in an output of any task, or of an exit.

    Raises:
        FolderError: they do; the message names the task and the output.
    """
    engines = expected.engine, found.engine
    for task in expected.tasks.values():
        if isinstance(task, GenerationTask):
            compare_writing(expected.engine, found.engine, task, largest)
            continue
        examples = probes_of(task)
        ours, theirs = (
            join_outputs(engine_outputs(engine, examples, _BATCH_TOKENS)) for engine in engines
        )
        _check(task, ours, theirs, task.heads, largest)
        exits = {name: task.heads[name] for name in task.heads if name in engines[0].exit_names}
        if exits:
            for one, other in zip(*(_by_depth(e, examples) for e in engines), strict=True):
                _check(task, one, other, exits, largest)


def differences(
    expected: Outputs, found: Outputs, heads: Mapping[str, HeadSpec]
) -> dict[str, float]:
    """Return the largest difference between the outputs of each head; infinite if one is absent.

    Two beams differ as their scores do: which of two equal starts comes first means nothing.
    """
    differing = {}
    for name, spec in heads.items():
        names = [key for key in expected if key == name or key.startswith(f"{name}.")]
        if any(key not in found or found[key].shape != expected[key].shape for key in names):
            differing[name] = float("inf")
        elif spec.kind == "beam_span":
            differing[name] = _beam_difference(name, expected, found)
        else:
            differing[name] = float(np.abs(expected[name] - found[name]).max())
    return differing


def _check(
    task: Task[Any],
    expected: Outputs,
    found: Outputs,
    heads: Mapping[str, HeadSpec],
    largest: float,
) -> None:
    """Refuse outputs of a task that differ."""
    for name, difference in differences(expected, found, heads).items():
        _refuse_over(largest, difference, f"`{name}` of the task {task.name}")


def _refuse_over(largest: float, difference: float, what: str) -> None:
    """Refuse a difference over the largest, and one that is no number."""
    if not difference <= largest:
        raise FolderError(
            f"Both engines must answer alike, within {largest:g}. Received: a difference of"
            f" {difference:g} in {what}. Report this folder's configuration; nothing was written."
        )


def _by_depth(engine: Engine, examples: Sequence[Example]) -> list[Outputs]:
    """Return what exits say of examples, after each depth."""
    return run_depths(engine, pack([example.bare() for example in examples]))


# === Beams ===


def _beam_difference(name: str, expected: Outputs, found: Outputs) -> float:
    """Return how much two answers of the beam head differ in the scores of what they found."""
    largest = float(np.abs(expected[f"{name}.no_answer"] - found[f"{name}.no_answer"]).max())
    for row in range(len(expected[f"{name}.no_answer"])):
        ours, theirs = (_starts(name, outputs, row) for outputs in (expected, found))
        largest = np.maximum(largest, _best_difference(ours, theirs))
        for place, start in enumerate(ours):
            if start in theirs:
                ends = _ends(name, expected, row, place)
                others = _ends(name, found, row, list(theirs).index(start))
                largest = np.maximum(largest, _best_difference(ends, others))
    return float(largest)


def _best_difference(ours: Mapping[float, float], theirs: Mapping[float, float]) -> float:
    """Compare two lists of the best columns; one that the other lacks, with the other's worst."""
    if len(ours) != len(theirs):
        return float("inf")
    found = [0.0]
    for first, second in ((ours, theirs), (theirs, ours)):
        for column, score in first.items():
            found.append(abs(score - second.get(column, min(second.values()))))
    return float(np.max(found))


def _starts(name: str, outputs: Outputs, row: int) -> dict[float, float]:
    """Return the score of each start that exists, the best first."""
    return _real(outputs[f"{name}.start_index"][row], outputs[f"{name}.start_log_probs"][row])


def _ends(name: str, outputs: Outputs, row: int, place: int) -> dict[float, float]:
    """Return the score of each end of a start by its place."""
    starts = outputs[f"{name}.start_index"].shape[1]
    columns, scores = (
        outputs[f"{name}.{part}"][row].reshape(starts, -1)[place]
        for part in ("end_index", "end_log_probs")
    )
    return _real(columns, scores)


def _real(columns: NDArray[np.float32], scores: NDArray[np.float32]) -> dict[float, float]:
    """Return the scores of columns that exist; a score that is no number is one."""
    return {
        float(column): float(score)
        for column, score in zip(columns, scores, strict=True)
        if not score < _IMPOSSIBLE
    }
