"""One class for a text or a pair of texts: sentiment, topic, spam, acceptability, entailment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from albatross.config import HeadSpec
from albatross.data.packing import Example
from albatross.data.records import TextRecord, read_text_records
from albatross.errors import ConfigError, DataError, LabelError
from albatross.metrics import accuracy, confusion_matrix, f1_by_label, wilson_interval
from albatross.tasks.task import Answer, Outputs, Tokenizer

# [CLS] text [SEP] pair [SEP]
_PAIR_SPECIALS = 3
_TEXT_SPECIALS = 2
# Room for one token of each text of a pair.
_LEAST_LENGTH = _PAIR_SPECIALS + 2
# An error names so many labels.
_LABELS_SHOWN = 20


@dataclass(frozen=True)
class ClassificationTask:
    """Choose one of several labels.

    Attributes:
        name: the task's name
        labels: names of the classes, in the order of the head's outputs
        values: how the files spell the classes, in the same order; a file may use either
        tokenizer: makes ids
        max_length: tokens of an example; a longer text is cut into windows whose logits are
            averaged
        head: prefix of the head's tensors
    """

    name: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    tokenizer: Tokenizer
    max_length: int = 128
    head: str = "classifier"

    def __post_init__(self) -> None:
        """Check that labels can be told apart and that an example holds text."""
        if self.max_length < _LEAST_LENGTH:
            raise ConfigError(
                f"`max_length` must be at least {_LEAST_LENGTH}. Received: {self.max_length}."
            )
        for part, names in (("labels", self.labels), ("values", self.values)):
            if len(set(names)) < len(names) or len(names) != len(self.labels):
                raise ConfigError(
                    f"The {part} of a classification must be different and one for each class."
                    f" Received: {_listed(names)}, for {len(self.labels)} classes."
                )

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: Tokenizer,
        *,
        label_names: Sequence[str] = (),
        max_length: int = 128,
    ) -> ClassificationTask:
        """Infer the labels from records, sorted; numbers by their value.

        Raises:
            LabelError: a record without a label, fewer than two labels, or names that are not one
                for each.
        """
        found = _labels_of(records)
        values = sorted(set(found), key=_label_order)
        if len(values) < 2:
            raise LabelError(
                "Training records must carry at least two labels. Received:"
                f" {_listed(values) or 'none'}. Check the column `label`."
            )
        if label_names and not len(set(label_names)) == len(label_names) == len(values):
            raise LabelError(
                f"`--labels` must give each label of the file a name of its own: {_listed(values)}."
                f" Received: {' '.join(label_names)}."
            )
        return cls(name, tuple(label_names) or tuple(values), tuple(values), tokenizer, max_length)

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer
    ) -> ClassificationTask:
        """Read what `to_dict` wrote."""
        try:
            return cls(
                name,
                _strings(values["labels"]),
                _strings(values["values"]),
                tokenizer,
                int(values["max_length"]),
                str(values["head"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "A classification in `task.json` must have labels, values, max_length and head."
                f" Received for {name!r}: {error}. Write the folder again."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": "classification",
            "labels": list(self.labels),
            "values": list(self.values),
            "max_length": self.max_length,
            "head": self.head,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One row of logits a sequence."""
        return {self.head: HeadSpec("sequence", len(self.labels))}

    def read(self, path: Path) -> list[TextRecord]:
        """Read records from a tsv, csv or jsonl file."""
        return read_text_records(path)

    def record(self, text: str) -> TextRecord:
        """Make a record of one text."""
        if not isinstance(text, str):
            raise DataError(f"A text must be a string. Received: {type(text).__name__}.")
        return TextRecord(text)

    def features(self, record: TextRecord) -> list[Example]:
        """Return one example for a pair, and one for each window of a text.

        Raises:
            LabelError: the record's label is not one of the task's.
        """
        labels = {} if record.label is None else {self.head: self.class_of(record.label)}
        first = self.tokenizer.encode(record.text)
        if record.text_pair is not None:
            second = self.tokenizer.encode(record.text_pair)
            return [replace(self._pair(first, second), labels=labels)]
        size = self.max_length - _TEXT_SPECIALS
        windows = [first[at : at + size] for at in range(0, max(1, len(first)), size)]
        return [replace(self._single(window), labels=labels) for window in windows]

    def class_of(self, label: str) -> int:
        """Return the index of a label, given by its name or as the files spell it."""
        for known in (self.values, self.labels):
            if label in known:
                return known.index(label)
        raise LabelError(
            f"A label must be one of {_listed(dict.fromkeys(self.labels + self.values))}."
            f" Received: {label!r}. Correct the record, or fine-tune with this label."
        )

    def answer(self, outputs: Outputs, record: TextRecord) -> Answer:
        """Return the most probable label; several windows vote with the mean of their logits."""
        logits = outputs[self.head].astype(np.float64).mean(0)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = int(shares.argmax())
        probabilities = dict(zip(self.labels, shares.tolist(), strict=True))
        return Answer(self.labels[best], float(shares[best]), probabilities)

    def score(self, answers: Sequence[Answer], records: Sequence[TextRecord]) -> dict[str, float]:
        """Return accuracy with its 95 % interval, and F1 averaged over the labels.

        Raises:
            LabelError: a record has no label, or one that the task does not know.
        """
        expected = self.expected(records)
        predicted = [answer.label for answer in answers]
        share = accuracy(predicted, expected)
        interval = wilson_interval(share, len(expected))
        macro_f1 = f1_by_label(confusion_matrix(predicted, expected, self.labels)).mean()
        return {
            "accuracy": share,
            "accuracy_low": interval.low,
            "accuracy_high": interval.high,
            "macro_f1": float(macro_f1),
            "records": len(expected),
        }

    def expected(self, records: Sequence[TextRecord]) -> list[str]:
        """Return the names of the records' labels; called before a long run, it finds faults early.

        Raises:
            LabelError: a record has no label, or one that the task does not know.
        """
        return [self.labels[self.class_of(label)] for label in _labels_of(records)]

    def _single(self, ids: list[int]) -> Example:
        """Return [CLS] ids [SEP]."""
        tokens = np.array([self.tokenizer.cls_id, *ids, self.tokenizer.sep_id], dtype=np.int64)
        return Example(tokens, np.zeros_like(tokens))

    def _pair(self, first: list[int], second: list[int]) -> Example:
        """Return [CLS] first [SEP] second [SEP], the longer one cut at its end until both fit."""
        room = self.max_length - _PAIR_SPECIALS
        half = room // 2
        keep_second = min(len(second), max(half, room - len(first)))
        first, second = first[: room - keep_second], second[:keep_second]
        cls, sep = self.tokenizer.cls_id, self.tokenizer.sep_id
        tokens = np.array([cls, *first, sep, *second, sep], dtype=np.int64)
        types = np.repeat([0, 1], [len(first) + 2, len(second) + 1]).astype(np.int64)
        return Example(tokens, types)


def _labels_of(records: Sequence[TextRecord]) -> list[str]:
    """Return the label of every record as its file spells it."""
    labels = [record.label for record in records if record.label is not None]
    if len(labels) < len(records):
        text = next(record.text for record in records if record.label is None)
        raise LabelError(
            f"Every record must carry a label here. Received: {len(records) - len(labels)} of"
            f" {len(records)} without, the first of them {text[:40]!r}. Fill the column `label`, or"
            " use `albatross predict`, which needs none."
        )
    return labels


def _label_order(label: str) -> tuple[int, float, str]:
    """Sort numbers by value, before words; `nan` and `inf` are words."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (0, number, label) if math.isfinite(number) else (1, 0.0, label)


def _strings(values: Any) -> tuple[str, ...]:
    """Return a JSON list of strings."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{str(values)[:60]} is no list of strings")
    return tuple(values)


def _listed(labels: Iterable[str]) -> str:
    """Name the labels, not more than a line holds."""
    names = list(labels)
    more = f" and {len(names) - _LABELS_SHOWN} more" if len(names) > _LABELS_SHOWN else ""
    return ", ".join(names[:_LABELS_SHOWN]) + more
