"""Whether a model is as often right as it says: calibration error, Brier score, temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.metrics.intervals import checked_count

FloatArray = NDArray[np.float64]
# A probability of zero would make the temperature's likelihood infinite.
_LEAST_PROBABILITY = 1e-12
_TEMPERATURES = (0.01, 100.0)
# Halvings of the range of a temperature's logarithm: more than a float can tell apart.
_HALVINGS = 60


@dataclass(frozen=True)
class CalibrationBins:
    """Answers grouped by their confidence, all of shape (bins,); 0 where a bin is empty.

    Attributes:
        counts: answers in the bin
        confidence: their mean confidence
        accuracy: the share of them that is right
    """

    counts: NDArray[np.int64]
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and accuracy."""
        distance = np.abs(self.confidence - self.accuracy)
        return float(distance @ self.counts / max(1, self.counts.sum()))


def calibration_bins(
    confidence: FloatArray, right: NDArray[np.generic], bins: int = 15
) -> CalibrationBins:
    """Group answers into bins of equal width, as Guo et al. (2017) do.

    Args:
        confidence: (records,), the probability of each answer.
        right: (records,), 1 where it is right.
        bins: how many; each holds its upper edge.
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    places = np.searchsorted(edges, confidence, side="left")
    counts = np.bincount(places, minlength=bins)
    sums = [
        np.bincount(places, weights=values.astype(np.float64), minlength=bins)
        for values in (confidence, right)
    ]
    divisor = np.maximum(counts, 1)
    return CalibrationBins(counts.astype(np.int64), sums[0] / divisor, sums[1] / divisor)


def expected_calibration_error(
    confidence: FloatArray, right: NDArray[np.generic], bins: int = 15
) -> float:
    """Return the mean distance of confidence and accuracy over bins of equal width.

    Raises:
        DataError: there is no record.

    >>> round(expected_calibration_error(np.array([0.9, 0.9]), np.array([1, 0])), 6)
    0.4
    """
    checked_count(len(confidence))
    return calibration_bins(confidence, right, bins).error


def brier(probabilities: FloatArray, expected: NDArray[np.integer]) -> float:
    """Return the mean squared distance from certainty, summed over the classes (Brier, 1950).

    From 0, sure and right, to 2, sure and wrong.

    Args:
        probabilities: (records, labels).
        expected: (records,), the right classes.
    """
    truth = np.zeros_like(probabilities)
    truth[np.arange(checked_count(len(expected))), expected] = 1
    return float(np.square(probabilities - truth).sum(1).mean())


def fit_temperature(probabilities: FloatArray, expected: NDArray[np.integer]) -> float:
    """Return the temperature that makes the right classes most likely (Guo et al., 2017).

    The likelihood is concave in the inverse of the temperature, so halving the range where its
    slope changes sign finds it. Between 0.01 and 100: where all answers are right, colder is always
    better.

    Args:
        probabilities: (records, labels); 0 for what is no label of a record.
        expected: (records,), the right classes.
    """
    logits = _logits(probabilities)
    wanted = logits[np.arange(checked_count(len(expected))), expected]
    low, high = np.log(_TEMPERATURES)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = (tempered(probabilities, np.exp(middle)) * logits).sum(1).mean() - wanted.mean()
        # Positive: the model is surer than it should be, so the temperature must rise.
        low, high = (middle, high) if slope > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def tempered(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities (records, labels) at another temperature; above 1 they are less sure.

    Zeros stay, so that records may have fewer labels than others.

    >>> tempered(np.array([[0.8, 0.2, 0.0]]), 2.0).round(3).tolist()
    [[0.667, 0.333, 0.0]]
    """
    shares: FloatArray = (probabilities / probabilities.max(1, keepdims=True)) ** (1 / temperature)
    shares /= shares.sum(1, keepdims=True)
    return shares


def negative_log_likelihood(probabilities: FloatArray, expected: NDArray[np.integer]) -> float:
    """Return the mean negative logarithm of the right classes' probabilities, in nats."""
    rows = np.arange(checked_count(len(expected)))
    return float(-_logits(probabilities)[rows, expected].mean())


def _logits(probabilities: FloatArray) -> FloatArray:
    """Return logarithms, also of zeros."""
    return np.log(np.maximum(probabilities, _LEAST_PROBABILITY))
