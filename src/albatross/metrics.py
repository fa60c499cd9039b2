"""The scores, on lists and numpy alone; independent libraries are their oracles in the tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.errors import DataError

# Two-sided 95 % of a normal distribution.
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def accuracy(predicted: Sequence[object], expected: Sequence[object]) -> float:
    """Return the share of equal pairs.

    Raises:
        DataError: there is no pair.

    >>> accuracy([1, 2, 3, 4], [1, 2, 0, 0])
    0.5
    """
    hits = sum(p == e for p, e in zip(predicted, expected, strict=True))
    return hits / _checked_count(len(expected))


def wilson_interval(share: float, count: int) -> Interval:
    """Return the 95 % interval of a share of `count` trials (Wilson, 1927), fit for few trials too.

    Raises:
        DataError: there is no trial.

    >>> interval = wilson_interval(0.5, 100)
    >>> print(f"{interval.low:.4f} to {interval.high:.4f}")
    0.4038 to 0.5962
    """
    spread = _Z95**2 / _checked_count(count)
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def confusion_matrix(
    predicted: Sequence[str], expected: Sequence[str], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Count pairs: (labels, labels), a row for each expected label, a column for each answer."""
    index = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for p, e in zip(predicted, expected, strict=True):
        counts[index[e], index[p]] += 1
    return counts


def f1_by_label(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return F1 of each label (labels,) from a confusion matrix; 0 for one that never occurs."""
    hits = np.diag(confusion).astype(np.float64)
    total = confusion.sum(0) + confusion.sum(1)
    scores: NDArray[np.float64] = np.divide(
        2 * hits, total, out=np.zeros_like(hits), where=total > 0
    )
    return scores


def _checked_count(count: int) -> int:
    """Return a number of records that a share can be taken of."""
    if count < 1:
        raise DataError(
            "A score needs at least one record. Received: none. Give a file that holds some."
        )
    return count
