"""An export over another exported model, whose vocabulary it has and leaves there.

And the embeddings, where they are the same; or, in 8 bits, those rows of the word table that
learning has not moved. Of a small model the table is most of the bytes: 2.1 of 2.7 M weights where
layers are shared; its vocabulary is as large as its layers in 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.base_file import has_base
from albatross.checkpoints.delta import leave_vocabulary, stand_over
from albatross.checkpoints.eight_bits import INT8, SCALE, holds_int8
from albatross.checkpoints.huggingface import EMBEDDINGS, Arrays
from albatross.checkpoints.model_folder import read_config, read_own_weights
from albatross.checkpoints.word_rows import TABLE, WHOLE, moved_rows, without_rows
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import EMBED_FILE, WORDS
from albatross.engine.open import is_exported, open_tokenizer
from albatross.errors import FolderError
from albatross.tokenizer.folder import AnyTokenizer

# Eight bits are off by half a step at most, and by what 32 bits round.
_HALF_STEP = 0.501
# What the embeddings' graph takes from the configuration, beside what their shapes say.
_TAKEN = ("embedding_projection", "layer_norm_eps")


# Of more rows than these it would save too little.
_MOST_MOVED = 0.9


@dataclass(frozen=True)
class Left:
    """What a model leaves in another one.

    Attributes:
        below: the exported model below
        part: beside the vocabulary, which it always leaves, all embeddings or the rows of the word
            table that are the same
        moved: the other rows (n,), which are its own
    """

    below: Path
    part: Literal["vocabulary", "rows", "embeddings"]
    moved: NDArray[np.int32] | None = None

    @property
    def weights_below(self) -> Path | None:
        """The model below, where weights of this one are."""
        return None if self.part == "vocabulary" else self.below

    def told(self) -> str:
        """Say what a model keeps that one might think it leaves; nothing where it leaves all."""
        if self.part == "embeddings":
            return ""
        if self.moved is None:
            return "keeps embeddings of its own, and leaves there the vocabulary alone"
        return f"keeps the {len(self.moved):,} rows of its word table that learning has moved"

    def kept(self, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return what a model holds of its tensors, in the precision that they are stored in."""
        if self.part == "embeddings":
            return {name: a for name, a in arrays.items() if not name.startswith(EMBEDDINGS)}
        return dict(arrays) if self.moved is None else without_rows(arrays, self.moved)

    def write(self, folder: Path, place: Path) -> None:
        """Write `base.json` into an export being built; `place` is where it will stand."""
        if self.part == "vocabulary":
            leave_vocabulary(folder, place, self.below)
        else:
            more = [EMBED_FILE] if self.part == "embeddings" else []
            stand_over(folder, place, self.below, more)


def left_in(
    below: Path,
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    tokenizer: AnyTokenizer,
    dtype: str,
) -> Left:
    """Return what a model can leave in another; its vocabulary it can, or is refused.

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
    if any(name.startswith(f"{WORDS}.") for name in arrays):
        return Left(below, "vocabulary")
    stored = read_own_weights(below)
    tables = (name for name in arrays if name.startswith(EMBEDDINGS))
    is_same = all(getattr(found, key) == getattr(config, key) for key in _TAKEN) and all(
        _is_stored(name, np.asarray(arrays[name], np.float32), stored) for name in tables
    )
    if not is_same:
        return _rows(below, arrays[TABLE], stored, dtype)
    if dtype != "int8" and holds_int8(stored):
        raise FolderError(
            f"A model in floats needs embeddings in floats. Received: --dtype {dtype} over"
            f" {str(below)!r}, which is in 8 bits. Export with --dtype int8."
        )
    return Left(below, "embeddings")


def _rows(below: Path, table: NDArray[np.generic], stored: Arrays, dtype: str) -> Left:
    """Return which rows of a word table can be left, if there are enough to be worth it."""
    known = stored.get(TABLE, stored.get(WHOLE))
    if dtype != "int8" or known is None or known.shape != table.shape:
        return Left(below, "vocabulary")
    moved = moved_rows(table, stored)
    if len(moved) > _MOST_MOVED * len(table):
        return Left(below, "vocabulary")
    return Left(below, "rows", moved)


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
