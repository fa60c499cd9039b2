"""A number for a text or a pair of texts: likeness, difficulty, price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.intervals import checked_count
from albatross.metrics.regression import pearson, spearman
from albatross.tasks.answers import AnyAnswer, ValueAnswer
from albatross.tasks.inputs import Inputs, labelled
from albatross.tasks.labels import labels_of, sequence_keys
from albatross.tasks.options import USUAL, TaskOptions, chosen_metric, in_place, read_back
from albatross.tasks.task import Outputs, Tokenizer
from albatross.tasks.text_task import TextTask

METRICS = ("pearson_spearman", "pearson", "spearman", "mse")


@dataclass(frozen=True)
class RegressionTask(TextTask):
    """Say a number.

    The head learns labels about zero with a deviation of one, whatever their scale.

    Attributes:
        name: the task's name
        mean: of the training labels
        deviation: of the training labels
        inputs: files and sequences; the numbers of a long text's windows are averaged
        head: prefix of the head's tensors
        main_metric: by which runs are compared
    """

    name: str
    mean: float
    deviation: float
    inputs: Inputs
    head: str = "classifier"
    main_metric: str = METRICS[0]

    kind: ClassVar[str] = "regression"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the scale and the choice of figures."""
        chosen_metric(self.main_metric, METRICS)
        if not (math.isfinite(self.mean) and 0 < self.deviation < math.inf):
            raise ConfigError(
                "A regression must have a finite mean and a positive deviation. Received:"
                f" {self.mean} and {self.deviation}. Write the folder again."
            )

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> RegressionTask:
        """Take the scale from the labels of records.

        Raises:
            LabelError: a record without a number, or the same number everywhere.
        """
        options.refuse_others(cls.kind, "metric", "head", "mark_shared")
        values = np.array(numbers_of(records))
        if len(values) < 2 or values.min() == values.max():
            raise LabelError(
                "Training records must carry at least two different numbers. Received:"
                f" {values[0] if len(values) else 'none'}. Check the column `label`."
            )
        inputs = Inputs.of(options, tokenizer, TextRecord, "text")
        scale = float(values.mean()), float(values.std())
        return cls(name, *scale, inputs, options.head or "classifier", options.metric or METRICS[0])

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer
    ) -> RegressionTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                float(values["mean"]),
                float(values["deviation"]),
                Inputs.from_dict(values, tokenizer, "text"),
                str(values["head"]),
                str(values["metric"]),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "mean": self.mean,
            "deviation": self.deviation,
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One number a sequence."""
        return {self.head: HeadSpec("sequence", 1, {"loss": "squared"})}

    def features(self, record: TextRecord) -> list[Example]:
        """Return one example for a pair, and one for each window of a text."""
        examples = self.inputs.texts(record)
        if record.label is None:
            return examples
        (value,) = numbers_of([record])
        return labelled(examples, **{self.head: (value - self.mean) / self.deviation})

    def answer(
        self, outputs: Outputs, record: TextRecord, examples: Sequence[Example]
    ) -> ValueAnswer:
        """Return the number on the scale of the labels; windows give their mean."""
        found = outputs[self.head].mean(dtype=np.float64)
        return ValueAnswer(self.mean + self.deviation * float(found))

    def check(self, records: Sequence[TextRecord]) -> None:
        """Refuse records without a number."""
        numbers_of(records)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> NDArray[np.float64]:
        """Return the expected and the predicted number of each record: (records, 2)."""
        predicted = [answer.value for answer in answers if isinstance(answer, ValueAnswer)]
        return np.array([numbers_of(records), predicted], dtype=np.float64).T

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return the correlations, their mean, and the mean squared error."""
        return {
            **correlations(judged),
            "mse": float(np.square(judged[:, 0] - judged[:, 1]).mean()),
            "records": len(judged),
        }

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys by which transformers knows a regression."""
        return sequence_keys(("LABEL_0",), "regression")


def numbers_of(records: Sequence[TextRecord]) -> list[float]:
    """Return the number that each record is labelled with.

    Raises:
        LabelError: a record has none.
    """
    values = []
    for label, record in zip(labels_of(records), records, strict=True):
        try:
            value = float(label)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise LabelError(
                f"A label must be a finite number here. Received: {label[:40]!r}"
                f"{in_place(record.place)}. Correct the record, or choose classification."
            )
        values.append(value)
    return values


def correlations(judged: NDArray[np.float64]) -> dict[str, float]:
    """Return Pearson's and Spearman's correlation and their mean, as GLUE has it for STS-B.

    Args:
        judged: (records, 2), expected and predicted numbers
    """
    checked_count(len(judged))
    expected, predicted = judged.T
    both = pearson(predicted, expected), spearman(predicted, expected)
    return {"pearson_spearman": sum(both) / 2, "pearson": both[0], "spearman": both[1]}
