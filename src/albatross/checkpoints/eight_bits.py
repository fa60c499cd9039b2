"""Weights in 8 bits in a model folder: their names, and what they stand for.

A matrix `NAME.weight` (out, in) is `NAME.weight_int8` (in, out) with `NAME.weight_scale` (out,); a
table (rows, width) is `NAME.weight_int8` (rows, width) with its scales (rows, 1). They are read by
ONNX Runtime alone, together with activations that are rounded as they are computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.huggingface import Arrays
from albatross.errors import FolderError

INT8, SCALE = "weight_int8", "weight_scale"
LARGEST_WEIGHT, LARGEST_ACTIVATION, LARGEST_ENTRY = 63, 127, 127
"""Whole numbers go from the negative of these to them: of a matrix that is multiplied, of what it
is multiplied with, and of a table that rows are only looked up in."""
LEAST = 1e-10
"""What the largest number of a row of zeros is taken for."""
HALF = "albert.encoder.embedding_hidden_mapping_in.weight"
"""Kept in 16 bits. All depths read what it makes of a piece, and it is a hundredth of the file: in
half precision it takes a quarter off the error of the outputs (docs/log.md)."""
# Smaller ones weigh nothing, and the last map of a head is the one where rounding shows.
_LEAST_SIZE = 2**14
# So many rows of floats stay in a processor's caches.
_ROWS_AT_ONCE = 512
CONFIG_KEYS: Mapping[str, Any] = {"quantization_config": {"bits": 8, "engine": "onnxruntime"}}
"""Keys of `config.json` for which transformers refuses a folder instead of starting it anew."""


def holds_int8(names: Iterable[str]) -> bool:
    """Whether tensors of these names are, in part, in 8 bits.

    >>> holds_int8(["classifier.bias", "albert.pooler.weight_int8"])
    True
    """
    return any(name.rpartition(".")[2] == INT8 for name in names)


def is_large(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a matrix or a table whose bytes count."""
    return name.endswith(".weight") and len(shape) == 2 and shape[0] * shape[1] >= _LEAST_SIZE


def is_multiplied(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a matrix that rows in 8 bits are multiplied with; no table, nor `HALF`.

    >>> is_multiplied("albert.pooler.weight", (128, 128))
    True
    """
    return is_large(name, shape) and name != HALF and not is_table(name)


def is_table(name: str) -> bool:
    """Whether a tensor is a table that rows are looked up in."""
    return name.startswith("albert.embeddings.")


def check_floats(names: Iterable[str], source: object) -> None:
    """Refuse weights in 8 bits where floats are needed.

    Raises:
        FolderError: there are some.
    """
    if holds_int8(names):
        raise FolderError(
            "Weights in 8 bits are computed with by ONNX Runtime alone. Received:"
            f" {str(source)!r}, exported with --dtype int8. Use the folder that it was exported"
            " from, or what `albatross export` makes of this one; `--engine onnx` answers with it."
        )


def stand_ins(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return arrays of zeros, without memory, in the names and shapes of the floats of a file.

    >>> made = stand_ins({"a.weight_int8": (2, 3), "a.weight_scale": (3,), "a.bias": (3,)})
    >>> {name: array.shape for name, array in made.items()}
    {'a.weight': (3, 2), 'a.bias': (3,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        prefix, _, last = name.rpartition(".")
        if last == INT8:
            is_table = len(shapes.get(f"{prefix}.{SCALE}", ())) == 2
            found[f"{prefix}.weight"] = shape if is_table else shape[::-1]
        elif last != SCALE:
            found[name] = shape
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in found.items()}


def in_floats(arrays: Arrays) -> Arrays:
    """Return tensors with those that are in 8 bits as the 32-bit floats that they stand for.

    >>> stored = {"a.weight_int8": np.array([[2], [-1]], np.int8), "a.weight_scale": np.ones(1)}
    >>> in_floats(stored)["a.weight"].tolist()
    [[2.0, -1.0]]
    """
    found: Arrays = {}
    for name, array in arrays.items():
        prefix, _, last = name.rpartition(".")
        if last == INT8:
            scales = np.asarray(arrays[f"{prefix}.{SCALE}"], np.float32)
            values = np.asarray(array, np.float32) * scales
            found[f"{prefix}.weight"] = values if scales.ndim == 2 else values.T
        elif last != SCALE:
            found[name] = array
    return found


def rounded(
    values: NDArray[np.floating], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return rows as whole numbers of at most `largest`, and the scale of each row.

    >>> rounded(np.array([[1.0, -0.25]], dtype=np.float32), 63)[0].tolist()
    [[63, -16]]
    """
    whole, scales = np.empty(values.shape, np.int8), np.empty(len(values), np.float32)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        part = np.asarray(values[rows], np.float32)
        scales[rows] = np.maximum(np.abs(part).max(1), np.float32(1e-12)) / np.float32(largest)
        whole[rows] = np.round(part / scales[rows, None]).clip(-largest, largest)
    return whole, scales
