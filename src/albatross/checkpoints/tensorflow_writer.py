"""Arrays to a checkpoint that TensorFlow reads (format V2, the tensor bundle), without TensorFlow.

One file of values and one index. The caller sees to it that a folder appears whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.bundle_index import (
    BFLOAT16,
    STORED_DTYPES,
    Entry,
    Slice,
    encode_entry,
    encode_header,
    slice_key,
)
from albatross.checkpoints.sorted_table import Crc32c, TableWriter
from albatross.checkpoints.tensorflow import INDEX, shard_name
from albatross.errors import FolderError

_KINDS = {dtype: kind for kind, dtype in STORED_DTYPES.items() if kind != BFLOAT16}
# What is copied at a time: a transposed array is turned piece by piece.
_PIECE = 2**24


def write_checkpoint(
    prefix: Path,
    arrays: Mapping[str, NDArray[np.generic]],
    *,
    slices: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Write `PREFIX.index` and `PREFIX.data-00000-of-00001`.

    Args:
        prefix: what the names of both files begin with; their folder is there.
        arrays: by the names of their variables.
        slices: for variables to be written as partitioned ones, the rows at which the second part
            and those after it start.

    Raises:
        FolderError: TensorFlow has no such name or type, or parts are not in order.
        MissingDependencyError: google_crc32c is not installed.
    """
    parts_of = {name: _parts(name, arrays, starts) for name, starts in (slices or {}).items()}
    kinds = {name: _kind(name, array) for name, array in arrays.items()}
    entries: dict[bytes, Entry] = {}
    with prefix.with_name(shard_name(prefix.name, 0, 1)).open("wb") as file:
        for name, array in sorted(arrays.items()):
            key, parts = name.encode(), parts_of.get(name, ())
            if parts:
                entries[key] = Entry(kinds[name], array.shape, slices=parts)
            else:
                entries[key] = _write_values(file, kinds[name], array)
            for part in parts:
                start, length = part[0]
                rows = array[start : start + (length or 0)]
                entries[slice_key(key, part)] = _write_values(file, kinds[name], rows)
    with prefix.with_name(prefix.name + INDEX).open("wb") as file:
        table = TableWriter(file)
        table.add(b"", encode_header())
        for key, entry in sorted(entries.items()):
            table.add(key, encode_entry(entry))
        table.finish()


def _kind(name: str, array: NDArray[np.generic]) -> int:
    """Return TensorFlow's number for the type of an array, after a look at its name."""
    kind = _KINDS.get(array.dtype.newbyteorder("<"))
    if kind is None or not name or name.startswith("\0"):
        raise FolderError(
            "A checkpoint's variable must have a name, and numbers of a type that TensorFlow has."
            f" Received: {name!r} of type {array.dtype}. Rename it, or convert it to float32."
        )
    return kind


def _parts(
    name: str, arrays: Mapping[str, NDArray[np.generic]], starts: Sequence[int]
) -> tuple[Slice, ...]:
    """Return the slices of a variable that is cut at some rows."""
    shape = arrays[name].shape if name in arrays else ()
    cuts = [0, *starts, shape[0] if shape else 0]
    if not shape or any(first >= second for first, second in pairwise(cuts)):
        raise FolderError(
            "The parts of a variable must start at rows of it, in order. Received:"
            f" {list(starts)} for {name!r} of shape {shape}. Choose rows of its first dimension."
        )
    rest = ((0, None),) * (len(shape) - 1)
    return tuple(((start, stop - start), *rest) for start, stop in pairwise(cuts))


def _write_values(file: BinaryIO, kind: int, array: NDArray[np.generic]) -> Entry:
    """Append an array's bytes to the file and return the record of it."""
    offset, checksum = file.tell(), Crc32c()
    for piece in _pieces(array):
        raw = np.ascontiguousarray(piece, STORED_DTYPES[kind]).reshape(-1).view(np.uint8)
        checksum.update(raw)
        file.write(raw.data)
    return Entry(kind, array.shape, 0, offset, file.tell() - offset, checksum.masked)


def _pieces(array: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """Cut an array into runs of rows that are small enough to copy."""
    rows = array.reshape(1) if array.ndim == 0 else array
    step = max(1, _PIECE * len(rows) // max(1, rows.nbytes))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
