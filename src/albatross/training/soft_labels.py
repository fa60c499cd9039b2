"""Learning from shares of classes in place of one class: what other models were sure of, and how.

The shares of a certain label are one and zeros, so labelled and guessed records learn by one loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.engine.torch_engine import TorchEngine
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import answer_records
from albatross.tasks.answers import Answer
from albatross.tasks.classification import ClassificationTask

Shares = NDArray[np.float32]
"""(records, classes), each row with the sum 1."""
# Tokens computed together when texts are answered.
_ANSWERING_TOKENS = 8_192


def certain(task: ClassificationTask, records: Sequence[TextRecord]) -> Shares:
    """Return the shares of records with labels: one for the label."""
    classes = [task.class_of(record.label or "") for record in records]
    return np.eye(len(task.labels), dtype=np.float32)[classes]


def units_of(
    task: ClassificationTask, records: Sequence[TextRecord], shares: Shares
) -> list[list[Example]]:
    """Return what a classifier learns from: every window of a text with the text's shares."""
    return [
        [replace(example, labels={task.head: row[None]})]
        for record, row in zip(records, shares, strict=True)
        for example in task.features(replace(record, label=None))
    ]


def shares_by(
    model: AlbertWithHeads, task: ClassificationTask, records: Sequence[TextRecord]
) -> Shares:
    """Return how a classifier shares records out among the classes."""
    answers = answer_records(TorchEngine(model), task, records, _ANSWERING_TOKENS)
    found = [list(a.probabilities.values()) for a in answers if isinstance(a, Answer)]
    return np.array(found, dtype=np.float32).reshape(len(records), len(task.labels))
