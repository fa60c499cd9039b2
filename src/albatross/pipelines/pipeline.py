"""Text in, answer out: tokenizer, engine and task of one model.

Texts are packed by length up to a token budget, so that nothing is padded, and answers come back in
the order of the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from albatross.data.packing import Example, batches_by_tokens, pack
from albatross.engine.engine import Engine, Outputs, join_outputs, run, split_outputs
from albatross.engine.generation import write_answers
from albatross.engine.open import EngineName, OpenModel, open_model
from albatross.errors import ConfigError
from albatross.progress import Progress
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Given, Several, Task
from albatross.tokenizer.folder import TokenizerName

# What is read, tokenised and answered together when a stream is predicted.
_STREAM_TEXTS, _STREAM_CHARACTERS = 1_024, 4_000_000
# About how many examples' outputs are held at once: that of a gap is as long as the vocabulary.
_EXAMPLES_AT_ONCE = 2_048
Asked = TypeVar("Asked")


class Pipeline:
    """Answers texts.

    >>> classify = load("sentiment")
    >>> classify("A lovely film.").label
    'positive'
    """

    def __init__(self, opened: OpenModel, *, batch_tokens: int | None = None) -> None:
        """Take an open model; `batch_tokens` bounds what is computed together, and with it memory.

        The engine's own budget by default.
        """
        self.task = opened.task
        self.tasks = opened.tasks
        self.tokenizer = opened.tokenizer
        self.engine = opened.engine
        self.folder = opened.folder
        own = opened.engine.batch_tokens
        self._batch_tokens = own if batch_tokens is None else batch_tokens

    def __call__(self, given: Given | Several, *, task: str | None = None) -> Any:
        """Answer one text, or a list of texts in their order.

        What a text is depends on the task: a pair, or a question with its context, is a tuple or a
        mapping of named parts.

        Args:
            given: what is asked.
            task: the name of one of `tasks`; `self.task` by default.

        Raises:
            ConfigError: the model has no such task.
            DataError: something that the task cannot make a record of.
        """
        if not isinstance(given, list):
            return self([given], task=task)[0]
        if task is not None and task not in self.tasks:
            raise ConfigError(
                f"The task must be one of {', '.join(self.tasks)}. Received: {task!r}."
            )
        asked = self.task if task is None else self.tasks[task]
        records = [asked.record(one) for one in given]
        return answer_records(self.engine, asked, records, self._batch_tokens)

    def stream(self, given: Iterable[Given]) -> Iterator[tuple[Given, Any]]:
        """Yield texts with their answers, in their order and in bounded memory."""
        for chunk in _chunks(given):
            yield from zip(chunk, self(chunk), strict=True)

    def stream_records(self, records: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield records of the task with their answers, likewise."""
        for chunk in _chunks(records):
            answers = answer_records(self.engine, self.task, chunk, self._batch_tokens)
            yield from zip(chunk, answers, strict=True)

    def __repr__(self) -> str:
        """Say what is answered and by what."""
        kind, engine = self.task.kind, type(self.engine).__name__
        return f"Pipeline({self.task.name!r}, kind={kind}, engine={engine})"


def load(
    model: str | Path,
    *,
    engine: EngineName = "auto",
    tokenizer: TokenizerName = "auto",
    batch_tokens: int | None = None,
    threads: int | None = None,
    base: str | Path | None = None,
    task: str | None = None,
) -> Pipeline:
    """Open a model folder or a built-in name as a pipeline; `open_model` says what may go wrong."""
    opened = open_model(
        model, engine=engine, tokenizer=tokenizer, threads=threads, base=base, task=task
    )
    return Pipeline(opened, batch_tokens=batch_tokens)


def answer_records(
    engine: Any,
    task: Task[Any],
    records: Sequence[Any],
    batch_tokens: int,
    *,
    progress: Progress | None = None,
) -> list[Any]:
    """Answer records in their order, whatever order they are computed in; all of them are 1.

    The engine of a task that writes is a `StepModel`.
    """
    if isinstance(task, GenerationTask):
        written = list(write_answers(engine, task, records, batch_tokens)) if records else []
        if progress is not None:
            progress.advance(1.0)
        return written
    features = [task.features(record) for record in records]
    total = sum(map(len, features))
    answers: list[Any] = []
    for some in _groups(features):
        examples = [example for parts in features[some] for example in parts]
        outputs = engine_outputs(
            engine, examples, batch_tokens, progress=progress, share=len(examples) / max(total, 1)
        )
        answers += answers_of(task, records[some], features[some], outputs)
    return answers


def answers_of(
    task: Task[Any],
    records: Sequence[Any],
    features: Sequence[Sequence[Example]],
    outputs: Sequence[Outputs],
) -> list[Any]:
    """Return the answer to each record.

    Args:
        task: what is answered.
        records: in their order.
        features: the examples of each.
        outputs: the heads' for all examples, one after the other.
    """
    answers, at = [], 0
    for record, parts in zip(records, features, strict=True):
        mine = join_outputs(outputs[at : at + len(parts)])
        answers.append(task.answer(mine, record, parts))
        at += len(parts)
    return answers


def engine_outputs(
    engine: Engine,
    examples: Sequence[Example],
    batch_tokens: int,
    *,
    progress: Progress | None = None,
    share: float = 1.0,
) -> list[Outputs]:
    """Run examples packed by length; return the heads' outputs for each, in their order.

    `share` is what all of them are of the progress.
    """
    outputs: list[Outputs] = [{}] * len(examples)
    lengths = [len(example.input_ids) for example in examples]
    for indices in batches_by_tokens(lengths, batch_tokens):
        batch = pack([examples[i].bare() for i in indices])
        for index, found in zip(indices, split_outputs(run(engine, batch), batch), strict=True):
            outputs[index] = found
        if progress is not None:
            progress.advance(share * len(indices) / len(examples))
    return outputs


def _groups(features: Sequence[Sequence[Example]]) -> Iterator[slice]:
    """Yield slices of records that have about as many examples as are computed at once."""
    first = examples = 0
    for number, parts in enumerate(features):
        examples += len(parts)
        if examples >= _EXAMPLES_AT_ONCE or number == len(features) - 1:
            yield slice(first, number + 1)
            first, examples = number + 1, 0


def _chunks(given: Iterable[Asked]) -> Iterator[list[Asked]]:
    """Group texts until there are many, or long ones."""
    chunk: list[Asked] = []
    size = 0
    for one in given:
        chunk.append(one)
        size += _characters(one)
        if len(chunk) == _STREAM_TEXTS or size >= _STREAM_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _characters(given: Any) -> int:
    """Return about how many characters a text, a mapping or a record holds; 0 for what is none."""
    if isinstance(given, str):
        return len(given)
    if is_dataclass(given):
        given = vars(given)
    if not isinstance(given, Mapping | list | tuple):
        return 0  # the task refuses it
    parts = given.values() if isinstance(given, Mapping) else given
    return sum(len(part if isinstance(part, str) else str(part)) for part in parts)
