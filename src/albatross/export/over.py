"""An export over another exported model, whose vocabulary it has and leaves there.

And the embeddings, where they are the same. Of a small model these are most of the bytes: 2.1 of
2.7 M weights where layers are shared; its vocabulary is as large as its layers in 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.base_file import has_base
from albatross.checkpoints.delta import leave_vocabulary, stand_over
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


def leaves_embeddings(
    below: Path,
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    tokenizer: AnyTokenizer,
    dtype: str,
) -> bool:
    """Whether a model can leave its embeddings below; its vocabulary it can, or is refused.

    Args:
        below: the exported model.
        config: of the model that is exported.
        arrays: of the same, in floats.
        tokenizer: of the same.
        dtype: in which it is exported.

    Raises:
        FolderError: it is not exported, has a base itself, or another vocabulary; or it has the
            same embeddings in 8 bits, and the model above is in floats.
    """
    if not is_exported(below) or has_base(below):
        raise FolderError(
            "`--over` needs an exported model that stands on its own. Received:"
            f" {str(below)!r}. Run `albatross export` on it."
        )
    found = read_config(below)
    other = open_tokenizer(below, found)
    if repr(tokenizer) != repr(other):
        raise FolderError(
            "`--over` needs a model with the vocabulary of the exported one. Received:"
            f" {tokenizer!r} over {other!r}. Leave it out."
        )
    # Words are predicted by the embeddings' own table.
    predicts_words = any(name.startswith(f"{WORDS}.") for name in arrays)
    if predicts_words or any(getattr(found, key) != getattr(config, key) for key in _TAKEN):
        return False
    stored = read_own_weights(below)
    tables = (name for name in arrays if name.startswith(EMBEDDINGS))
    if not all(_is_stored(name, np.asarray(arrays[name], np.float32), stored) for name in tables):
        return False
    if dtype != "int8" and holds_int8(stored):
        raise FolderError(
            f"A model in floats needs embeddings in floats. Received: --dtype {dtype} over"
            f" {str(below)!r}, which is in 8 bits. Export with --dtype int8."
        )
    return True


def without_embeddings(
    arrays: Mapping[str, NDArray[np.generic]],
) -> dict[str, NDArray[np.generic]]:
    """Return what is left of a model."""
    return {name: array for name, array in arrays.items() if not name.startswith(EMBEDDINGS)}


def write_over(folder: Path, place: Path, below: Path, *, embeddings: bool) -> None:
    """Write `base.json` into an export being built.

    Args:
        folder: being built.
        place: where it will stand.
        below: the model below it.
        embeddings: whether it has left these there, too, with their graph.
    """
    if embeddings:
        stand_over(folder, place, below, [EMBED_FILE])
    else:
        leave_vocabulary(folder, place, below)


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
