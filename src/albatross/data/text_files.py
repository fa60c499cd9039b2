"""The lines of a UTF-8 file, plain or packed (gz, bz2, xz, zst), local or remote."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any, TextIO, cast

from albatross.data.addresses import open_bytes
from albatross.errors import DataError, MissingDependencyError

OnBytes = Callable[[int], None]
"""Told how many bytes of a file have just been read, as they are stored."""

PACKINGS = (".gz", ".bz2", ".xz", ".zst")
# Ten times War and Peace, and 134 MB at four bytes a character: whatever is longer is no text of
# a person's, and reading on would fill the memory.
LONGEST_LINE = 2**25
_BLOCK_BYTES = 65_536


def format_of(address: str | os.PathLike[str]) -> str:
    """Return a file's ending without that of its compression: `.txt` for `a.txt.xz`."""
    path = PurePosixPath(os.fspath(address).partition("::")[0])
    is_packed = path.suffix.lower() in PACKINGS
    return (path.with_suffix("") if is_packed else path).suffix.lower()


@contextmanager
def open_text(
    address: str, on_bytes: OnBytes = lambda count: None, *, errors: str = "strict"
) -> Iterator[TextIO]:
    """Open a plain or compressed UTF-8 file for reading; a byte-order mark is dropped."""
    packing = PurePosixPath(address.partition("::")[0]).suffix.lower()
    with (
        open_bytes(address) as stored,
        io.BufferedReader(_CountedFile(stored, on_bytes), _BLOCK_BYTES) as file,
        _unpacked(file, packing) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline=None) as text,
    ):
        yield text


def read_lines(
    file: str | os.PathLike[str], on_bytes: OnBytes = lambda count: None
) -> Iterator[str]:
    r"""Yield a file's lines without their ends: `\n`, `\r\n` or `\r`.

    Raises:
        DataError: the file cannot be read, is cut short, or is not UTF-8, or has an endless line;
            the line is named.
    """
    address = os.fspath(file)
    number = 0
    with _told_of(address, lambda: f"line {number}"), open_text(address, on_bytes) as text:
        while part := text.readline(LONGEST_LINE + 1):
            number += 1
            line = part.removesuffix("\n")
            if len(line) > LONGEST_LINE:
                raise DataError(
                    f"A line must have at most {LONGEST_LINE:,} characters. Received: line"
                    f" {number} of {address!r}, which is longer. Break it, or write a document"
                    " a line."
                )
            yield line


def read_text(file: str | os.PathLike[str]) -> str:
    """Return all that a file holds, such as one JSON value, whose lines may be of any length.

    Raises:
        DataError: the file cannot be read, is cut short, or is not UTF-8.
    """
    address = os.fspath(file)
    with _told_of(address, lambda: "its beginning"), open_text(address) as text:
        return text.read()


@contextmanager
def _told_of(address: str, reached: Callable[[], str]) -> Iterator[None]:
    """Say in one line what is wrong with a file, and how far it could be read."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"A text must be UTF-8. Received: {_first_wrong_byte(address)} of {address!r}."
            " Convert the file, for example with iconv."
        ) from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise broken_file(address, reached(), error) from error


def broken_file(address: str, place: str, error: Exception) -> DataError:
    """Return the error for a file that cannot be read beyond a place."""
    reason = " ".join(str(error).split())
    return DataError(
        f"A file must be readable to its end. Received: {address!r}, which breaks after {place}"
        f" ({reason}). Copy it again."
    )


class _CountedFile(io.RawIOBase):
    """A file that tells how much of it has been read."""

    def __init__(self, file: IO[bytes], on_bytes: OnBytes) -> None:
        """Read from an open file, which stays its opener's to close."""
        self._file, self._on_bytes = file, on_bytes

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer and tell of it."""
        try:
            content = self._file.read(len(buffer))
        except OSError:
            raise
        except Exception as error:  # a store's library has errors of its own
            raise OSError(f"{type(error).__name__}: {error}") from error
        buffer[: len(content)] = content
        self._on_bytes(len(content))
        return len(content)


class _ZstdFile(io.RawIOBase):
    """What a .zst file holds, unpacked by pyarrow."""

    def __init__(self, file: IO[bytes]) -> None:
        """Start at the file's place."""
        try:
            import pyarrow
        except ModuleNotFoundError as error:
            raise MissingDependencyError("pyarrow", "corpus") from error
        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer."""
        content: bytes = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _unpacked(file: IO[bytes], packing: str) -> IO[bytes]:
    """Return a stream of what a compressed file holds; other files are what they hold."""
    if packing == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if packing == ".bz2":
        return bz2.BZ2File(file)
    if packing == ".zst":
        return io.BufferedReader(_ZstdFile(file), _BLOCK_BYTES)
    return lzma.LZMAFile(file) if packing == ".xz" else file


def _first_wrong_byte(address: str) -> str:
    """Name the first byte that is no UTF-8 and its line; the reader itself decodes in blocks."""
    number = 1
    with open_text(address, errors="surrogateescape") as text:
        while part := text.readline(_BLOCK_BYTES):
            for character in part if not part.isascii() else "":
                if "\udc80" <= character <= "\udcff":
                    return f"byte 0x{ord(character) - 0xDC00:02x} in line {number}"
            number += part.endswith("\n")
    return "another byte"
