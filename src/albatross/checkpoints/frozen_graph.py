"""The constants of a frozen TensorFlow graph (`.pb`), read without TensorFlow.

Freezing turns variables into `Const` nodes of the same names. What the other nodes compute is not
looked at.
"""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.bundle_index import (
    BFLOAT16,
    BOOL,
    STORED_DTYPES,
    num_bytes,
    read_shape,
)
from albatross.errors import FolderError
from albatross.protobuf import BYTES, FIXED32, FIXED64, Field, fields, read_varints

_HALF = 19
# Fields of a TensorProto with a list of values, and the types that use each.
_FLOATS, _DOUBLES = 5, 6
_FIXED_LISTS = {_FLOATS: {1}, _DOUBLES: {2}}
_INTEGERS = {7: {3, 4, 5, 6, 17}, 10: {9}, 11: {10}, 13: {_HALF, BFLOAT16}, 16: {22}, 17: {23}}
_LISTED = _FIXED_LISTS | _INTEGERS
# Equal values at the end of a constant are stored once; a small file must not fill the memory so.
_MOST_REPEATED_BYTES = 2**26


def read_frozen_graph(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the constants of a GraphDef file that hold numbers, by the names of their nodes.

    Large ones are views of the mapped file; what is written to them stays in memory. bfloat16 is
    widened to float32.

    Raises:
        FolderError: the file is missing, damaged, or no frozen graph.
    """
    found: dict[str, NDArray[np.generic]] = {}
    num_repeated = 0
    try:
        data = np.memmap(path, np.uint8, mode="c").data if path.stat().st_size else memoryview(b"")
        for field in fields(data):
            node = _read_node(field.content) if field.number == 1 else None
            if node is None:
                continue
            name, tensor = node
            constant = _Constant(tensor)
            if constant.kind not in STORED_DTYPES:
                continue
            num_repeated += constant.num_repeated_bytes
            if num_repeated > _MOST_REPEATED_BYTES:
                raise ValueError(f"{name!r} repeats its values to over 64 MiB")
            if name in found:
                raise ValueError(f"two constants are named {name!r}")
            found[name] = constant.array()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FolderError(
            f"A frozen graph must be a whole GraphDef. Received: {str(path)!r}: {reason}. Give the"
            " `.pb` file that freezing wrote, or copy it again; a folder with `variables/` is a"
            " checkpoint."
        ) from error
    if not found:
        raise FolderError(
            f"A frozen graph must hold constants with numbers. Received: {str(path)!r} without any."
            " Freeze the graph together with its variables, or give its checkpoint."
        )
    return found


def _read_node(data: memoryview) -> tuple[str, memoryview] | None:
    """Return a node's name and its value; None if it is no constant."""
    name, operation, attributes = b"", b"", []
    for field in fields(data):
        if field.number == 1:
            name = bytes(field.content)
        elif field.number == 2:
            operation = bytes(field.content)
        elif field.number == 5:
            attributes.append(field.content)
    if operation != b"Const":
        return None
    for attribute in attributes:
        parts = {field.number: field.content for field in fields(attribute)}
        if 2 in parts and bytes(parts.get(1, b"")) == b"value":
            for field in fields(parts[2]):
                if field.number == 8:
                    return name.decode(), field.content
    raise ValueError(f"the constant {name[:80].decode('utf-8', 'backslashreplace')!r} has no value")


class _Constant:
    """A TensorProto: all the bytes of its values, or a list of them whose last one may repeat."""

    def __init__(self, data: memoryview) -> None:
        """Find the parts of the message and check that they fit each other."""
        self.kind = 0
        self.shape: tuple[int, ...] = ()
        self._content = memoryview(b"")
        self._listed: Field | None = None
        for field in fields(data):
            if field.number == 1:
                self.kind = field.integer
            elif field.number == 2:
                self.shape = read_shape(field.content)
            elif field.number == 4:
                self._content = field.content
            elif field.number in _LISTED:
                if self._listed is not None:
                    raise ValueError("a constant has two lists of values")
                self._listed = field
        if self._content and self.kind in STORED_DTYPES:
            size = num_bytes(self.kind, self.shape)
            if len(self._content) != size or self._listed is not None:
                raise ValueError(f"a constant has {len(self._content):,} bytes for {self.shape}")

    @property
    def num_repeated_bytes(self) -> int:
        """The memory that its values take beside the file."""
        return 0 if self._content else num_bytes(self.kind, self.shape)

    def array(self) -> NDArray[np.generic]:
        """Return the values."""
        dtype = STORED_DTYPES[self.kind]
        if self._content:
            stored: NDArray[Any] = np.ndarray(self.shape, dtype, self._content)
        else:
            values = self._values(math.prod(self.shape))
            missing = math.prod(self.shape) - len(values)
            stored = np.pad(values, (0, missing), "edge").reshape(self.shape)
        if self.kind == BOOL:
            return np.asarray(stored.view(np.uint8) != 0)
        if self.kind == BFLOAT16:
            return np.asarray(stored.astype(np.uint32) << 16).view(np.float32)
        return np.require(stored, requirements="A")

    def _values(self, most: int) -> NDArray[Any]:
        """Return the listed values: at most so many, and at least one if there can be any."""
        field, dtype = self._listed, STORED_DTYPES[self.kind]
        if field is None:  # zeros are not written
            return np.zeros(min(1, most), dtype)
        if self.kind not in _LISTED[field.number]:
            raise ValueError(f"a constant of type {self.kind} lists values of another")
        if field.number in _FIXED_LISTS:
            packed = field.wire_type == BYTES
            raw = field.content if packed else _fixed_bytes(field)
            found: NDArray[Any] = np.frombuffer(raw, dtype)
        else:
            packed = field.wire_type == BYTES
            numbers = read_varints(field.content) if packed else iter([field.integer])
            found = np.fromiter(islice(numbers, most + 1), np.int64)
            if self.kind in (_HALF, BFLOAT16):
                found = found.astype(np.uint16).view(dtype)
            found = found.astype(dtype)
        if len(found) > most or (most and not len(found)):
            raise ValueError(f"a constant has {len(found):,} values or more for {self.shape}")
        return found


def _fixed_bytes(field: Field) -> bytes:
    """Return a number of fixed size as it was written."""
    size = {FIXED32: 4, FIXED64: 8}.get(field.wire_type, 0)
    return (field.integer % 2**64).to_bytes(8, "little")[:size]
