"""The records in a TensorFlow checkpoint's index: one for each variable or slice of one.

Here they go from bytes and to bytes, and are checked against each other and against the sizes of
the files that they point into. Where those files are is not known here. What cannot be is a plain
`ValueError`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from albatross.protobuf import encode_field, encode_fixed32, fields

# TensorFlow's numbers for the types, and how values lie in the file.
STORED_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    14: np.dtype("<u2"),  # bfloat16, which numpy lacks: widened when read
    17: np.dtype("<u2"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}
BOOL, BFLOAT16 = 10, 14
# More than any file holds, less than overflows; and the dimensions that every numpy can take.
_MOST_BYTES, _MOST_DIMENSIONS = 2**48, 32
_VERSION = 1
Extent = tuple[int, int | None]  # start, and length; None is all of the dimension
Slice = tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable, or a slice of one.

    Attributes:
        kind: TensorFlow's number for its type.
        shape: of the variable or the slice.
        shard: the number of the file with the values.
        offset: where they begin there.
        size: their bytes.
        checksum: of them.
        slices: the parts of a partitioned variable, which has no values of its own.
    """

    kind: int
    shape: tuple[int, ...]
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    slices: tuple[Slice, ...] = ()


def array_dtype(kind: int) -> np.dtype[Any] | None:
    """Return the dtype that values of a type are read in; None for what is no number."""
    return np.dtype(np.float32) if kind == BFLOAT16 else STORED_DTYPES.get(kind)


def read_header(data: bytes) -> int:
    """Return the number of files with values that an index belongs to.

    Raises:
        ValueError: it is damaged, or of a kind that we cannot read.
    """
    found = {field.number: field for field in fields(data)}
    num_shards = found[1].integer if 1 in found else 0
    if num_shards < 1:
        raise ValueError(f"its header names {num_shards} files with values")
    if 2 in found and found[2].integer:
        raise ValueError("it was written on a big-endian machine")
    version = {f.number: f.integer for f in fields(found[3].content)} if 3 in found else {}
    if version.get(2, 0) > _VERSION:
        raise ValueError(f"it asks for a reader of version {version[2]}; this one is {_VERSION}")
    return num_shards


def read_entry(data: bytes) -> Entry:
    """Return a record of the index.

    Raises:
        ValueError: it is damaged, or its shape does not fit its bytes.
    """
    shape: tuple[int, ...] = ()
    slices: list[Slice] = []
    numbers: dict[int, int] = {}
    for field in fields(data):
        if field.number == 2:
            shape = read_shape(field.content)
        elif field.number == 7:
            slices.append(_read_slice(field.content))
        elif field.number in (1, 3, 4, 5, 6):
            numbers[field.number] = field.integer
    kind, shard, offset, size, checksum = (numbers.get(number, 0) for number in (1, 3, 4, 5, 6))
    if kind < 1 or min(shard, offset, size) < 0:
        raise ValueError(f"a record has type {kind}, file {shard}, offset {offset}, size {size}")
    if not slices and kind in STORED_DTYPES and size != num_bytes(kind, shape):
        raise ValueError(f"a record has {size:,} bytes for the shape {shape}")
    return Entry(kind, shape, shard, offset, size, checksum, tuple(slices))


def read_shape(data: memoryview) -> tuple[int, ...]:
    """Return a TensorShapeProto.

    Raises:
        ValueError: it is damaged, open, or of more dimensions than an array can have.
    """
    sizes = []
    for field in fields(data):
        if field.number == 3 and field.integer:
            raise ValueError("a shape is not known")
        if field.number == 2:
            sizes.append(sum(f.integer for f in fields(field.content) if f.number == 1))
        if len(sizes) > _MOST_DIMENSIONS:
            raise ValueError(f"a shape has over {_MOST_DIMENSIONS} dimensions")
    if min(sizes, default=0) < 0 or math.prod(max(size, 1) for size in sizes) > _MOST_BYTES:
        raise ValueError(f"a shape is {tuple(sizes)}")
    return tuple(sizes)


def num_bytes(kind: int, shape: tuple[int, ...]) -> int:
    """Return the bytes that an array of numbers takes."""
    return math.prod(shape) * STORED_DTYPES[kind].itemsize


def _read_slice(data: memoryview) -> Slice:
    """Return a TensorSliceProto."""
    extents: list[Extent] = []
    for field in fields(data):
        if field.number == 1:
            numbers = {inner.number: inner.integer for inner in fields(field.content)}
            extents.append((numbers.get(1, 0), numbers.get(2)))
    return tuple(extents)


# === Checks ===


def check_places(entries: Iterable[Entry], num_shards: int, sizes: Mapping[int, int]) -> None:
    """Check that values lie inside the files, and none over others.

    Args:
        entries: records with values.
        num_shards: the files there should be.
        sizes: the bytes of those that the records name.

    Raises:
        ValueError: they do not.
    """
    last_shard, free = -1, 0
    for entry in sorted(entries, key=lambda entry: (entry.shard, entry.offset)):
        if not entry.size:
            continue
        if entry.shard not in sizes:
            raise ValueError(f"values lie in file {entry.shard} of {num_shards}, counted from 0")
        if entry.offset + entry.size > sizes[entry.shard]:
            raise ValueError(
                f"values up to byte {entry.offset + entry.size:,} lie in file {entry.shard}, which"
                f" has {sizes[entry.shard]:,} bytes"
            )
        if entry.shard == last_shard and entry.offset < free:
            raise ValueError(f"values at byte {entry.offset:,} lie over those before them")
        last_shard, free = entry.shard, entry.offset + entry.size


def check_slices(name: bytes, entries: Mapping[bytes, Entry]) -> None:
    """Check that the slices of a variable are there, fit it, and are as many values as it has.

    Whether they lie over each other shows when they are put together.

    Raises:
        ValueError: they are not.
    """
    whole = entries[name]
    num_values = 0
    for part in whole.slices:
        shape = tuple(stop - start for start, stop in bounds(part, whole.shape))
        found = entries.get(slice_key(name, part))
        if found is None or found.slices or (found.kind, found.shape) != (whole.kind, shape):
            raise ValueError(f"a slice of {_shown(name)} is missing or of another shape")
        num_values += math.prod(shape)
    if whole.slices and num_values != math.prod(whole.shape):
        raise ValueError(f"the slices of {_shown(name)} do not fill its shape {whole.shape}")


def bounds(part: Slice, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return where a slice starts and stops in each dimension.

    Raises:
        ValueError: it goes beyond the shape.
    """
    if len(part) != len(shape):
        raise ValueError(f"a slice has {len(part)} dimensions, its variable {len(shape)}")
    found = []
    for (start, length), size in zip(part, shape, strict=True):
        stop = size if length is None else start + length
        if not 0 <= start <= stop <= size or (length is None and start):
            raise ValueError(f"a slice goes from {start} to {stop} in a dimension of {size}")
        found.append((start, stop))
    return found


def _shown(name: bytes) -> str:
    """Return a name for a message."""
    return repr(name[:80].decode("utf-8", "backslashreplace"))


# === To bytes ===


def slice_key(name: bytes, part: Slice) -> bytes:
    """Return the key of a slice in the index.

    It is TensorFlow's ordered code of 0, the name, the number of dimensions, and of start and
    length in each of them, where the length -1 stands for all.
    """
    escaped = re.sub(rb"[\0\xff]", lambda match: match[0] + bytes([match[0][0] ^ 0xFF]), name)
    rank = bytes([1, len(part)]) if part else b"\0"
    numbers = [n for start, length in part for n in (start, -1 if length is None else length)]
    return b"\0" + escaped + b"\0\1" + rank + b"".join(map(_ordered, numbers))


def _ordered(number: int) -> bytes:
    """Encode a signed number; as many top bits as it has bytes tell its sign and its length."""
    size = 1
    while not -(2 ** (7 * size - 1)) <= number < 2 ** (7 * size - 1):
        size += 1
    top_bits = ((1 << size) - 1) << (7 * size)
    return (number % (1 << 8 * size) ^ top_bits).to_bytes(size, "big")


def encode_header() -> bytes:
    """Return the header of an index with one file of values."""
    return encode_field(1, 1) + encode_field(3, encode_field(1, _VERSION))


def encode_entry(entry: Entry) -> bytes:
    """Return a record of the index; zeros are left out, as protocol buffers do."""
    sizes = b"".join(encode_field(2, _encode_known({1: size})) for size in entry.shape)
    slices = b""
    for part in entry.slices:
        # A length is written even if it is 0: without one, a slice is all of the dimension.
        extents = [
            b"" if length is None else _encode_known({1: start}) + encode_field(2, length)
            for start, length in part
        ]
        slices += encode_field(7, b"".join(encode_field(1, extent) for extent in extents))
    places = _encode_known({3: entry.shard, 4: entry.offset, 5: entry.size})
    checksum = encode_fixed32(6, entry.checksum) if entry.checksum else b""
    return encode_field(1, entry.kind) + encode_field(2, sizes) + places + checksum + slices


def _encode_known(numbers: Mapping[int, int]) -> bytes:
    """Return fields for those of some numbers that are not zero."""
    return b"".join(encode_field(key, number) for key, number in numbers.items() if number)
