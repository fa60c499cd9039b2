"""Several classes at once for a text or a pair: tags, topics, emotions, toxicity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.intervals import checked_count
from albatross.metrics.multi_label import flag_macro_f1, flag_micro_f1, subset_accuracy
from albatross.tasks.answers import AnyAnswer, LabelsAnswer
from albatross.tasks.inputs import Inputs, labelled, sigmoid
from albatross.tasks.labels import check_labels, sequence_keys, since
from albatross.tasks.options import (
    USUAL,
    TaskOptions,
    chosen_metric,
    in_place,
    index_of,
    listed,
    numbers,
    read_back,
    strings,
)
from albatross.tasks.task import Outputs, Tokenizer
from albatross.tasks.text_task import TextTask

METRICS = ("micro_f1", "macro_f1", "subset_accuracy")
_EVEN = 0.5


@dataclass(frozen=True)
class MultiLabelTask(TextTask):
    """Say of each label whether it holds.

    Attributes:
        name: the task's name
        labels: in the order of the head's outputs
        thresholds: the probability from which each label is given
        inputs: files and sequences; the logits of a long text's windows are averaged
        head: prefix of the head's tensors
        main_metric: by which runs are compared
    """

    name: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    inputs: Inputs
    head: str = "classifier"
    main_metric: str = METRICS[0]

    kind: ClassVar[str] = "multi-label"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that labels can be told apart and that each has its threshold."""
        check_labels(self.kind, self.labels, self.labels)
        chosen_metric(self.main_metric, METRICS)
        inside = all(0 <= threshold <= 1 for threshold in self.thresholds)
        if len(self.thresholds) != len(self.labels) or not inside:
            raise ConfigError(
                "Every label must have a threshold between 0 and 1. Received:"
                f" {list(self.thresholds)[:5]} for {len(self.labels)} labels."
            )

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> MultiLabelTask:
        """Find the labels of records, sorted, or take those that the options list.

        Raises:
            LabelError: a record without labels, fewer than two labels, or one that is not listed.
        """
        options.refuse_others(cls.kind, "labels", "metric", "head", "mark_shared")
        found = sorted({label for record in records for label in _labels_of(record)})
        labels = options.labels or tuple(found)
        if len(labels) < 2:
            raise LabelError(
                "Training records must carry at least two labels. Received:"
                f" {listed(labels) or 'none'}{since(records)}. Check the column `label`: a JSON"
                " list in each row."
            )
        inputs = Inputs.of(options, tokenizer, TextRecord, "text")
        metric = options.metric or METRICS[0]
        even = (_EVEN,) * len(labels)
        task = cls(name, labels, even, inputs, options.head or "classifier", metric)
        task.check(records)
        return task

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer
    ) -> MultiLabelTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                strings(values["labels"]),
                numbers(values["thresholds"]),
                Inputs.from_dict(values, tokenizer, "text"),
                str(values["head"]),
                str(values["metric"]),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "thresholds": list(self.thresholds),
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One logit of each label a sequence."""
        return {self.head: HeadSpec("sequence", len(self.labels), {"loss": "binary"})}

    def features(self, record: TextRecord) -> list[Example]:
        """Return one example for a pair, and one for each window of a text.

        Raises:
            LabelError: one of the record's labels is not one of the task's.
        """
        examples = self.inputs.texts(record)
        if record.label is None and record.labels is None:
            return examples
        return labelled(examples, **{self.head: self._flags(record)[None].astype(np.float32)})

    def answer(
        self, outputs: Outputs, record: TextRecord, examples: Sequence[Example]
    ) -> LabelsAnswer:
        """Return the labels above their thresholds; windows vote with the mean of their logits."""
        shares = sigmoid(outputs[self.head].mean(0, dtype=np.float64)).tolist()
        by_label = dict(zip(self.labels, shares, strict=True))
        given = zip(self.labels, shares, self.thresholds, strict=True)
        return LabelsAnswer(
            tuple(label for label, share, least in given if share >= least), by_label
        )

    def check(self, records: Sequence[TextRecord]) -> None:
        """Refuse records without a list of labels, or with a label that the task does not know."""
        for record in records:
            self._flags(record)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> NDArray[np.float64]:
        """Return expected flags, and given ones: (records, 2 * labels)."""
        expected = [self._flags(record) for record in records]
        given = [
            [float(label in answer.labels) for label in self.labels]
            for answer in answers
            if isinstance(answer, LabelsAnswer)
        ]
        return np.hstack([np.array(expected), np.array(given)])

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return F1 over all decisions, F1 averaged over labels, and the share of whole sets."""
        count = checked_count(len(judged))
        expected, given = np.hsplit(judged, 2)
        return {
            "micro_f1": flag_micro_f1(given, expected),
            "macro_f1": flag_macro_f1(given, expected),
            "subset_accuracy": subset_accuracy(given, expected),
            "records": count,
        }

    @property
    def has_thresholds(self) -> bool:
        """Every label has one."""
        return True

    def tuned(self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]) -> MultiLabelTask:
        """Return the task with the thresholds that give each label the best F1 on these records.

        They must be others than those that are reported.
        """
        expected = np.array([self._flags(record) for record in records])
        shares = np.array(
            [list(a.probabilities.values()) for a in answers if isinstance(a, LabelsAnswer)]
        )
        columns = zip(shares.T, expected.T, strict=True)
        return replace(self, thresholds=tuple(_best_threshold(*column) for column in columns))

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys by which transformers knows such a classifier."""
        return sequence_keys(self.labels, "multi_label_classification")

    def _flags(self, record: TextRecord) -> NDArray[np.float64]:
        """Return one for each label that a record carries: (labels,)."""
        index = {label: number for number, label in enumerate(self.labels)}
        flags = np.zeros(len(self.labels))
        for label in _labels_of(record):
            flags[index_of(label, index, record.place)] = 1
        return flags


def _labels_of(record: TextRecord) -> tuple[str, ...]:
    """Return the labels of a record, perhaps the empty list.

    Raises:
        LabelError: it has no list.
    """
    if record.labels is None and record.label is None:
        raise LabelError(
            "Every record must carry a list of labels here, if an empty one. Received:"
            f" {record.text[:40]!r}{in_place(record.place)}. Write [] for none."
        )
    return record.labels if record.labels is not None else (record.label or "",)


def _best_threshold(shares: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the middle between the two probabilities where F1 is best; 0.5 without any label."""
    if not expected.any():
        return _EVEN
    order = np.argsort(-shares, kind="stable")
    ordered, hits = shares[order], np.cumsum(expected[order])
    scores = 2 * hits / (np.arange(1, len(hits) + 1) + expected.sum())
    # Equal probabilities fall together on one side.
    scores[:-1][ordered[:-1] == ordered[1:]] = -1
    best = int(scores.argmax())
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float((ordered[best] + below) / 2)
