"""Many tasks on one base: delta folders and their tasks together, each answering as if alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from albatross.data.packing import Example, IntArray, PackedBatch
from albatross.engine.engine import Engine, Outputs, Rows
from albatross.engine.open import OpenModel
from albatross.engine.stack import open_stack
from albatross.errors import ConfigError
from albatross.pipelines.pipeline import Pipeline, answers_of, engine_outputs
from albatross.tasks.task import Given, Several, Task
from albatross.tokenizer.folder import TokenizerName


class Stack:
    """Pipelines by the name of their task, over weights that are in memory once.

    Attributes:
        pipelines: by the name of the task
    """

    def __init__(self, opened: Sequence[OpenModel], *, batch_tokens: int | None = None) -> None:
        """Take open models, of which each answers its own task."""
        self.pipelines = {one.task.name: Pipeline(one, batch_tokens=batch_tokens) for one in opened}
        own = opened[0].engine.batch_tokens
        self._batch_tokens = own if batch_tokens is None else batch_tokens

    def __getitem__(self, name: str) -> Pipeline:
        """Return one task's pipeline.

        Raises:
            ConfigError: there is no task of this name.
        """
        if name not in self.pipelines:
            raise ConfigError(
                f"A task must be one of {', '.join(self.pipelines)}. Received: {name!r}."
                " Name one of these."
            )
        return self.pipelines[name]

    def __call__(self, given: Given | Several) -> Any:
        """Answer one text for every task, by its name; or a list of texts, in their order.

        Tasks that read a text alike and have left the encoder as it is share one pass of it.

        Raises:
            DataError: something that one of the tasks cannot make a record of.
        """
        if not isinstance(given, list):
            return self([given])[0]
        questions = [_Question.of(pipeline, given) for pipeline in self.pipelines.values()]
        answers: dict[str, list[Any]] = {}
        for alike in _read_alike(questions):
            engine = _OnePass([question.engine for question in alike])
            found = engine_outputs(engine, alike[0].examples, self._batch_tokens)
            for number, question in enumerate(alike):
                answers[question.task.name] = question.answers(engine.parts(found, number))
        return [{name: answers[name][i] for name in self.pipelines} for i in range(len(given))]

    def __repr__(self) -> str:
        """Name the tasks."""
        return f"Stack({', '.join(self.pipelines)})"


def load_stack(
    models: Sequence[str | Path],
    *,
    tokenizer: TokenizerName = "auto",
    batch_tokens: int | None = None,
    base: str | Path | None = None,
) -> Stack:
    """Open several delta folders of one base; `open_stack` says what may go wrong."""
    return Stack(open_stack(models, tokenizer=tokenizer, base=base), batch_tokens=batch_tokens)


@dataclass(frozen=True)
class _Question:
    """What one task makes of the texts.

    Attributes:
        task: whose it is
        engine: that answers it
        records: one for each text
        features: the examples of each
    """

    task: Task[Any]
    engine: Any
    records: list[Any]
    features: list[list[Example]]

    @classmethod
    def of(cls, pipeline: Pipeline, given: Several) -> _Question:
        """Make records and examples of texts."""
        records = [pipeline.task.record(one) for one in given]
        features = [pipeline.task.features(record) for record in records]
        return cls(pipeline.task, pipeline.engine, records, features)

    @property
    def examples(self) -> list[Example]:
        """All examples, record by record."""
        return [example for parts in self.features for example in parts]

    def answers(self, outputs: Sequence[Outputs]) -> list[Any]:
        """Return the answers that the heads' outputs for all examples mean."""
        return answers_of(self.task, self.records, self.features, outputs)

    def is_read_as(self, other: _Question) -> bool:
        """Whether one pass of the encoder does for both."""
        mine, theirs = self.examples, other.examples
        same = self.engine is other.engine or self.engine.reads_as(other.engine)
        return (
            same
            and len(mine) == len(theirs)
            and all(
                np.array_equal(one.input_ids, two.input_ids)
                and np.array_equal(one.token_type_ids, two.token_type_ids)
                for one, two in zip(mine, theirs, strict=True)
            )
        )


def _read_alike(questions: Sequence[_Question]) -> list[list[_Question]]:
    """Group questions that one pass of the encoder serves."""
    groups: list[list[_Question]] = []
    for question in questions:
        group = next((g for g in groups if question.is_read_as(g[0])), None)
        if group is None:
            groups.append([question])
        else:
            group.append(question)
    return groups


class _OnePass:
    """The engine that several share, with the heads of all of them, told apart by a number."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Take engines that read alike; the first one reads."""
        self.config, self.batch_tokens = engines[0].config, engines[0].batch_tokens
        self._engines = list(engines)

    @property
    def exit_names(self) -> tuple[str, ...]:
        """The heads of all engines that answer after every depth."""
        return tuple(f"{n}:{name}" for n, e in enumerate(self._engines) for name in e.exit_names)

    def embed(self, batch: PackedBatch) -> Rows:
        """Return the rows that enter depth 0."""
        return self._engines[0].embed(batch)

    def layer(self, rows: Rows, cu_seqlens: IntArray, depth: int) -> Rows:
        """Apply the layer of a flat depth index."""
        return self._engines[0].layer(rows, cu_seqlens, depth)

    def heads(self, rows: Rows, batch: PackedBatch, depth: int | None = None) -> Outputs:
        """Return every engine's outputs, `NUMBER:NAME`; an engine of several tasks runs once."""
        first = {id(engine): number for number, engine in reversed([*enumerate(self._engines)])}
        found = {n: self._engines[n].heads(rows, batch, depth) for n in first.values()}
        return {
            f"{number}:{name}": output
            for number, engine in enumerate(self._engines)
            for name, output in found[first[id(engine)]].items()
        }

    def select(self, rows: Rows, indices: IntArray) -> Rows:
        """Return the rows at these token indices."""
        return self._engines[0].select(rows, indices)

    def concat(self, parts: Sequence[Rows]) -> Rows:
        """Lay rows of several batches end to end."""
        return self._engines[0].concat(parts)

    def parts(self, outputs: Sequence[Outputs], number: int) -> list[Outputs]:
        """Return what one of the engines gave, by its own names."""
        start = f"{number}:"
        return [
            {name.removeprefix(start): rows for name, rows in one.items() if name.startswith(start)}
            for one in outputs
        ]
