"""An export over another exported model, whose embeddings it has and leaves there.

Of a small model they are most of the bytes: 2.1 of 2.7 M weights where layers are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.base_file import is_delta
from albatross.checkpoints.delta import stand_over
from albatross.checkpoints.eight_bits import INT8, SCALE, holds_int8
from albatross.checkpoints.huggingface import EMBEDDINGS, Arrays
from albatross.checkpoints.model_folder import read_config, read_own_weights
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import EMBED_FILE, WORDS
from albatross.engine.open import is_exported, open_tokenizer
from albatross.errors import FolderError
from albatross.tokenizer.folder import AnyTokenizer

# Eight bits are off by half a step at most, and by what 32 bits round.
_HALF_STEP = 0.501
# What the embeddings' graph takes from the configuration, beside what their shapes say.
_TAKEN = ("embedding_projection", "layer_norm_eps")
_RULE = "`--over` needs the model whose vocabulary and embeddings the exported one has, unchanged."
_REMEDY = "Fine-tune from it with --adapt layers, or leave it out."


def check_below(
    below: Path,
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    tokenizer: AnyTokenizer,
    dtype: str,
) -> None:
    """Refuse to stand over a model that answers for other pieces, or with other embeddings.

    Args:
        below: the exported model.
        config: of the model that is exported.
        arrays: of the same, in floats.
        tokenizer: of the same.
        dtype: in which it is exported.

    Raises:
        FolderError: it is not exported, has a base itself, is in 8 bits below floats, or has
            another vocabulary or other embeddings; or the model above predicts words, for which it
            needs them itself.
    """
    if not is_exported(below) or is_delta(below):
        raise FolderError(
            "`--over` needs an exported model that stands on its own. Received:"
            f" {str(below)!r}. Run `albatross export` on it."
        )
    if any(name.startswith(f"{WORDS}.") for name in arrays):
        raise FolderError(
            "A model that predicts words needs the embeddings itself. Received: --over"
            f" {str(below)!r} for one. Leave it out."
        )
    found = read_config(below)
    for key in _TAKEN:
        if getattr(found, key) != getattr(config, key):
            raise FolderError(f"{_RULE} Received: {str(below)!r} with another `{key}`. {_REMEDY}")
    other = open_tokenizer(below, found)
    if repr(tokenizer) != repr(other):
        raise FolderError(f"{_RULE} Received: {tokenizer!r} over {other!r}. {_REMEDY}")
    stored = read_own_weights(below)
    if dtype != "int8" and holds_int8(stored):
        raise FolderError(
            f"A model in floats needs embeddings in floats. Received: --dtype {dtype} over"
            f" {str(below)!r}, which is in 8 bits. Export with --dtype int8."
        )
    for name in (name for name in arrays if name.startswith(EMBEDDINGS)):
        if not _is_stored(name, np.asarray(arrays[name], np.float32), stored):
            raise FolderError(f"{_RULE} Received: {str(below)!r} with another {name!r}. {_REMEDY}")


def without_embeddings(
    arrays: Mapping[str, NDArray[np.generic]],
) -> dict[str, NDArray[np.generic]]:
    """Return what is left of a model."""
    return {name: array for name, array in arrays.items() if not name.startswith(EMBEDDINGS)}


def write_over(folder: Path, place: Path, below: Path) -> None:
    """Write `base.json` into an export being built, which knows the base's graph, too."""
    stand_over(folder, place, below, [EMBED_FILE])


def _is_stored(name: str, values: NDArray[np.float32], stored: Arrays) -> bool:
    """Whether a file has a tensor, as near as the file's precision is."""
    if name in stored:
        found = stored[name]
        return found.shape == values.shape and np.array_equal(values.astype(found.dtype), found)
    prefix = name.rpartition(".")[0]
    whole, scales = (stored.get(f"{prefix}.{last}") for last in (INT8, SCALE))
    if whole is None or scales is None or whole.shape != values.shape:
        return False
    near = np.asarray(scales, np.float32)
    off = np.abs(np.asarray(whole, np.float32) * near - values)
    return bool((off <= _HALF_STEP * near).all())
