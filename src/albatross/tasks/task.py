"""The one seam between data and model, for training, evaluation, pipelines and the service alike.

So what was evaluated is what is served. A task knows its tokenizer and its labels, and no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from albatross.data.columns import NO_COLUMNS
from albatross.data.packing import Example
from albatross.head_spec import HeadSpec
from albatross.tasks.answers import AnyAnswer
from albatross.tokenizer.unigram import Encoding

Outputs = Mapping[str, NDArray[np.float32]]
Given = str | tuple[str, ...] | Mapping[str, Any]
"""What a pipeline is called with: a text, several that belong together, or named parts."""
Several = list[str] | list[tuple[str, ...]] | list[dict[str, Any]] | list[Given]
"""A list of them, answered in its order."""
Record = TypeVar("Record")


class Tokenizer(Protocol):
    """What a task needs of a tokenizer."""

    cls_id: int
    sep_id: int
    mask_id: int

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without specials."""
        ...

    def encode_with_offsets(self, text: str) -> Encoding:
        """Return ids without specials, and where each stands in the text."""
        ...


class Task(Protocol[Record]):
    """What every task offers; `Record` is what its files hold."""

    kind: ClassVar[str]
    """Its key in the table of kinds."""
    together: ClassVar[bool]
    """Whether a step of training takes all examples of a record."""

    @property
    def main_metric(self) -> str:
        """The figure that runs are compared by; a key of `metrics`."""
        ...

    @property
    def name(self) -> str:
        """The task's name in its folder."""
        ...

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """The heads that the model needs, by the prefix of their tensors."""
        ...

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[Record]:
        """Read the records of a file; columns that are given go before those of the task."""
        ...

    def record(self, given: Given) -> Record:
        """Make a record of what a pipeline was called with."""
        ...

    def features(self, record: Record) -> list[Example]:
        """Return one or more examples: windows, choices, or the texts of a pair."""
        ...

    def answer(self, outputs: Outputs, record: Record, examples: Sequence[Example]) -> AnyAnswer:
        """Turn the heads' outputs for all the record's examples into an answer."""
        ...

    def check(self, records: Sequence[Record]) -> None:
        """Refuse records that can be neither learned from nor scored, before a long run.

        Raises:
            LabelError: a label is missing or unknown; the message names the record's place.
        """
        ...

    def judge(self, answers: Sequence[AnyAnswer], records: Sequence[Record]) -> NDArray[np.float64]:
        """Return (records, columns): all that the metrics need to know of each record."""
        ...

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return the figures of some rows of what `judge` returned, each as often as it is there.

        An interval by bootstrap is this function of drawn rows.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds of this task."""
        ...

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys of `config.json` by which transformers knows the head."""
        ...


@runtime_checkable
class Tunable(Protocol):
    """A task with thresholds, which are chosen on records that are neither learned nor reported."""

    @property
    def has_thresholds(self) -> bool:
        """Whether there are any to choose: every label's, or that of there being no answer."""
        ...

    def tuned(self, answers: Sequence[AnyAnswer], records: Sequence[Any]) -> Task[Any]:
        """Return the task with the thresholds that are best for these answers."""
        ...


def score(
    task: Task[Record], answers: Sequence[AnyAnswer], records: Sequence[Record]
) -> dict[str, float]:
    """Return the figures of answers to records with labels.

    Raises:
        LabelError: a record has no label, or one that the task does not know.
    """
    return task.metrics(task.judge(answers, records))
