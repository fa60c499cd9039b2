"""leveldb's sorted table, the file format under a TensorFlow checkpoint's `.index`.

A table is keys in order, each with a value, in blocks of a few kilobytes. A block is followed by
its compression and a checksum; an index block at the end says where the others lie, and a footer
where that is. What keys and values mean is not known here. Damage is a plain `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from albatross.errors import MissingDependencyError
from albatross.protobuf import encode_varint, read_varint

MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = 5  # compression, checksum
_PLAIN, _SNAPPY = 0, 1
_BLOCK_SIZE, _KEYS_PER_RESTART = 4096, 16  # leveldb's own choice
# A key may share all but a byte with the one before it, so a small file could hold huge keys.
_MOST_KEY_BYTES, _MOST_KEYS = 2**26, 2**20


def crc32c_masked(data: bytes | memoryview | NDArray[np.uint8]) -> int:
    """Return the CRC-32C of some bytes, turned and shifted as leveldb stores it.

    Raises:
        MissingDependencyError: google_crc32c is not installed.
    """
    checksum = Crc32c()
    checksum.update(data)
    return checksum.masked


class Crc32c:
    """The CRC-32C of bytes that come bit by bit."""

    def __init__(self) -> None:
        """Start with no bytes.

        Raises:
            MissingDependencyError: google_crc32c is not installed.
        """
        try:
            from google_crc32c import extend
        except ImportError as error:
            raise MissingDependencyError("google_crc32c", "hub") from error
        self._extend: Callable[[int, NDArray[np.uint8]], int] = extend
        self._crc = 0

    def update(self, data: bytes | memoryview | NDArray[np.uint8]) -> None:
        """Add some bytes; nothing is copied."""
        if len(data):
            self._crc = self._extend(self._crc, np.frombuffer(data, np.uint8))

    @property
    def masked(self) -> int:
        """The checksum so far, as leveldb stores it."""
        return ((self._crc >> 15 | self._crc << 17) + 0xA282EAD8) % 2**32


# === Reading ===


def read_table(data: memoryview) -> dict[bytes, bytes]:
    """Return every key of a table with its value.

    Raises:
        ValueError: the table is damaged, compressed, or of another format.
    """
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise ValueError("it does not end in the mark of a table")
    footer = data[-_FOOTER:]
    _, position = _read_handle(footer, 0)  # of the block about blocks, which says nothing
    (start, size), _ = _read_handle(footer, position)
    body = data[:-_FOOTER]
    found: dict[bytes, bytes] = {}
    last, num_key_bytes, free = b"", 0, 0
    for _, handle in _entries(_block(body, start, size)):
        (start, size), _ = _read_handle(memoryview(handle), 0)
        if start < free:
            raise ValueError(f"the block at {start:,} lies over the one before it")
        free = start + size + _TRAILER
        for key, value in _entries(_block(body, start, size)):
            num_key_bytes += len(key)
            if found and key <= last:
                raise ValueError(f"the key {_shown(key)} is not behind {_shown(last)}")
            if num_key_bytes > _MOST_KEY_BYTES or len(found) >= _MOST_KEYS:
                raise ValueError(f"it holds over {_MOST_KEYS:,} keys, or over 64 MiB of them")
            found[key], last = value, key
    return found


def _block(data: memoryview, start: int, size: int) -> memoryview:
    """Return a block without its trailer, after a look at both."""
    if start + size + _TRAILER > len(data):
        raise ValueError(f"a block of {size:,} bytes at {start:,} goes beyond the end")
    block = data[start : start + size + _TRAILER]
    if int.from_bytes(block[-4:], "little") != crc32c_masked(block[:-4]):
        raise ValueError(f"the block at {start:,} does not fit its checksum")
    if block[size] != _PLAIN:
        kind = "with snappy" if block[size] == _SNAPPY else f"in the unknown way {block[size]}"
        raise ValueError(
            f"the block at {start:,} is compressed {kind}, which TensorFlow never does"
        )
    return block[:size]


def _entries(block: memoryview) -> Iterator[tuple[bytes, bytes]]:
    """Walk through the keys of a block, each spelt out, and their values."""
    num_restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (num_restarts + 1)
    if end < 0:
        raise ValueError("a block is smaller than its list of restarts")
    entries, position, key = block[:end], 0, b""
    while position < end:
        shared, position = read_varint(entries, position)
        own, position = read_varint(entries, position)
        size, position = read_varint(entries, position)
        if shared > len(key) or own + size > end - position:
            raise ValueError("an entry of a block goes beyond its bounds")
        key = key[:shared] + entries[position : position + own]
        position += own
        yield key, bytes(entries[position : position + size])
        position += size


def _read_handle(data: memoryview, position: int) -> tuple[tuple[int, int], int]:
    """Read where a block starts and its size; return them and the position behind them."""
    start, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (start, size), position


def _shown(key: bytes) -> str:
    """Return a key for a message."""
    return repr(key[:40].decode("utf-8", "backslashreplace"))


# === Writing ===


class TableWriter:
    """Writes a table into an open file, a block at a time; keys come in order."""

    def __init__(self, file: BinaryIO) -> None:
        """Start at the beginning of the file."""
        self._file = file
        self._position = 0
        self._index = _BlockBuilder(keys_per_restart=1)
        self._block = _BlockBuilder(_KEYS_PER_RESTART)

    def add(self, key: bytes, value: bytes) -> None:
        """Add a key that is greater than all before it."""
        self._block.add(key, value)
        if len(self._block.data) >= _BLOCK_SIZE:
            self._end_block()

    def finish(self) -> None:
        """Write what is left, the index and the footer."""
        if self._block.data:
            self._end_block()
        # No file of ours has filters or the like, which this block would name.
        about = self._write(_BlockBuilder(keys_per_restart=1))
        handles = about + self._write(self._index)
        self._file.write(handles.ljust(_FOOTER - 8, b"\0") + MAGIC.to_bytes(8, "little"))

    def _end_block(self) -> None:
        """Write the block and note it in the index under its last key."""
        key = self._block.last
        self._index.add(key, self._write(self._block))
        self._block = _BlockBuilder(_KEYS_PER_RESTART)

    def _write(self, block: _BlockBuilder) -> bytes:
        """Write a block with its trailer and return its handle."""
        content = block.finished()
        self._file.write(content + crc32c_masked(content).to_bytes(4, "little"))
        size = len(content) - 1
        handle = encode_varint(self._position) + encode_varint(size)
        self._position += size + _TRAILER
        return handle


class _BlockBuilder:
    """Collects entries; every so often a key is spelt out, which is a restart."""

    def __init__(self, keys_per_restart: int) -> None:
        """Start with no entry and one restart."""
        self.data = bytearray()
        self.last = b""
        self._keys_per_restart = keys_per_restart
        self._restarts = [0]
        self._since_restart = 0

    def add(self, key: bytes, value: bytes) -> None:
        """Add a key, in as many bytes as it differs from the last one."""
        shared = 0
        if self._since_restart == self._keys_per_restart:
            self._restarts.append(len(self.data))
            self._since_restart = 0
        elif self._since_restart:
            shared = _num_shared(self.last, key)
        sizes = (shared, len(key) - shared, len(value))
        self.data += b"".join(map(encode_varint, sizes)) + key[shared:] + value
        self.last = key
        self._since_restart += 1

    def finished(self) -> bytes:
        """Return entries, restarts, and the byte that says it is not compressed."""
        numbers = [*self._restarts, len(self._restarts)]
        restarts = b"".join(number.to_bytes(4, "little") for number in numbers)
        return bytes(self.data) + restarts + bytes([_PLAIN])


def _num_shared(first: bytes, second: bytes) -> int:
    """Count the bytes that two keys begin with alike."""
    most = min(len(first), len(second))
    return next((i for i in range(most) if first[i] != second[i]), most)
