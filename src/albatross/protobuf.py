"""Protocol buffers without their library: the wire format, read with care and written plainly.

A message is a run of fields; this file knows numbers and wire types, never what they mean. Damaged
bytes raise a plain `ValueError`, which callers turn into an error about their file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MOST_VARINT_BYTES = 10
_LAST_FIELD = 2**29 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        number: which field it is.
        wire_type: how it was written: VARINT, FIXED64, BYTES or FIXED32.
        value: an unsigned number, or a view of the bytes.
    """

    number: int
    wire_type: int
    value: int | memoryview

    @property
    def content(self) -> memoryview:
        """The bytes of a string, a message or a packed list; a number is a `ValueError`."""
        if isinstance(self.value, int):
            raise ValueError(f"field {self.number} holds a number where bytes belong")
        return self.value

    @property
    def integer(self) -> int:
        """The number as an int64; bytes are a `ValueError`."""
        if not isinstance(self.value, int):
            raise ValueError(f"field {self.number} holds bytes where a number belongs")
        return self.value - 2**64 if self.value >= 2**63 else self.value

    @property
    def float32(self) -> float:
        """The number as a float32; anything but four bytes is a `ValueError`."""
        if self.wire_type != FIXED32 or not isinstance(self.value, int):
            raise ValueError(f"field {self.number} holds no float32 where one belongs")
        return float(struct.unpack("<f", struct.pack("<I", self.value))[0])


def fields(data: bytes | memoryview) -> Iterator[Field]:
    """Walk through the fields of a message; bytes are views of `data`, nothing is copied.

    Raises:
        ValueError: a field goes beyond the end, or is of no kind that is in use.

    Example:
        >>> [(field.number, field.integer) for field in fields(bytes([8, 150, 1]))]
        [(1, 150)]
    """
    view = memoryview(data)
    position = 0
    while position < len(view):
        tag, position = read_varint(view, position)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= _LAST_FIELD:
            raise ValueError(f"a field has the number {number}, which none can have")
        if wire_type == VARINT:
            value, position = read_varint(view, position)
            yield Field(number, wire_type, value)
            continue
        if wire_type == BYTES:
            size, position = read_varint(view, position)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"field {number} is of wire type {wire_type}, which is not in use")
        if size > len(view) - position:
            raise ValueError(f"field {number} of {size:,} bytes goes beyond the end")
        content = view[position : position + size]
        position += size
        fixed = wire_type in _FIXED_SIZES
        yield Field(number, wire_type, int.from_bytes(content, "little") if fixed else content)


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read a number of one to ten bytes; return it and the position behind it.

    Raises:
        ValueError: the data ends within it, or it is longer than 64 bits.
    """
    number = 0
    for index in range(_MOST_VARINT_BYTES):
        if position + index >= len(data):
            raise ValueError("the data ends within a number")
        byte = data[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if number >= 2**64:
                break
            return number, position + index + 1
    raise ValueError("a number is longer than 64 bits")


def read_varints(data: memoryview) -> Iterator[int]:
    """Read a packed list of numbers, as int64.

    Raises:
        ValueError: the data ends within one, or one is longer than 64 bits.
    """
    position = 0
    while position < len(data):
        number, position = read_varint(data, position)
        yield number - 2**64 if number >= 2**63 else number


def encode_varint(number: int) -> bytes:
    """Return a number in seven bits a byte, the lowest first; below zero as 64 bits.

    Example:
        >>> encode_varint(300).hex()
        'ac02'
    """
    assert -(2**63) <= number < 2**64, number
    rest = number % 2**64
    found = bytearray()
    while rest >= 0x80:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*found, rest])


def encode_field(number: int, value: int | float | bytes) -> bytes:
    """Return a field: integers as varints, floats as float32, bytes with their length."""
    if isinstance(value, bytes):
        return encode_varint(number << 3 | BYTES) + encode_varint(len(value)) + value
    if isinstance(value, int):
        return encode_varint(number << 3 | VARINT) + encode_varint(value)
    return encode_varint(number << 3 | FIXED32) + struct.pack("<f", value)


def encode_fixed32(number: int, value: int) -> bytes:
    """Return a field of four bytes, such as a checksum."""
    return encode_varint(number << 3 | FIXED32) + struct.pack("<I", value)
