"""Files to documents: txt and jsonl, plain or packed (gz, bz2, xz), one document at a time."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TextIO, cast

from albatross.data.sentences import split_sentences
from albatross.errors import DataError

Document = list[str]
"""The sentences of one document, in their order."""
SentenceBreaks = Literal["lines", "rules"]

OnBytes = Callable[[int], None]
"""Told how many bytes of a file have just been read, as they lie on disk."""

FORMATS = (".txt", ".jsonl")
_PACKINGS = (".gz", ".bz2", ".xz")
_BLOCK_BYTES = 65_536
# What a text file calls a line end; U+2028, form feeds and their like are ordinary characters.
_LINE_END = re.compile(r"\r\n|\r|\n")


def corpus_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of a corpus in a fixed order, folders opened to their txt and jsonl files.

    Raises:
        DataError: a path is missing or of another format, or a folder holds no text.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and format_of(p) in FORMATS)
            if not inside:
                raise DataError(
                    f"A corpus folder must hold .txt or .jsonl files. Received: {str(path)!r}"
                    " without any. Name the files, or another folder."
                )
            files += inside
        else:
            files.append(_check_file(path))
    return files


def format_of(path: Path) -> str:
    """Return a file's ending without that of its compression: `.txt` for `a.txt.xz`."""
    is_packed = path.suffix.lower() in _PACKINGS
    return (path.with_suffix("") if is_packed else path).suffix.lower()


@contextmanager
def open_text(
    path: Path, on_bytes: OnBytes = lambda count: None, *, errors: str = "strict"
) -> Iterator[TextIO]:
    """Open a plain or compressed UTF-8 file for reading; a byte-order mark is dropped."""
    with (
        io.BufferedReader(_CountedFile(path, on_bytes), _BLOCK_BYTES) as file,
        _unpacked(file, path.suffix.lower()) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline=None) as text,
    ):
        yield text


def read_lines(path: Path, on_bytes: OnBytes = lambda count: None) -> Iterator[str]:
    r"""Yield a file's lines without their ends: `\n`, `\r\n` or `\r`.

    Raises:
        DataError: the file cannot be read, is cut short, or is not UTF-8; the line is named.
    """
    number = 0
    try:
        with open_text(path, on_bytes) as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007 (named in the error)
                yield line.removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"A text must be UTF-8. Received: {_first_wrong_byte(path)} of {str(path)!r}."
            " Convert the file, for example with iconv."
        ) from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(
            f"A file must be readable to its end. Received: {str(path)!r}, which breaks after line"
            f" {number} ({error}). Copy it again."
        ) from error


def read_documents(
    files: Sequence[Path],
    *,
    breaks: SentenceBreaks = "lines",
    on_bytes: OnBytes = lambda count: None,
) -> Iterator[Document]:
    """Yield the documents of all files, in order; empty ones are passed over.

    Args:
        files: from `corpus_files`.
        breaks: `lines` takes every line as a sentence (Google's format); `rules` splits lines into
            sentences.
        on_bytes: told of progress, with the bytes that have just been read.

    Raises:
        DataError: a file that cannot be read, or a JSON line without `text`.
    """
    for path in files:
        reader = _jsonl_documents if format_of(path) == ".jsonl" else _txt_documents
        for lines in reader(path, on_bytes):
            sentences = [line for line in lines if line and not line.isspace()]
            if breaks == "rules":
                sentences = [part for line in sentences for part in split_sentences(line)]
            if sentences:
                yield sentences


def total_bytes(files: Sequence[Path]) -> int:
    """Return the bytes on disk, for a progress bar."""
    return sum(os.path.getsize(path) for path in files)


def _check_file(path: Path) -> Path:
    """Return a path that is a file of a known format."""
    if not path.is_file():
        raise DataError(
            f"A corpus must be files or folders that exist. Received: {str(path)!r}."
            " Check the path."
        )
    if format_of(path) not in FORMATS:
        raise DataError(
            "A corpus file must end in .txt or .jsonl, or that with .gz, .bz2 or .xz."
            f" Received: {str(path)!r}. Rename or convert it."
        )
    return path


def _txt_documents(path: Path, on_bytes: OnBytes) -> Iterator[list[str]]:
    """Yield runs of lines between blank lines."""
    document: list[str] = []
    for line in read_lines(path, on_bytes):
        if line and not line.isspace():
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def _jsonl_documents(path: Path, on_bytes: OnBytes) -> Iterator[list[str]]:
    """Yield the lines of every record's `text`."""
    for number, line in enumerate(read_lines(path, on_bytes), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
            if not isinstance(text, str):
                raise TypeError(f"`text` is a {type(text).__name__}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                "A JSON line of a corpus must be an object whose `text` is a string."
                f" Received: line {number} of {str(path)!r}: {line[:60]!r}. Mend or remove it."
            ) from error
        yield _LINE_END.split(text)


class _CountedFile(io.FileIO):
    """A file that tells how much of it has been read."""

    def __init__(self, path: Path, on_bytes: OnBytes) -> None:
        """Open the file for reading."""
        super().__init__(path)
        self._on_bytes = on_bytes

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer and tell of it."""
        count = super().readinto(buffer) or 0
        self._on_bytes(count)
        return count


def _unpacked(file: IO[bytes], packing: str) -> IO[bytes]:
    """Return a stream of what a compressed file holds; other files are what they hold."""
    if packing == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if packing == ".bz2":
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if packing == ".xz" else file


def _first_wrong_byte(path: Path) -> str:
    """Name the first byte that is no UTF-8 and its line; the reader itself decodes in blocks."""
    with open_text(path, errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            for character in line if not line.isascii() else "":
                if "\udc80" <= character <= "\udcff":
                    return f"byte 0x{ord(character) - 0xDC00:02x} in line {number}"
    return "another byte"
