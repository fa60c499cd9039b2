"""Weights in 8 bits in a model folder: their names, and what they stand for.

A matrix `NAME.weight` (out, in) is `NAME.weight_int8` (in, out) with `NAME.weight_scale` (out,); a
table (rows, width) is `NAME.weight_int8` (rows, width) with its scales (rows, 1). They are read by
ONNX Runtime alone, together with activations that are rounded as they are computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from albatross.checkpoints.huggingface import Arrays
from albatross.errors import FolderError

INT8, SCALE = "weight_int8", "weight_scale"
CONFIG_KEYS: Mapping[str, Any] = {"quantization_config": {"bits": 8, "engine": "onnxruntime"}}
"""Keys of `config.json` for which transformers refuses a folder instead of starting it anew."""


def holds_int8(names: Iterable[str]) -> bool:
    """Whether tensors of these names are, in part, in 8 bits.

    >>> holds_int8(["classifier.bias", "albert.pooler.weight_int8"])
    True
    """
    return any(name.rpartition(".")[2] == INT8 for name in names)


def check_floats(names: Iterable[str], source: object) -> None:
    """Refuse weights in 8 bits where floats are needed.

    Raises:
        FolderError: there are some.
    """
    if holds_int8(names):
        raise FolderError(
            "Weights in 8 bits are computed with by ONNX Runtime alone. Received:"
            f" {str(source)!r}, exported with --dtype int8. Use the folder that it was exported"
            " from, or `--engine onnx` to answer with this one."
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
