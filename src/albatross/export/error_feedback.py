"""Rounding in which the columns that come later make good what the earlier ones have lost.

GPTQ (Frantar et al., 2022), algorithm 1: what a weight loses by rounding is put on those that are
not rounded yet, so that the outputs, by the second moments of the inputs, change least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
# Of the mean of the moments' diagonal, added to it so that it has an inverse; as in the paper.
_DAMPING = 0.01
# Columns whose error reaches the columns behind them in one product.
_BLOCK = 128


def compensated(
    values: FloatArray, scales: FloatArray, moments: NDArray[np.float64], largest: int
) -> NDArray[np.int8]:
    """Return a matrix as whole numbers that keep its outputs, not each weight, as they were.

    Args:
        values: (out, in)
        scales: (out,), of one step
        moments: (in, in), of the inputs
        largest: the whole numbers go from its negative to it.

    >>> weights = np.array([[63, 0.4, 0.4, 0.4]], dtype=np.float32)
    >>> compensated(weights, np.ones(1, dtype=np.float32), np.ones((4, 4)), 63).sum()
    np.int64(64)
    """
    order = np.argsort(-np.diag(moments), kind="stable")  # what weighs most is rounded first
    feedback = _feedback(moments[np.ix_(order, order)])
    left = (values / scales[:, None]).astype(np.float64)[:, order]
    whole = np.zeros_like(left)
    for start in range(0, left.shape[1], _BLOCK):
        block = slice(start, min(start + _BLOCK, left.shape[1]))
        errors = np.zeros_like(left[:, block])
        for at in range(block.start, block.stop):
            whole[:, at] = np.rint(left[:, at]).clip(-largest, largest)
            error = (left[:, at] - whole[:, at]) / feedback[at, at]
            left[:, at : block.stop] -= np.outer(error, feedback[at, at : block.stop])
            errors[:, at - start] = error
        left[:, block.stop :] -= errors @ feedback[block, block.stop :]
    return whole[:, np.argsort(order)].astype(np.int8)


def _feedback(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper Cholesky factor of the moments' inverse, (in, in)."""
    damping = _DAMPING * float(np.mean(np.diag(moments))) or 1.0
    damped = moments + damping * np.eye(len(moments))
    inverse = np.linalg.inv(damped)
    return np.ascontiguousarray(np.linalg.cholesky((inverse + inverse.T) / 2).T)
