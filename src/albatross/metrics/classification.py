"""Scores of one class for each record, most of them taken from a confusion matrix.

A confusion matrix (labels, labels) has a row for each expected label and a column for each answer.
Every figure whose formula divides by zero is 0, as scikit-learn has it with `zero_division=0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.metrics.intervals import checked_count

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LabelScores:
    """Scores of each label, all of shape (labels,).

    Attributes:
        precision: share of the answers with this label that are right
        recall: share of the records with this label that are found
        f1: their harmonic mean
        support: records with this label
    """

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray


def accuracy(predicted: Sequence[object], expected: Sequence[object]) -> float:
    """Return the share of equal pairs.

    Raises:
        DataError: there is no pair.

    >>> accuracy([1, 2, 3, 4], [1, 2, 0, 0])
    0.5
    """
    hits = sum(p == e for p, e in zip(predicted, expected, strict=True))
    return hits / checked_count(len(expected))


def confusion_matrix(
    predicted: Sequence[str], expected: Sequence[str], labels: Sequence[str]
) -> IntArray:
    """Count pairs of labels by name: (labels, labels)."""
    index = {label: i for i, label in enumerate(labels)}
    pairs = zip(predicted, expected, strict=True)
    classes = np.array([(index[p], index[e]) for p, e in pairs], dtype=np.int64).reshape(-1, 2)
    return confusion_of_classes(classes[:, 0], classes[:, 1], len(labels))


def confusion_of_classes(
    predicted: NDArray[np.generic], expected: NDArray[np.generic], num_labels: int
) -> IntArray:
    """Count pairs of classes by number, (records,) each: (labels, labels)."""
    pairs = expected.astype(np.int64) * num_labels + predicted.astype(np.int64)
    counts = np.bincount(pairs, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels).astype(np.int64)


def accuracy_of(confusion: IntArray) -> float:
    """Return the share of records on the diagonal; 0 without records."""
    return float(np.trace(confusion) / max(1, confusion.sum()))


def label_scores(confusion: IntArray) -> LabelScores:
    """Return precision, recall, F1 and support of each label."""
    hits = np.diag(confusion).astype(np.float64)
    answered, support = confusion.sum(0), confusion.sum(1)
    return LabelScores(
        shares(hits, answered),
        shares(hits, support),
        shares(2 * hits, answered + support),
        support,
    )


def f1_by_label(confusion: IntArray) -> FloatArray:
    """Return F1 of each label (labels,); 0 for one that never occurs."""
    return label_scores(confusion).f1


def macro_f1(confusion: IntArray) -> float:
    """Return F1 averaged over all labels, those that never occur included."""
    return float(f1_by_label(confusion).mean())


def micro_f1(confusion: IntArray) -> float:
    """Return F1 of all decisions together, which for one class a record is the accuracy."""
    return accuracy_of(confusion)


def weighted_f1(confusion: IntArray) -> float:
    """Return F1 averaged over the labels, each as often as it is expected."""
    scores = label_scores(confusion)
    return float(scores.f1 @ scores.support / max(1, scores.support.sum()))


def binary_f1(confusion: IntArray, positive: int = 1) -> float:
    """Return F1 of one label, the second one unless told otherwise, as GLUE has it."""
    return float(f1_by_label(confusion)[positive])


def matthews(confusion: IntArray) -> float:
    """Return Matthews' correlation, for many classes too (Gorodkin, 2004, equation 8).

    0 where all answers, or all expected labels, are the same.

    >>> matthews(np.array([[3, 1], [1, 3]]))
    0.5
    """
    counts = confusion.astype(np.float64)
    total, hits = counts.sum(), np.trace(counts)
    answered, support = counts.sum(0), counts.sum(1)
    covariance = hits * total - answered @ support
    spread = (total**2 - answered @ answered) * (total**2 - support @ support)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def quadratic_kappa(confusion: IntArray) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen, 1968), for classes that have an order.

    1 where every answer is right, also when only one class occurs.
    """
    counts = confusion.astype(np.float64)
    classes = np.arange(len(counts))
    weights = np.square(classes[:, None] - classes).astype(np.float64)
    observed = float((weights * counts).sum())
    by_chance = float(counts.sum(1) @ weights @ counts.sum(0)) / max(1.0, float(counts.sum()))
    return 1.0 - observed / by_chance if by_chance > 0 else 1.0


def mean_class_distance(confusion: IntArray) -> float:
    """Return the mean absolute error of classes that have an order, in classes."""
    classes = np.arange(len(confusion))
    distances = np.abs(classes[:, None] - classes)
    return float((distances * confusion).sum() / max(1, confusion.sum()))


def shares(parts: FloatArray, wholes: NDArray[np.generic]) -> FloatArray:
    """Divide; 0 where the whole is."""
    whole = wholes.astype(np.float64, copy=False)
    found: FloatArray = np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0)
    return found
