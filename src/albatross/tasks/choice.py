"""The best of several answers to a question about a context: RACE, DREAM, SWAG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.columns import NO_COLUMNS
from albatross.data.packing import Example
from albatross.data.records import ChoiceRecord
from albatross.errors import DataError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.intervals import checked_count
from albatross.tasks.answers import AnyAnswer, ChoiceAnswer
from albatross.tasks.inputs import PAIR_SPECIALS, Inputs, softmax
from albatross.tasks.options import USUAL, TaskOptions, chosen_metric, in_place, read_back, strings
from albatross.tasks.task import Given, Outputs, Tokenizer

METRICS = ("accuracy",)
# Tokens of a question with a choice, as in Google's `run_race.py`; its end is kept.
_MOST_QUESTION = 128
# The blank of a cloze question, however long it is drawn.
_BLANK = re.compile("_+")


@dataclass(frozen=True)
class ChoiceTask:
    """Choose one of the answers that a question gives.

    Attributes:
        name: the task's name
        subsets: the parts of the files that have a figure of their own
        inputs: files and sequences; a long context is cut at its end, or with a stride read in
            windows whose scores are averaged
        head: prefix of the head's tensors
        main_metric: by which runs are compared
    """

    name: str
    subsets: tuple[str, ...]
    inputs: Inputs
    head: str = "classifier"
    main_metric: str = METRICS[0]

    kind: ClassVar[str] = "choice"
    together: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the choice of figures."""
        chosen_metric(self.main_metric, METRICS)

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[ChoiceRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> ChoiceTask:
        """Find the subsets of records.

        Raises:
            LabelError: a record without a right choice.
        """
        options.refuse_others(cls.kind, "metric", "head", "mark_shared")
        inputs = Inputs.of(options, tokenizer, ChoiceRecord, "choice")
        subsets = tuple(sorted({record.subset for record in records if record.subset}))
        head, metric = options.head or "classifier", options.metric or METRICS[0]
        task = cls(name, subsets, inputs, head, metric)
        task.check(records)
        return task

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer) -> ChoiceTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                strings(values["subsets"]),
                Inputs.from_dict(values, tokenizer, "choice"),
                str(values["head"]),
                str(values["metric"]),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "subsets": list(self.subsets),
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One score a sequence."""
        return {self.head: HeadSpec("choice", 1)}

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[ChoiceRecord]:
        """Read the records of a file."""
        return self.inputs.read(path, columns)

    def record(self, given: Given) -> ChoiceRecord:
        """Make a record of a mapping: `choices`, and `question` or `context` or both.

        Raises:
            DataError: it is something else.
        """
        parts: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        choices = parts.get("choices")
        texts = [parts.get("context", ""), parts.get("question", "")]
        listed = isinstance(choices, list | tuple) and len(choices) > 1
        if not listed or not all(isinstance(text, str) for text in [*texts, *(choices or ())]):
            raise DataError(
                "A question must be a mapping of context, question and at least two choices, all"
                f" of them strings. Received: {type(given).__name__}"
                f"{' of ' + ', '.join(map(str, parts)) if parts else ''}. Name its parts, or ask"
                " by a file of questions."
            )
        return ChoiceRecord(texts[0], texts[1], tuple(choices or ()))

    def features(self, record: ChoiceRecord) -> list[Example]:
        """Return the windows of the context with each choice; the origin is the choice's number.

        Raises:
            LabelError: the right choice is none of them.
        """
        context = self.inputs.tokenizer.encode(record.context)
        examples = []
        for number, choice in enumerate(record.choices):
            labels = {}
            if record.label is not None:
                right = float(number == self._label(record))
                labels = {self.head: right, f"{self.head}.choice": number}
            for example in self._windows(context, _joined(record.question, choice)):
                examples.append(replace(example, labels=labels, origin=number))
        return examples

    def answer(
        self, outputs: Outputs, record: ChoiceRecord, examples: Sequence[Example]
    ) -> ChoiceAnswer:
        """Return the choice with the highest score, its windows averaged."""
        numbers = np.array([example.origin for example in examples], dtype=np.int64)
        scores = outputs[self.head][:, 0].astype(np.float64)
        shares = softmax(np.bincount(numbers, weights=scores) / np.bincount(numbers))
        best = int(shares.argmax())
        return ChoiceAnswer(best, record.choices[best], float(shares[best]), tuple(shares.tolist()))

    def check(self, records: Sequence[ChoiceRecord]) -> None:
        """Refuse records without a right choice."""
        for record in records:
            self._label(record)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[ChoiceRecord]
    ) -> NDArray[np.float64]:
        """Return whether each answer is right, and the number of its subset: (records, 2)."""
        index = {name: number for number, name in enumerate(self.subsets)}
        chosen = [answer.index for answer in answers if isinstance(answer, ChoiceAnswer)]
        rows = [
            (float(choice == self._label(record)), float(index.get(record.subset, -1)))
            for choice, record in zip(chosen, records, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return accuracy, and that of each subset that there is."""
        count = checked_count(len(judged))
        right, subset = judged.T
        figures = {"accuracy": float(right.mean())}
        for number, name in enumerate(self.subsets):
            of_subset = right[subset == number]
            if len(of_subset):
                figures[f"accuracy_{name}"] = float(of_subset.mean())
        return {**figures, "records": count}

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys by which transformers knows the head."""
        return {"architectures": ["AlbertForMultipleChoice"]}

    def _label(self, record: ChoiceRecord) -> int:
        """Return the number of the right choice."""
        if record.label is None or not 0 <= record.label < len(record.choices):
            raise LabelError(
                "Every question must say which of its choices is right. Received:"
                f" {record.label} of {len(record.choices)}{in_place(record.place)}. Correct it."
            )
        return record.label

    def _windows(self, context: Sequence[int], text: str) -> list[Example]:
        """Return [CLS] context [SEP] text [SEP] for each window of the context."""
        room = self.inputs.max_length - PAIR_SPECIALS
        most = min(_MOST_QUESTION, max(room // 2, room - len(context)))
        question = self.inputs.tokenizer.encode(text)[-most:]
        room -= len(question)
        cut = self.inputs.windows(len(context), room) if self.inputs.stride else [slice(0, room)]
        return [self.inputs.pair(context[at], question) for at in cut]


def _joined(question: str, choice: str) -> str:
    """Put a choice into the blank of a question, or behind it.

    >>> _joined("The gull _ home.", "flew"), _joined("What flew?", "A gull.")
    ('The gull flew home.', 'What flew? A gull.')
    """
    if "_" in question:
        return _BLANK.sub(lambda _: choice, question)
    return f"{question} {choice}".strip()
