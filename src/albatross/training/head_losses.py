"""What fine-tuning learns by: the losses of all heads that a batch has labels for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from albatross.data.packing import PackedBatch
from albatross.head_spec import POOLED
from albatross.modeling.losses import LossOptions
from albatross.modeling.packed import PackedInputs
from albatross.modeling.task_heads import Reading, TaskHead
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.objectives import Draw, Objective


class HeadLosses(Objective):
    """The loss of every head; it is called after its head."""

    def __init__(
        self, model: AlbertWithHeads, options: Mapping[str, LossOptions] | None = None
    ) -> None:
        """Keep the model, and how single heads learn beside their labels."""
        super().__init__()
        self.model = model
        self.weights = {f"{name}_loss": 1.0 for name in model.head_names}
        self._options = {name: (options or {}).get(name, LossOptions()) for name in model.specs}
        self._first_rows_do = all(spec.kind in POOLED for spec in model.specs.values())

    def counts(self, batch: PackedBatch) -> dict[str, float]:
        """Count the labels of each head."""
        model = self._model
        return {
            f"{name}_loss": model.head(name).count(name, batch, options)
            if _has_labels(name, batch)
            else 0.0
            for name, options in self._options.items()
        }

    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the sum of every head's loss."""
        readings = self._read(batch, draw.depths)
        labels = {n: torch.from_numpy(v).to(self.device) for n, v in batch.labels.items()}
        return {
            f"{name}_loss": self._loss(name, readings, labels)
            if _has_labels(name, batch)
            else _nothing(self._heads_of(name), readings[-1])
            for name in self._options
        }

    def _loss(self, name: str, readings: Sequence[Reading], labels: Mapping[str, Tensor]) -> Tensor:
        """Return the summed loss of a head; with exits, the mean over depths.

        Deeper ones weigh more, by their number (Zhou et al., "BERT loses patience", 2020, equation
        6).
        """
        heads, options = self._heads_of(name), self._options[name]
        losses = [
            weight * head.loss(reading, name, labels, options)
            for weight, head, reading in zip(
                range(1, len(heads) + 1), heads, readings[-len(heads) :], strict=True
            )
        ]
        return torch.stack(losses).sum() / sum(range(1, len(heads) + 1))

    def _heads_of(self, name: str) -> list[TaskHead]:
        """Return the head of the last depth, after those of the depths before, if it has exits."""
        model = self._model
        depths = model.config.depth - 1 if name in model.exit_names else 0
        names = [*(f"exits.{name}.{depth}" for depth in range(depths)), name]
        return [model.head(one) for one in names]

    def _read(self, batch: PackedBatch, depths: tuple[int, ...] | None) -> list[Reading]:
        """Read a batch: after the last depth, or after every one where heads have exits.

        Where no head looks at more, the last depth gives first rows alone.
        """
        model = self._model
        none = np.empty(0, dtype=np.int64)
        inputs = PackedInputs.from_batch(batch, self.device, none if self._first_rows_do else None)
        last = inputs.layout if inputs.wanted is None else inputs.wanted.layout
        if not model.exit_names:
            return [model.read(model.albert.encode(inputs, depths), last, batch)]
        embeddings = model.albert.embeddings(inputs)
        states = model.albert.encoder.states(embeddings, inputs.layout, depths, inputs.wanted)
        next(states)  # before the first depth
        layouts = [inputs.layout] * (model.config.depth - 1) + [last]
        return [
            model.read(rows, layout, batch) for rows, layout in zip(states, layouts, strict=True)
        ]

    @property
    def _model(self) -> AlbertWithHeads:
        """The model, by its own class."""
        assert isinstance(self.model, AlbertWithHeads)
        return self.model


def _nothing(heads: Sequence[TaskHead], reading: Reading) -> Tensor:
    """Return a loss of zero that reaches all weights, as processes that share them need it."""
    modules = [head for head in heads if isinstance(head, nn.Module)]
    weights = [parameter.sum() for head in modules for parameter in head.parameters()]
    return 0.0 * torch.stack([reading.rows.sum(), *weights]).sum()


def _has_labels(name: str, batch: PackedBatch) -> bool:
    """Whether a batch has labels of a head."""
    return any(label == name or label.startswith(f"{name}.") for label in batch.labels)
