"""Files to documents: txt, jsonl and parquet, one document at a time, in memory that stays flat."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from albatross.data.addresses import files_at, open_bytes
from albatross.data.sentences import split_sentences
from albatross.data.text_files import OnBytes, broken_file, format_of, read_lines
from albatross.errors import DataError, MissingDependencyError

Document = list[str]
"""The sentences of one document, in their order."""
SentenceBreaks = Literal["lines", "rules"]

FORMATS = (".txt", ".jsonl", ".parquet")
# What a text file calls a line end; U+2028, form feeds and their like are ordinary characters.
_LINE_END = re.compile(r"\r\n|\r|\n")
# A text file without blank lines would be one document of any size; War and Peace has 3.2 million.
_LONGEST_DOCUMENT = 8_000_000
# Rows of a parquet file held at a time, and the bytes of it that are read ahead.
_ROWS, _ROW_BYTES = 256, 2**20


@dataclass(frozen=True)
class CorpusFile:
    """One file to read."""

    address: str
    """A local path or an fsspec address."""
    size: int
    """Bytes as stored; 0 where a store does not tell."""


def corpus_files(addresses: Sequence[str | os.PathLike[str]]) -> list[CorpusFile]:
    """Return the files of a corpus in a fixed order, folders and patterns opened.

    Raises:
        DataError: an address is missing or of another format, or a folder holds no text.
    """
    files: list[CorpusFile] = []
    for each in addresses:
        address = os.fspath(each)
        found = files_at(address)
        if not found and not _is_folder(address):
            raise DataError(
                "A corpus must be files, folders or patterns that exist."
                f" Received: {address!r}. Check the path."
            )
        inside = [CorpusFile(a, size) for a, size in found.items() if format_of(a) in FORMATS]
        if not inside and address in found:
            raise DataError(
                "A corpus file must end in .txt, .jsonl or .parquet; the first two also with"
                f" .gz, .bz2, .xz or .zst. Received: {address!r}. Rename or convert it."
            )
        if not inside:
            raise DataError(
                "A corpus folder must hold .txt, .jsonl or .parquet files. Received:"
                f" {address!r} without any. Name the files, or another folder."
            )
        files += inside
    return files


def read_documents(
    files: Sequence[CorpusFile],
    *,
    breaks: SentenceBreaks = "lines",
    text_column: str = "text",
    on_bytes: OnBytes = lambda count: None,
) -> Iterator[Document]:
    """Yield the documents of all files, in order; empty ones are passed over.

    Args:
        files: from `corpus_files`.
        breaks: `lines` takes every line as a sentence (Google's format); `rules` splits lines into
            sentences.
        text_column: the key of a JSON line, or the column of a parquet file, that holds the text.
        on_bytes: told of progress, with the bytes that have just been read.

    Raises:
        DataError: a file that cannot be read, or a record without its text.
    """
    for file in files:
        for lines in _records(file, text_column, on_bytes):
            sentences = [line for line in lines if line and not line.isspace()]
            if breaks == "rules":
                sentences = [part for line in sentences for part in split_sentences(line)]
            if sentences:
                yield sentences


def total_bytes(files: Sequence[CorpusFile]) -> int:
    """Return the bytes as stored, for a progress bar."""
    return sum(file.size for file in files)


def _is_folder(address: str) -> bool:
    """Whether a local address without files is there all the same."""
    return os.path.isdir(address)


def _records(file: CorpusFile, text_column: str, on_bytes: OnBytes) -> Iterator[list[str]]:
    """Yield the lines of every document of a file."""
    ending = format_of(file.address)
    if ending == ".parquet":
        return _parquet_documents(file, text_column, on_bytes)
    if ending == ".jsonl":
        return _jsonl_documents(file.address, text_column, on_bytes)
    return _txt_documents(file.address, on_bytes)


def _txt_documents(address: str, on_bytes: OnBytes) -> Iterator[list[str]]:
    """Yield runs of lines between blank lines; one without an end is cut between two lines."""
    document: list[str] = []
    size = 0
    for line in read_lines(address, on_bytes):
        is_blank = not line or line.isspace()
        if document and (is_blank or size + len(line) > _LONGEST_DOCUMENT):
            yield document
            document, size = [], 0
        if not is_blank:
            document.append(line)
            size += len(line)
    if document:
        yield document


def _jsonl_documents(address: str, key: str, on_bytes: OnBytes) -> Iterator[list[str]]:
    """Yield the lines of every record's text."""
    for number, line in enumerate(read_lines(address, on_bytes), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[key]
            if not isinstance(text, str):
                raise TypeError(f"`{key}` is a {type(text).__name__}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"A JSON line of a corpus must be an object whose `{key}` is a string."
                f" Received: line {number} of {address!r}: {line[:60]!r}. Mend or remove it, or"
                " name the key that holds the text."
            ) from error
        yield _LINE_END.split(text)


def _parquet_documents(file: CorpusFile, column: str, on_bytes: OnBytes) -> Iterator[list[str]]:
    """Yield the lines of every row's text, a few rows at a time; a null is no document."""
    row = told = 0
    with open_bytes(file.address) as stored:
        try:
            parquet = _open_parquet(stored)
            _check_column(parquet.schema_arrow, column, file.address)
            rows = parquet.metadata.num_rows
            for batch in parquet.iter_batches(_ROWS, columns=[column], use_threads=False):
                for text in batch.column(0).to_pylist():
                    row += 1
                    if text is not None:
                        yield _LINE_END.split(text)
                reached = file.size * row // rows
                on_bytes(reached - told)
                told = reached
        except UnicodeDecodeError as error:
            raise DataError(
                f"A text must be UTF-8. Received: rows {row + 1} to {row + _ROWS} of"
                f" {file.address!r} with another byte. Write the file again."
            ) from error
        except (OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise broken_file(file.address, f"row {row}", error) from error
    on_bytes(file.size - told)


def _open_parquet(stored: Any) -> Any:
    """Open a parquet file so that a row group is read in parts, however large it is."""
    try:
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pyarrow", "corpus") from error
    return ParquetFile(stored, buffer_size=_ROW_BYTES, pre_buffer=False)


def _check_column(schema: Any, column: str, address: str) -> None:
    """Refuse a table whose column of texts is not there, or holds something else."""
    found = [field for field in schema if field.name == column]
    kind = str(found[0].type) if found else ""
    if "string" not in kind or not kind.startswith(("string", "large_string", "dictionary")):
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema) or "no column"
        raise DataError(
            f"A parquet file of a corpus must have a column `{column}` of strings. Received:"
            f" {address!r} with {columns}. Name the column that holds the text."
        )
