"""Text in, answer out: tokenizer, engine and task of one model.

Texts are packed by length up to a token budget, so that nothing is padded, and answers come back in
the order of the texts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from albatross.data.packing import Example, IntArray, batches_by_tokens, pack
from albatross.data.text_files import read_lines
from albatross.engine.engine import Engine, Outputs, join_outputs, run
from albatross.engine.open import EngineName, OpenModel, open_model
from albatross.errors import DataError
from albatross.progress import Progress
from albatross.settings.answering import PredictSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task import Answer
from albatross.tokenizer.folder import TokenizerName

# What is read, tokenised and answered together when a stream is predicted.
_STREAM_TEXTS, _STREAM_CHARACTERS = 1_024, 4_000_000


class Pipeline:
    """Answers texts.

    >>> classify = load("sentiment")
    >>> classify("A lovely film.").label
    'positive'
    """

    def __init__(self, opened: OpenModel, *, batch_tokens: int = 4_096) -> None:
        """Take an open model; `batch_tokens` bounds what is computed together."""
        self.task = opened.task
        self.tokenizer = opened.tokenizer
        self.engine = opened.engine
        self.folder = opened.folder
        self._batch_tokens = batch_tokens

    @overload  # a text is a sequence of texts too, to the type checker alone
    def __call__(self, texts: str) -> Answer: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, texts: Sequence[str]) -> list[Answer]: ...
    def __call__(self, texts: str | Sequence[str]) -> Answer | list[Answer]:
        """Answer one text, or a list of texts in their order.

        Raises:
            DataError: something other than text.
        """
        if isinstance(texts, str):
            return self([texts])[0]
        if not isinstance(texts, Iterable):
            raise DataError(
                "A pipeline takes a text or a list of texts. Received: a"
                f" {type(texts).__name__}. Pass a string."
            )
        records = [self.task.record(text) for text in texts]
        return answer_records(self.engine, self.task, records, self._batch_tokens)

    def stream(self, texts: Iterable[str]) -> Iterator[tuple[str, Answer]]:
        """Yield texts with their answers, in their order and in bounded memory."""
        for chunk in _chunks(texts):
            yield from zip(chunk, self(chunk), strict=True)

    def __repr__(self) -> str:
        """Say what is answered and by what."""
        labels = ", ".join(self.task.labels)
        return (
            f"Pipeline({self.task.name!r}, labels=[{labels}], engine={type(self.engine).__name__})"
        )


def load(
    model: str | Path,
    *,
    engine: EngineName = "auto",
    tokenizer: TokenizerName = "auto",
    batch_tokens: int = 4_096,
    threads: int | None = None,
) -> Pipeline:
    """Open a model folder or a built-in name as a pipeline; `open_model` says what may go wrong."""
    opened = open_model(model, engine=engine, tokenizer=tokenizer, threads=threads)
    return Pipeline(opened, batch_tokens=batch_tokens)


def predict(settings: PredictSettings) -> list[Answer]:
    """Answer the texts of the settings, or the lines of their file."""
    pipeline = load(settings.model, engine=settings.engine, batch_tokens=settings.batch_tokens)
    texts: Iterable[str] = settings.texts or text_lines(settings.file)
    return [answer for _, answer in pipeline.stream(texts)]


def text_lines(path: Path | None) -> Iterator[str]:
    """Yield the lines of a text file, or of standard input.

    Raises:
        DataError: no such file, or a line that is not UTF-8.
    """
    if path is not None and not path.is_file():
        raise DataError(f"`--file` must be a text file. Received: {str(path)!r}. Check the path.")
    if path is not None:
        yield from read_lines(path)
        return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Standard input must be UTF-8. Received: byte 0x{line[error.start]:02x} in line"
                f" {number}. Convert it, for example with iconv."
            ) from error


def answer_records(
    engine: Engine,
    task: ClassificationTask,
    records: Sequence[Any],
    batch_tokens: int,
    *,
    progress: Progress | None = None,
) -> list[Answer]:
    """Answer records in their order, whatever order they are computed in; all of them are 1."""
    features = [task.features(record) for record in records]
    examples = [example for parts in features for example in parts]
    if not examples:
        return []
    outputs = engine_outputs(engine, examples, batch_tokens, progress=progress)
    answers, at = [], 0
    for record, parts in zip(records, features, strict=True):
        mine = {name: rows[at : at + len(parts)] for name, rows in outputs.items()}
        answers.append(task.answer(mine, record))
        at += len(parts)
    return answers


def engine_outputs(
    engine: Engine,
    examples: Sequence[Example],
    batch_tokens: int,
    *,
    progress: Progress | None = None,
) -> Outputs:
    """Run examples packed by length and return the heads' outputs in the examples' order."""
    lengths = [len(example.input_ids) for example in examples]
    order: list[IntArray] = []
    parts: list[Outputs] = []
    for indices in batches_by_tokens(lengths, batch_tokens):
        batch = pack([Example(examples[i].input_ids, examples[i].token_type_ids) for i in indices])
        parts.append(run(engine, batch))
        order.append(indices)
        if progress is not None:
            progress.advance(len(indices) / len(examples))
    back = np.argsort(np.concatenate(order))
    return {name: rows[back] for name, rows in join_outputs(parts).items()}


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Group texts until there are many, or long ones."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if len(chunk) == _STREAM_TEXTS or size >= _STREAM_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
