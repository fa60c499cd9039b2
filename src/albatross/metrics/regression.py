"""Scores of numbers: correlations and errors of predicted and expected values, (records,) each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albatross.metrics.intervals import checked_count

FloatArray = NDArray[np.float64]


def pearson(predicted: FloatArray, expected: FloatArray) -> float:
    """Return Pearson's correlation; 0 where one side is constant and it is not defined.

    So a model that says the same of everything scores like one that guesses, never NaN.

    >>> round(pearson(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0])), 6)
    1.0
    """
    checked_count(len(expected))
    if (predicted == predicted[0]).all() or (expected == expected[0]).all():
        return 0.0
    x, y = _unit(predicted), _unit(expected)
    return float(np.clip(x @ y, -1.0, 1.0))


def spearman(predicted: FloatArray, expected: FloatArray) -> float:
    """Return Pearson's correlation of the ranks; equal values share the mean of their ranks."""
    return pearson(ranks(predicted), ranks(expected))


def ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each value from 1; equal values share the mean of their ranks.

    >>> ranks(np.array([0.2, 0.1, 0.2])).tolist()
    [2.5, 1.0, 2.5]
    """
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(starts, len(values)))
    found = np.empty(len(values))
    found[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return found


def mean_absolute_error(predicted: FloatArray, expected: FloatArray) -> float:
    """Return the mean distance between the values."""
    checked_count(len(expected))
    return float(np.abs(predicted - expected).mean())


def root_mean_squared_error(predicted: FloatArray, expected: FloatArray) -> float:
    """Return the root of the mean squared distance between the values."""
    checked_count(len(expected))
    return float(np.sqrt(np.square(predicted - expected).mean()))


def _unit(values: FloatArray) -> FloatArray:
    """Return the values about their mean, at length 1; scaled first, so that no square is lost."""
    centred: FloatArray = values - values.mean()
    largest = np.abs(centred).max()
    centred = centred / largest if largest > 0 else centred
    length = float(np.sqrt(centred @ centred))
    return centred / length if length > 0 else centred
