"""What a model is trained for: each objective turns a packed batch into sums of losses.

Losses are summed here and counted from the labels, and divided only when the counts of all
micro-batches and processes are known. So a loss weighs every predicted word alike, however a step
was cut up; a mean of means would not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from albatross.data.packing import IGNORED_LABEL, PackedBatch
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.modeling.pretrained import AlbertPreTrainedModel
from albatross.modeling.replaced_tokens import ReplacedTokenDetector


@dataclass(frozen=True)
class Draw:
    """What is drawn for one micro-batch.

    Attributes:
        seed: of anything random in it
        depths: the flat depth indices that are applied; None for all
    """

    seed: int = 0
    depths: tuple[int, ...] | None = None


class Objective(nn.Module, ABC):
    """A model with what it is trained for.

    Attributes:
        model: what is kept when training is over
        weights: of its losses, by name, in their sum
    """

    model: AlbertPreTrainedModel
    weights: Mapping[str, float]

    @abstractmethod
    def counts(self, batch: PackedBatch) -> Mapping[str, float]:
        """Return how many labels each loss has in a batch, or what they weigh."""

    @abstractmethod
    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the sum of each loss over its labels; zero, with a gradient, without any."""

    @property
    def encoder(self) -> nn.Module:
        """The part whose weights all depths share."""
        return self.model.get_submodule("albert.encoder")

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.parameters()).device


class MaskedWords(Objective):
    """Masked words, with sentence order or next sentence where samples have such labels.

    ALBERT, section 3.1; for BERT's next sentence the labels differ, the loss does not. Only masked
    positions pass the vocabulary-wide head.
    """

    def __init__(self, model: AlbertForPreTraining, *, pairs: bool = True) -> None:
        """Keep the model; without `pairs`, its pooler and sentence head take no part."""
        super().__init__()
        self.model = model
        self.weights = {"masked_lm_loss": 1.0}
        if pairs:
            self.weights["sentence_order_loss"] = 1.0
        else:
            _freeze(model.albert.pooler, model.sop_classifier)

    def counts(self, batch: PackedBatch) -> dict[str, int]:
        """Count masked words and labelled pairs."""
        return _pretraining_counts(batch, self.weights)

    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the sums of both losses."""
        model = self.model
        assert isinstance(model, AlbertForPreTraining)
        found = read_masked(model, batch, self.device, draw.depths)
        sums = {"masked_lm_loss": model.words_loss(found.rows, found.targets)}
        if "sentence_order_loss" in self.weights:
            sums["sentence_order_loss"] = _pair_loss(model, found.pooled, batch)
        return sums


class ReplacedTokens(Objective):
    """Replaced-token detection (ELECTRA, section 2): a small generator proposes, the model detects.

    The generator learns masked words beside it and is thrown away at the end; sentence order goes
    on as it does elsewhere. The weight of the detection is the paper's.
    """

    def __init__(self, detector: ReplacedTokenDetector, *, pairs: bool = True) -> None:
        """Keep the detector and the model inside it."""
        super().__init__()
        self.detector = detector
        self.model = detector.model
        self.weights = {"masked_lm_loss": 1.0, "replaced_token_loss": 50.0}
        if pairs:
            self.weights["sentence_order_loss"] = 1.0
        else:
            _freeze(detector.model.albert.pooler, detector.model.sop_classifier)
        _freeze(detector.model.predictions)

    def counts(self, batch: PackedBatch) -> dict[str, int]:
        """Count masked words, tokens and labelled pairs."""
        counts = _pretraining_counts(batch, self.weights)
        return {**counts, "replaced_token_loss": len(batch.input_ids)}

    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the sums of the generator's, the detector's and the pairs' losses."""
        inputs = PackedInputs.from_batch(batch, self.device)
        masked, targets = masked_words(batch, self.device)
        found = self.detector(inputs, masked, targets, draw.seed, draw.depths)
        detected = functional.binary_cross_entropy_with_logits(
            found.detector_logits.float(), found.replaced.float(), reduction="sum"
        )
        sums = {
            "masked_lm_loss": _summed(found.generator_logits, targets),
            "replaced_token_loss": detected,
        }
        if "sentence_order_loss" in self.weights:
            model = self.detector.model
            pooled = model.albert.pool(found.rows, inputs.layout)
            sums["sentence_order_loss"] = _pair_loss(model, pooled, batch)
        return sums


@dataclass(frozen=True)
class MaskedReading:
    """What a model makes of a batch with masks.

    Attributes:
        rows: (masked, hidden), of the masked words
        targets: (masked,), their ids
        pooled: (sequences, hidden)
    """

    rows: Tensor
    targets: Tensor
    pooled: Tensor


def read_masked(
    model: AlbertForPreTraining,
    batch: PackedBatch,
    device: torch.device,
    depths: tuple[int, ...] | None = None,
) -> MaskedReading:
    """Read a batch; the last depth computes only the masked rows and the first of each sequence."""
    labels = batch.labels["labels"]
    masked = np.flatnonzero(labels != IGNORED_LABEL)
    inputs = PackedInputs.from_batch(batch, device, masked)
    assert inputs.wanted is not None
    rows = model.albert.encode(inputs, depths)
    return MaskedReading(
        rows[inputs.wanted.asked],
        torch.from_numpy(labels[masked]).to(device),
        model.albert.pool(rows, inputs.wanted.layout),
    )


def masked_words(batch: PackedBatch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the rows that are to be predicted, (masked,), and their ids, (masked,)."""
    labels = torch.from_numpy(batch.labels["labels"])
    masked = (labels != IGNORED_LABEL).nonzero().squeeze(1)
    return masked.to(device), labels[masked].to(device)


def _pretraining_counts(batch: PackedBatch, weights: Mapping[str, float]) -> dict[str, int]:
    """Count the labels of the losses that all pre-training has."""
    labels = {"masked_lm_loss": "labels", "sentence_order_loss": "sentence_order_label"}
    return {loss: _known(batch.labels[name]) for loss, name in labels.items() if loss in weights}


def _pair_loss(model: AlbertForPreTraining, pooled: Tensor, batch: PackedBatch) -> Tensor:
    """Return the summed loss of the sentence pairs."""
    labels = torch.from_numpy(batch.labels["sentence_order_label"])
    return _summed(model.sop_classifier(pooled), labels.to(pooled.device))


def _summed(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross entropy summed over labels that are not ignored, in float32."""
    return functional.cross_entropy(
        logits.float(), targets.long(), ignore_index=IGNORED_LABEL, reduction="sum"
    )


def _known(labels: NDArray[np.generic]) -> int:
    """Count the labels that are not ignored."""
    return int(np.not_equal(labels, IGNORED_LABEL).sum())


def _freeze(*modules: nn.Module) -> None:
    """Take weights out of training that no loss reaches."""
    for module in modules:
        module.requires_grad_(False)
