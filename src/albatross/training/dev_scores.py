"""How well the live model does on the dev part, during a run and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from albatross.data.packing import batches_by_tokens, pack
from albatross.engine.engine import Engine, Outputs, join_outputs, run, run_depths, split_outputs
from albatross.tasks.task import Task, score

SCORING_TOKENS = 8_192
"""Tokens computed together."""


class DevScores:
    """Scores a task on the parts that nothing is learned from; their examples are made once.

    The figures of the first part bear their own names, those of others the part's before them:
    `accuracy` and `dev_mismatched_accuracy`.
    """

    def __init__(self, task: Task[Any], parts: Mapping[str, Sequence[Any]]) -> None:
        """Take the records of every part by its name."""
        self._task = task
        self._parts = {
            name: _Part(records, [task.features(record) for record in records])
            for name, records in parts.items()
        }

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be measured on."""
        return not self._parts

    def measure(self, engine: Engine) -> dict[str, float]:
        """Return the figures of all parts."""
        figures: dict[str, float] = {}
        for number, (name, part) in enumerate(self._parts.items()):
            found = self._score(part, part.outputs(engine))
            figures |= {f"{name}_{k}" if number else k: v for k, v in found.items()}
        return figures

    def measure_depths(self, engine: Engine) -> list[float]:
        """Return the main figure of the first part at every depth, for a model with exits."""
        part = next(iter(self._parts.values()))
        by_depth = [self._score(part, outputs) for outputs in part.outputs_by_depth(engine)]
        return [figures[self._task.main_metric] for figures in by_depth]

    def _score(self, part: _Part, outputs: Sequence[Outputs]) -> dict[str, float]:
        """Turn outputs of examples into figures of records."""
        answers, at = [], 0
        for record, examples in zip(part.records, part.features, strict=True):
            mine = join_outputs(outputs[at : at + len(examples)])
            answers.append(self._task.answer(mine, record, examples))
            at += len(examples)
        return score(self._task, answers, part.records)


class _Part:
    """Records with their examples, packed by length."""

    def __init__(self, records: Sequence[Any], features: Sequence[Sequence[Any]]) -> None:
        """Pack the examples."""
        self.records, self.features = records, features
        examples = [example for parts in features for example in parts]
        lengths = [len(example.input_ids) for example in examples]
        self._order = [list(indices) for indices in batches_by_tokens(lengths, SCORING_TOKENS)]
        self._batches = [pack([examples[i] for i in indices]) for indices in self._order]

    def outputs(self, engine: Engine) -> list[Outputs]:
        """Return the heads' outputs for every example."""
        found: dict[int, Outputs] = {}
        for indices, batch in zip(self._order, self._batches, strict=True):
            found |= zip(indices, split_outputs(run(engine, batch), batch), strict=True)
        return [found[index] for index in range(len(found))]

    def outputs_by_depth(self, engine: Engine) -> list[list[Outputs]]:
        """Return the exits' outputs for every example, by depth."""
        by_depth: list[dict[int, Outputs]] = [{} for _ in range(engine.config.depth)]
        for indices, batch in zip(self._order, self._batches, strict=True):
            for found, outputs in zip(by_depth, run_depths(engine, batch), strict=True):
                found |= zip(indices, split_outputs(outputs, batch), strict=True)
        return [[found[index] for index in range(len(found))] for found in by_depth]
