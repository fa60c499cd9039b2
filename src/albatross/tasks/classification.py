"""One class for a text or a pair of texts: sentiment, topic, spam, acceptability, entailment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import ConfigError
from albatross.head_spec import HeadSpec
from albatross.metrics.classification import (
    accuracy_of,
    binary_f1,
    confusion_of_classes,
    macro_f1,
    matthews,
)
from albatross.metrics.intervals import checked_count
from albatross.tasks.answers import Answer, AnyAnswer
from albatross.tasks.decision import USUAL_DECISION, Decision, otherwise_figures
from albatross.tasks.inputs import Inputs, labelled
from albatross.tasks.labels import (
    check_labels,
    labels_of,
    named_labels,
    sequence_keys,
    sorted_labels,
)
from albatross.tasks.options import (
    USUAL,
    TaskOptions,
    chosen_metric,
    index_of,
    listed,
    read_back,
    strings,
)
from albatross.tasks.task import Outputs, Tokenizer
from albatross.tasks.text_task import TextTask

METRICS = ("accuracy", "macro_f1", "matthews")


@dataclass(frozen=True)
class ClassificationTask(TextTask):
    """Choose one of several labels.

    Attributes:
        name: the task's name
        labels: names of the classes, in the order of the head's outputs
        values: how the files spell the classes, in the same order; a file may use either
        inputs: files and sequences; the logits of a long text's windows are averaged
        head: prefix of the head's tensors
        main_metric: by which runs are compared
        positive: of two labels the one that `f1` is of; the second by default
        decision: how a label follows from logits
        is_shared: whether it learns from shares of labels, such as votes
    """

    name: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    inputs: Inputs
    head: str = "classifier"
    main_metric: str = "accuracy"
    positive: str = ""
    decision: Decision = USUAL_DECISION
    is_shared: bool = False

    kind: ClassVar[str] = "classification"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that labels can be told apart, and the choice of figures."""
        check_labels(self.kind, self.labels, self.labels)
        check_labels(self.kind, self.values, self.labels)
        chosen_metric(self.main_metric, self._figures)
        self.decision.check(self.labels)
        if self.positive and (self.positive not in self._index or len(self.labels) != 2):
            raise ConfigError(
                f"`positive` must be one of two labels. Received: {self.positive!r} of"
                f" {listed(self.labels)}. Leave it out, or name one."
            )

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> ClassificationTask:
        """Find the labels of records, sorted; numbers by their value.

        The option `labels` names all labels in their order, or gives each sorted one a name.

        Raises:
            LabelError: a record without a label, fewer than two labels, so many that they look like
                texts, or names that are not one for each.
        """
        used = ("labels", "positive", "metric", "head", "calibrate", "otherwise", "mark_shared")
        options.refuse_others(cls.kind, *used)
        labels, values = named_labels(sorted_labels(records), options.labels, len(records))
        return cls(
            name,
            labels,
            values,
            Inputs.of(options, tokenizer, TextRecord, "text"),
            options.head or "classifier",
            options.metric or METRICS[0],
            options.positive,
            Decision(calibrate=options.calibrate, otherwise=options.otherwise),
            any(record.shares for record in records),
        )

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer
    ) -> ClassificationTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                strings(values["labels"]),
                strings(values["values"]),
                Inputs.from_dict(values, tokenizer, "text"),
                str(values["head"]),
                str(values.get("metric", METRICS[0])),
                str(values.get("positive", "")),
                Decision.from_dict(values),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "values": list(self.values),
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
            "positive": self.positive,
            **self.decision.to_dict(),
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One row of logits a sequence."""
        return {self.head: HeadSpec("sequence", len(self.labels))}

    def features(self, record: TextRecord) -> list[Example]:
        """Return one example for a pair, and one for each window of a text.

        Raises:
            LabelError: the record's label is not one of the task's.
        """
        examples = self.inputs.texts(record)
        if record.label is None:
            return examples
        if self.is_shared:
            return labelled(examples, **{self.head: self._shares_of(record)[None]})
        return labelled(examples, **{self.head: self.class_of(record.label, record.place)})

    def class_of(self, label: str, place: str = "") -> int:
        """Return the index of a label, given by its name or as the files spell it."""
        return index_of(label, self._index, place)

    def answer(self, outputs: Outputs, record: TextRecord, examples: Sequence[Example]) -> Answer:
        """Return the most probable label; several windows vote with the mean of their logits."""
        return self.decision.answer(outputs[self.head].mean(0, dtype=np.float64), self.labels)

    def check(self, records: Sequence[TextRecord]) -> None:
        """Refuse records without a label, or with one that the task does not know."""
        self._classes_of(records)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> NDArray[np.float64]:
        """Return the expected and the predicted class of each record: (records, 2)."""
        index = {label: number for number, label in enumerate(self.labels)}
        predicted = [index[answer.label] for answer in answers if isinstance(answer, Answer)]
        return np.array([self._classes_of(records), predicted], dtype=np.float64).T

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return accuracy, F1 averaged over the labels and Matthews' correlation; F1 of two."""
        count = checked_count(len(judged))
        confusion = confusion_of_classes(judged[:, 1], judged[:, 0], len(self.labels))
        figures = {
            "accuracy": accuracy_of(confusion),
            "macro_f1": macro_f1(confusion),
            "matthews": matthews(confusion),
        }
        if len(self.labels) == 2:
            positive = self._index[self.positive] if self.positive else 1
            figures["f1"] = binary_f1(confusion, positive)
        if self.decision.otherwise:
            none = self.labels.index(self.decision.otherwise)
            figures |= otherwise_figures(judged[:, 0], judged[:, 1], none)
        return {**figures, "records": count}

    @property
    def has_thresholds(self) -> bool:
        """Whether a temperature or a threshold is chosen beside the weights."""
        return self.decision.is_chosen

    def tuned(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> ClassificationTask:
        """Return the task with temperature and threshold chosen on these records.

        They must be others than those that are learned or reported.
        """
        found = [list(a.probabilities.values()) for a in answers if isinstance(a, Answer)]
        expected = np.array(self._classes_of(records))
        return replace(self, decision=self.decision.fitted(np.array(found), expected, self.labels))

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys by which transformers knows a classifier and its labels."""
        return sequence_keys(self.labels, "single_label_classification")

    @cached_property
    def _index(self) -> dict[str, int]:
        """The number of each label, by its name and as the files spell it, which goes first."""
        spellings = [*zip(self.labels, range(len(self.labels)), strict=True)]
        return {**dict(spellings), **{value: at for at, value in enumerate(self.values)}}

    @property
    def _figures(self) -> tuple[str, ...]:
        """What may be the main metric."""
        return (*METRICS, "f1") if len(self.labels) == 2 else METRICS

    def _shares_of(self, record: TextRecord) -> NDArray[np.float32]:
        """Return the shares of a record's labels, (labels,); all of it where it has one label."""
        shares = np.zeros(len(self.labels), dtype=np.float32)
        for label, share in record.shares or ((record.label or "", 1.0),):
            shares[self.class_of(label, record.place)] += share
        return shares

    def _classes_of(self, records: Sequence[TextRecord]) -> list[int]:
        """Return the class of every record."""
        found = labels_of(records)
        return [self.class_of(label, r.place) for label, r in zip(found, records, strict=True)]
