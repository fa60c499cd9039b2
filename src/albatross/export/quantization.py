"""Weights in 8 bits: each shared matrix rounded once, by a scale for every output.

Activations are rounded where they are used, by row (`graph.py`). They are unsigned bytes; weights
keep to 7 bits, so that a sum of two products fits in 16: that is how AVX2 adds them, and on what is
larger it saturates. So every processor gives the same whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.eight_bits import (
    HALF,
    INT8,
    LARGEST_ENTRY,
    LARGEST_WEIGHT,
    SCALE,
    is_large,
    is_table,
    rounded,
)
from albatross.export.error_feedback import compensated
from albatross.progress import Progress

_WORDS = "albert.embeddings.word_embeddings.weight"


def quantise(
    arrays: Mapping[str, NDArray[np.generic]],
    moments: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a model with its matrices and tables in 8 bits, the rest in floats.

    The map from embeddings to the first rows is left in 16. A word table that a masked-word head
    multiplies with too is one table all the same, and keeps to 7 bits.

    Args:
        arrays: by Hugging Face's names.
        moments: of what matrices are multiplied with; these are rounded with error feedback.

    Returns:
        For a matrix `NAME.weight` (out, in) `NAME.weight_int8` (in, out) and `NAME.weight_scale`
        (out,); for a table (rows, width) `NAME.weight_int8` (rows, width) and its scales (rows, 1).
    """
    found: dict[str, NDArray[np.generic]] = {}
    predicts = any(name.startswith("predictions.") for name in arrays)
    with Progress("rounding", len(arrays)) as progress:
        for name, array in arrays.items():
            found |= _stored(name, array, moments or {}, predicts)
            progress.advance()
    return found


def _stored(
    name: str,
    array: NDArray[np.generic],
    moments: Mapping[str, NDArray[np.float64]],
    predicts: bool,
) -> dict[str, NDArray[np.generic]]:
    """Return what stands in the file for one tensor.

    `predicts` says whether a masked-word head multiplies with the word table.
    """
    prefix = name.rpartition(".")[0]
    values = np.asarray(array, dtype=np.float32)
    if name == HALF and is_large(name, values.shape):
        return {name: values.astype(np.float16)}
    if not is_large(name, values.shape):
        return {name: values}
    if is_table(name):
        largest = LARGEST_WEIGHT if predicts and name == _WORDS else LARGEST_ENTRY
        whole, scales = rounded(values, largest)
        return {f"{prefix}.{INT8}": whole, f"{prefix}.{SCALE}": scales[:, None]}
    whole, scales = rounded(values, LARGEST_WEIGHT)
    if name in moments:
        whole = compensated(values, scales, moments[name], LARGEST_WEIGHT)
    return {f"{prefix}.{INT8}": np.ascontiguousarray(whole.T), f"{prefix}.{SCALE}": scales}
