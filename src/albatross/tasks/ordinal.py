"""Classes that have an order, such as stars or grades of pain: a threshold between neighbours.

Frank and Hall (2001): one logit for every class but the last, whether the class is above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.classification import (
    accuracy_of,
    confusion_of_classes,
    mean_class_distance,
    quadratic_kappa,
)
from albatross.metrics.intervals import checked_count
from albatross.tasks.answers import Answer, AnyAnswer
from albatross.tasks.inputs import Inputs, labelled, sigmoid
from albatross.tasks.labels import (
    check_labels,
    labels_of,
    likeliest,
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

METRICS = ("quadratic_kappa", "accuracy", "mae")


@dataclass(frozen=True)
class OrdinalTask(TextTask):
    """Choose one of several labels that have an order.

    Attributes:
        name: the task's name
        labels: from the lowest to the highest
        inputs: files and sequences; the logits of a long text's windows are averaged
        head: prefix of the head's tensors
        main_metric: by which runs are compared
    """

    name: str
    labels: tuple[str, ...]
    inputs: Inputs
    head: str = "classifier"
    main_metric: str = METRICS[0]

    kind: ClassVar[str] = "ordinal"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that labels can be told apart, and the choice of figures."""
        check_labels(self.kind, self.labels, self.labels)
        chosen_metric(self.main_metric, METRICS)

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> OrdinalTask:
        """Take the order from the options, or from labels that are numbers.

        Raises:
            LabelError: a record without a label, fewer than two, words without an order, or a label
                that the order does not have.
        """
        options.refuse_others(cls.kind, "labels", "metric", "head", "mark_shared")
        labels = options.labels or sorted_labels(records)
        if not options.labels and not all(_is_number(label) for label in labels):
            raise LabelError(
                "Labels that have an order must be numbers, or be listed from the lowest to the"
                f" highest. Received: {listed(labels)}. Give `--labels`."
            )
        inputs = Inputs.of(options, tokenizer, TextRecord, "text")
        metric = options.metric or METRICS[0]
        task = cls(name, labels, inputs, options.head or "classifier", metric)
        task.check(records)
        return task

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer) -> OrdinalTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                strings(values["labels"]),
                Inputs.from_dict(values, tokenizer, "text"),
                str(values["head"]),
                str(values["metric"]),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One logit of each label but the highest."""
        return {self.head: HeadSpec("sequence", len(self.labels) - 1, {"loss": "ordinal"})}

    def features(self, record: TextRecord) -> list[Example]:
        """Return one example for a pair, and one for each window of a text."""
        examples = self.inputs.texts(record)
        if record.label is None:
            return examples
        return labelled(examples, **{self.head: self._class_of(record.label, record.place)})

    def answer(self, outputs: Outputs, record: TextRecord, examples: Sequence[Example]) -> Answer:
        """Return the most probable label, by differences of the probabilities of being above.

        A class cannot be above a higher threshold and not above a lower one, so the probabilities
        are made to fall.
        """
        above = sigmoid(outputs[self.head].mean(0, dtype=np.float64))
        falling = np.concatenate([[1.0], np.minimum.accumulate(above), [0.0]])
        return likeliest(falling[:-1] - falling[1:], self.labels)

    def check(self, records: Sequence[TextRecord]) -> None:
        """Refuse records without a label, or with one that the task does not know."""
        self._classes_of(records)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> NDArray[np.float64]:
        """Return the expected and the predicted class of each record: (records, 2)."""
        predicted = [self._class_of(a.label, "") for a in answers if isinstance(a, Answer)]
        return np.array([self._classes_of(records), predicted], dtype=np.float64).T

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return quadratic kappa, accuracy, and the mean distance in classes."""
        count = checked_count(len(judged))
        confusion = confusion_of_classes(judged[:, 1], judged[:, 0], len(self.labels))
        return {
            "quadratic_kappa": quadratic_kappa(confusion),
            "accuracy": accuracy_of(confusion),
            "mae": mean_class_distance(confusion),
            "records": count,
        }

    def transformers_keys(self) -> dict[str, Any]:
        """Return keys by which transformers reads each logit as the sigmoid that it is."""
        names = [f"above {label}" for label in self.labels[:-1]]
        return sequence_keys(names, "multi_label_classification")

    def _class_of(self, label: str, place: str) -> int:
        """Return the rank of a label."""
        return index_of(label, {name: rank for rank, name in enumerate(self.labels)}, place)

    def _classes_of(self, records: Sequence[TextRecord]) -> list[int]:
        """Return the rank of every record."""
        found = labels_of(records)
        return [self._class_of(label, r.place) for label, r in zip(found, records, strict=True)]


def _is_number(label: str) -> bool:
    """Whether a label spells a finite number."""
    try:
        return bool(np.isfinite(float(label)))
    except ValueError:
        return False
