"""Learning from shares of classes in place of one class: what other models were sure of, and how.

The shares of a certain label are one and zeros, so labelled and guessed records learn by one loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from albatross.data.packing import Example, PackedBatch
from albatross.data.records import TextRecord
from albatross.engine.torch_engine import TorchEngine
from albatross.modeling.packed import PackedInputs
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import answer_records
from albatross.tasks.answers import Answer
from albatross.tasks.classification import ClassificationTask
from albatross.training.objectives import Draw, Objective

Shares = NDArray[np.float32]
"""(records, classes), each row with the sum 1."""
# Tokens computed together when texts are answered.
_ANSWERING_TOKENS = 8_192


class SoftLabels(Objective):
    """The cross entropy of a classifier with shares of classes (Hinton et al., 2015, section 2)."""

    def __init__(self, model: AlbertWithHeads, head: str) -> None:
        """Keep the model and the name of its classifier."""
        super().__init__()
        self.model = model
        self.weights = {f"{head}_loss": 1.0}
        self._head = head

    def counts(self, batch: PackedBatch) -> dict[str, float]:
        """Count sequences."""
        return {f"{self._head}_loss": float(batch.num_sequences)}

    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the summed cross entropy."""
        model = self.model
        assert isinstance(model, AlbertWithHeads)
        none = np.empty(0, dtype=np.int64)
        inputs = PackedInputs.from_batch(batch, self.device, none)
        assert inputs.wanted is not None
        rows = model.albert.encode(inputs, draw.depths)
        reading = model.read(rows, inputs.wanted.layout, batch)
        logits = model.head(self._head).outputs(reading)[""].float()
        shares = torch.from_numpy(batch.labels[self._head]).to(logits)
        loss = functional.cross_entropy(logits, shares, reduction="sum")
        return {f"{self._head}_loss": loss}


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
