"""Safetensors files: the header checked in full, the tensors mapped instead of read.

Nothing that a file claims is believed: every number is held against the file's own size before
anything is made of it. Which tensors a model needs is not known here.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.huggingface import Arrays
from albatross.errors import FolderError

# The format's own limit; a longer header is an attack or another file.
LONGEST_HEADER = 100_000_000
# Older releases of numpy have arrays of at most so many dimensions.
_MOST_DIMENSIONS = 32
_PREFIX_BYTES = 8
# Types of the format; bfloat16, which numpy lacks, is read as its bits and widened to float32.
_BFLOAT16 = "BF16"
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", _BFLOAT16: "<u2"}
_SIGNED = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
_UNSIGNED = {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
_TYPES = {name: np.dtype(kind) for name, kind in (_FLOATS | _SIGNED | _UNSIGNED).items()}


@dataclass(frozen=True)
class TensorEntry:
    """What one tensor is and where it lies; `start` and `stop` count from the file's first byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Return every tensor of a safetensors file by name, in the order of the header.

    Raises:
        FolderError: the file is missing, or its header is not wholly true.
    """
    with _opened(path) as file:
        return _entries(_header_text(file), _size_of(file))


def read_header_text(path: Path) -> bytes:
    """Return the JSON header as it stands in the file; graphs remember its checksum.

    Raises:
        FolderError: the file is missing, or its header is not wholly true.
    """
    with _opened(path) as file:
        text = _header_text(file)
        _entries(text, _size_of(file))
        return text


def map_arrays(path: Path) -> Arrays:
    """Return the tensors as arrays over the mapped file: a page is read when it is first touched.

    The arrays may be written to: a page that is written becomes the process's own and the file
    stays as it is. bfloat16 comes as float32. A file that is replaced by another of its name, as
    this package writes, leaves the arrays alone (Windows refuses to replace a mapped file); one
    that is shortened in place while it is mapped ends the process.

    Raises:
        FolderError: the file is missing, or its header is not wholly true.
    """
    with _opened(path) as file:
        entries = _entries(_header_text(file), _size_of(file))
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        # The mapping lives as long as an array over it.
        return {name: _array(mapped, entry) for name, entry in entries.items()}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write a file, with the mark by which transformers knows it.

    Raises:
        OSError: it cannot be written; the library says so with an error of its own.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(arrays), path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, and say of every fault found in the block which file it is in."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise FolderError(
            f"A model folder must hold `{path.name}`. Received: {str(path.parent)!r} without a"
            f" readable one ({error.strerror}). Write the folder again, or copy the file into it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise FolderError(
            f"`{path.name}` must be a whole safetensors file. Received in {str(path.parent)!r}:"
            f" {path.stat().st_size:,} bytes with {error}. Copy the file again, or save the model"
            " again in float32."
        ) from error


def _size_of(file: BinaryIO) -> int:
    """Return the length of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def _header_text(file: BinaryIO) -> bytes:
    """Return the header, whose length stands before it, if the file is long enough for it."""
    prefix = file.read(_PREFIX_BYTES)
    length = int.from_bytes(prefix, "little")
    most = min(LONGEST_HEADER, _size_of(file) - _PREFIX_BYTES)
    if len(prefix) < _PREFIX_BYTES or not 0 < length <= most:
        raise ValueError(f"a header that would be {length:,} bytes long")
    return file.read(length)


def _entries(text: bytes, size: int) -> dict[str, TensorEntry]:
    """Return the tensors of a header; together they must fill the rest of the file, once."""
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_doubles)
    except RecursionError as error:
        raise ValueError("a header of endless depth") from error
    except ValueError as error:
        raise ValueError(f"a header that is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise ValueError("a header that is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("metadata other than texts by name")
    begin = _PREFIX_BYTES + len(text)
    entries = {name: _entry(name, values, begin) for name, values in header.items()}
    _check_places(entries, begin, size)
    return entries


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; readers differ in which of two equal keys they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _entry(name: str, values: Any, begin: int) -> TensorEntry:
    """Return one tensor's entry, whose numbers fit each other."""
    if not isinstance(values, dict) or values.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} without dtype, shape and data_offsets alone")
    dtype, shape, offsets = values["dtype"], values["shape"], values["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise ValueError(f"{name!r} of dtype {dtype!r}, which is not among {', '.join(_TYPES)}")
    if not _are_sizes(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{name!r} of a shape that is no short list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} without the two offsets of its bytes")
    length = math.prod(shape) * _TYPES[dtype].itemsize
    if offsets[1] - offsets[0] != length:
        raise ValueError(f"{name!r}, whose shape and number of bytes differ")
    # An empty tensor may claim any other size; numpy counts in 64 bits and refuses larger ones.
    if math.prod(size or 1 for size in shape) * _TYPES[dtype].itemsize >= 2**63:
        raise ValueError(f"{name!r} of a shape beyond all memory")
    return TensorEntry(dtype, tuple(shape), begin + offsets[0], begin + offsets[1])


def _are_sizes(values: Any) -> bool:
    """Whether a JSON value is a list of whole numbers that are not negative."""
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _check_places(entries: Mapping[str, TensorEntry], begin: int, size: int) -> None:
    """Refuse tensors that lie over each other, leave bytes to nobody, or end beyond the file."""
    places = sorted((entry.start, entry.stop, name) for name, entry in entries.items())
    for before, after in pairwise([(begin, begin, ""), *places, (size, size, "")]):
        if after[0] < before[1]:
            name = before[2]
            reason = "beyond the file's end" if not after[2] else f"over {after[2]!r}"
            raise ValueError(f"{name!r}, whose bytes lie {reason}")
        if after[0] > before[1]:
            raise ValueError(f"{after[0] - before[1]:,} bytes that belong to no tensor")


def _array(mapped: mmap.mmap, entry: TensorEntry) -> NDArray[np.generic]:
    """Return one tensor over the mapping."""
    kind = _TYPES[entry.dtype]
    count = (entry.stop - entry.start) // kind.itemsize
    if not count:
        return np.empty(entry.shape, np.float32 if entry.dtype == _BFLOAT16 else kind)
    array: NDArray[Any] = np.frombuffer(mapped, kind, count, entry.start)
    if entry.dtype == _BFLOAT16:
        bits = array.astype("<u4")
        bits <<= 16
        array = bits.view("<f4")
    # Headers of other writers may leave the data unaligned, which torch does not expect.
    return (array if array.flags.aligned else array.copy()).reshape(entry.shape)
