"""Weights in 8 bits: each shared matrix rounded once, by a scale for every output.

Activations are rounded where they are used, by row (`graph.py`). They are unsigned bytes; weights
keep to 7 bits, so that a sum of two products fits in 16: that is how AVX2 adds them, and on what is
larger it saturates. So every processor gives the same whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from albatross.export.graph import INT8, SCALE

FloatArray = NDArray[np.float32]
LARGEST_WEIGHT, LARGEST_ENTRY = 63, 127
"""Of a matrix that is multiplied, and of a table that rows are only looked up in."""
# Smaller ones weigh nothing, and the last map of a head is the one where rounding shows.
_LEAST_SIZE = 2**14


def quantise(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a model with its matrices and tables in 8 bits, the rest in floats.

    Args:
        arrays: by Hugging Face's names.

    Returns:
        For a matrix `NAME.weight` (out, in) `NAME.weight_int8` (in, out) and `NAME.weight_scale`
        (out,); for a table (rows, width) `NAME.weight_int8` (rows, width) and its scales (rows, 1).
    """
    found: dict[str, NDArray[np.generic]] = {}
    for name, array in arrays.items():
        prefix, _, last = name.rpartition(".")
        values = np.asarray(array, dtype=np.float32)
        if last != "weight" or values.ndim != 2 or values.size < _LEAST_SIZE:
            found[name] = values
        elif prefix.startswith("albert.embeddings."):
            whole, scales = rounded(values, LARGEST_ENTRY)
            found |= {f"{prefix}.{INT8}": whole, f"{prefix}.{SCALE}": scales[:, None]}
        else:
            whole, scales = rounded(values, LARGEST_WEIGHT)
            found |= {
                f"{prefix}.{INT8}": np.ascontiguousarray(whole.T),
                f"{prefix}.{SCALE}": scales,
            }
    return found


def rounded(values: FloatArray, largest: int) -> tuple[NDArray[np.int8], FloatArray]:
    """Return rows as whole numbers of at most `largest`, and the scale of each row.

    >>> rounded(np.array([[1.0, -0.5]], dtype=np.float32), 63)[0].tolist()
    [[63, -32]]
    """
    scales = np.maximum(np.abs(values).max(1), np.float32(1e-12)) / np.float32(largest)
    whole = np.round(values / scales[:, None]).clip(-largest, largest).astype(np.int8)
    return whole, scales.astype(np.float32)
