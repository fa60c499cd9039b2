"""Scores of several labels for each record: arrays (records, labels) of zeros and ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albatross.metrics.classification import FloatArray, LabelScores, shares
from albatross.metrics.intervals import checked_count

Flags = NDArray[np.generic]


def flag_scores(predicted: Flags, expected: Flags) -> LabelScores:
    """Return precision, recall, F1 and support of each label, each 0 where it divides by zero."""
    hits, answered, support = _counts(predicted, expected)
    return LabelScores(
        shares(hits, answered),
        shares(hits, support),
        shares(2 * hits, answered + support),
        support.astype(np.int64),
    )


def flag_f1_by_label(predicted: Flags, expected: Flags) -> FloatArray:
    """Return F1 of each label (labels,)."""
    return flag_scores(predicted, expected).f1


def flag_macro_f1(predicted: Flags, expected: Flags) -> float:
    """Return F1 averaged over the labels."""
    return float(flag_f1_by_label(predicted, expected).mean())


def flag_micro_f1(predicted: Flags, expected: Flags) -> float:
    """Return F1 of all labels of all records together; 0 where none is given or expected."""
    hits, answered, support = (counts.sum() for counts in _counts(predicted, expected))
    return float(2 * hits / max(1, answered + support))


def subset_accuracy(predicted: Flags, expected: Flags) -> float:
    """Return the share of records whose labels are all right, with none missing and none too many.

    Raises:
        DataError: there is no record.
    """
    checked_count(len(expected))
    return float((predicted == expected).all(1).mean())


def _counts(predicted: Flags, expected: Flags) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how often each label is right, answered and expected, (labels,) each."""
    given = predicted.astype(np.float64, copy=False)
    wanted = expected.astype(np.float64, copy=False)
    hits: FloatArray = np.einsum("ij,ij->j", given, wanted)  # without an array of the products
    return hits, given.sum(0), wanted.sum(0)
