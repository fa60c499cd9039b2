"""What heads over sequences and tokens learn by: losses summed over labels, and what they weigh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from albatross.data.packing import IGNORED_LABEL

Labels = Mapping[str, Tensor]


@dataclass(frozen=True)
class LossOptions:
    """How a classification learns beside its labels.

    Attributes:
        class_weights: (classes,), by which the loss of each label is multiplied
    """

    class_weights: Tensor | None = None


def summed_cross_entropy(logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    """Return the cross entropy summed over labels, weighed by their classes.

    A label is a class, or a row of shares of classes (Hinton et al., 2015, section 2).
    """
    weights = options.class_weights
    return functional.cross_entropy(
        logits,
        labels.long() if labels.dim() == 1 else labels.to(logits),
        weight=None if weights is None else weights.to(logits),
        ignore_index=IGNORED_LABEL,
        reduction="sum",
    )


def _binary(logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    """Return the loss of several labels at once, a mean over the classes of each sequence."""
    weights = options.class_weights
    losses = functional.binary_cross_entropy_with_logits(
        logits,
        labels.to(logits),
        pos_weight=None if weights is None else weights.to(logits),
        reduction="none",
    )
    return losses.mean(1).sum()


def _ordinal(logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    """Return the loss of every threshold: whether the rank is above it (Frank and Hall, 2001)."""
    ranks = torch.arange(logits.shape[1], device=logits.device)
    above = (labels.long()[:, None] > ranks).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, above, reduction="none").sum()


def _squared(logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    """Return the squared error."""
    return (logits.squeeze(1) - labels.to(logits)).square().sum()


SEQUENCE_LOSSES: dict[str, Callable[[Tensor, Tensor, LossOptions], Tensor]] = {
    "cross_entropy": summed_cross_entropy,
    "binary": _binary,
    "ordinal": _ordinal,
    "squared": _squared,
}


def known_labels(labels: NDArray[np.generic]) -> float:
    """Count the labels that are not ignored."""
    return float(np.not_equal(labels, IGNORED_LABEL).sum())


def class_counts(labels: NDArray[np.generic], classes: int) -> NDArray[np.float64]:
    """Return how often each class is a label, or the sum of its shares: (classes,)."""
    if labels.ndim == 2:
        counts: NDArray[np.float64] = np.asarray(labels, dtype=np.float64).sum(0)
        return counts
    known = labels[np.not_equal(labels, IGNORED_LABEL)].astype(np.int64)
    return np.bincount(known, minlength=classes).astype(np.float64)


def weight_of(labels: NDArray[np.generic], options: LossOptions) -> float:
    """Return what the labels weigh together."""
    if options.class_weights is None:
        return known_labels(labels) if labels.ndim == 1 else float(len(labels))
    weights = options.class_weights.cpu().numpy()
    return float(class_counts(labels, len(weights)) @ weights)
