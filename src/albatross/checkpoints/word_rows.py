"""The word table of a model in 8 bits that stands over another: the rows that its training moved.

Learning a task moves the rows of the pieces that its texts have. What weight decay takes from the
others is below what 8 bits can say, so they are left in the model below and joined in again when
the folder is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.eight_bits import INT8, LARGEST_ENTRY, SCALE, rounded
from albatross.checkpoints.huggingface import Arrays
from albatross.errors import FolderError

_PREFIX = "albert.embeddings.word_embeddings"
TABLE = f"{_PREFIX}.weight"
WHOLE, SCALES = f"{_PREFIX}.{INT8}", f"{_PREFIX}.{SCALE}"
"""A table in 8 bits (vocab, width), and its scales (vocab, 1)."""
PARTS = IDS, ROWS, ROW_SCALES = tuple(
    f"{_PREFIX}.moved_{part}" for part in ("ids", "int8", "scale")
)
"""Which pieces' rows a folder holds (n,), these rows (n, width), and their scales (n, 1)."""
# Of a row's scale: decay takes a thousandth of it.
_NEAR = 0.01


def holds_rows(names: Iterable[str]) -> bool:
    """Whether a folder with tensors of these names holds some rows of its word table alone."""
    return IDS in names


def moved_rows(table: NDArray[np.generic], below: Arrays) -> NDArray[np.int32]:
    """Return which rows of a table in floats (vocab, width) are not the lower model's, in 8 bits.

    Args:
        table: of the model above.
        below: the tensors of the other, in floats or 8 bits, with a table of the same shape.
    """
    whole, scales = rounded(np.asarray(table, np.float32), LARGEST_ENTRY)
    under, under_scales = _in_eight_bits(below)
    same = (whole == under).all(1) & (np.abs(scales / under_scales - 1) <= _NEAR)
    return np.flatnonzero(~same).astype(np.int32)


def without_rows(arrays: Mapping[str, NDArray[np.generic]], ids: NDArray[np.int32]) -> Arrays:
    """Return the tensors of a model in 8 bits, of whose word table these rows alone are left."""
    kept: Arrays = {name: a for name, a in arrays.items() if name not in (WHOLE, SCALES)}
    return kept | {IDS: ids, ROWS: arrays[WHOLE][ids], ROW_SCALES: arrays[SCALES][ids]}


def joined_table(own: Arrays, below: Arrays) -> Arrays:
    """Return a folder's whole word table in 8 bits and its scales, by their usual names.

    Args:
        own: the folder's tensors.
        below: those of the model that it stands over.

    Raises:
        FolderError: the rows are not rows of that model's table.
    """
    whole, scales = _in_eight_bits(below)
    ids, rows, row_scales = (own.get(name) for name in (IDS, ROWS, ROW_SCALES))
    if (
        ids is None
        or rows is None
        or row_scales is None
        or [str(part.dtype) for part in (ids, rows, row_scales)] != ["int32", "int8", "float32"]
        or (ids.ndim, *rows.shape, *row_scales.shape) != (1, len(ids), whole.shape[1], len(ids), 1)
        or (len(ids) and not 0 <= ids.min() <= ids.max() < len(whole))
    ):
        raise FolderError(
            "A word table that stands over another must hold rows of it by their numbers."
            f" Received: {', '.join(name for name in own if name.startswith(_PREFIX))}. Run"
            " `albatross export` again."
        )
    whole[ids], scales[ids] = rows, row_scales[:, 0]
    return {WHOLE: whole, SCALES: scales[:, None]}


def _in_eight_bits(below: Arrays) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a model's word table in 8 bits and the scale of each row, arrays of one's own.

    Of one that is stored so with fewer, its values are rounded again.
    """
    if TABLE in below:
        return rounded(np.asarray(below[TABLE]), LARGEST_ENTRY)
    values = np.asarray(below[WHOLE], np.float32) * np.asarray(below[SCALES], np.float32)
    return rounded(values, LARGEST_ENTRY)
