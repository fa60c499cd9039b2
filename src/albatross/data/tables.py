"""Rows of any table: tsv, csv, JSON lines and parquet, plain or packed.

Knows files and cells; not which column holds what, nor what a record is.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albatross.data.text_files import broken_file, format_of, read_lines, read_text
from albatross.errors import DataError, MissingDependencyError

OnBroken = Callable[[str], None]
"""Told the place of a row that has another number of cells than the first."""

TABLES = (".tsv", ".csv", ".jsonl", ".parquet")
# The csv module refuses cells above 131,072 characters unless told otherwise.
_LONGEST_CELL = 2**31 - 1
# So many rows of a parquet file are turned into Python's objects at once.
_PARQUET_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row by the names of their columns.

    Attributes:
        place: where it starts, for messages: "line 7 of 'dev.tsv'"
        cells: text, or what JSON or parquet hold
    """

    place: str
    cells: Mapping[str, object]


def read_rows(
    path: Path, *, has_header: bool = True, ending: str = "", on_broken: OnBroken | None = None
) -> Iterator[Row]:
    """Yield the rows of a table, plain or packed.

    Args:
        path: the file
        has_header: whether a tsv or csv names its columns in the first line; else they are
            called "1", "2" and so on
        ending: read it as a file of this ending, whatever its own
        on_broken: told of rows with another number of cells, which are then passed over instead
            of refused

    Raises:
        DataError: the file is missing, of another format or broken.
    """
    readers = {".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    ending = ending or format_of(path)
    check_is_file(path, ending in TABLES)
    if ending in readers:
        return readers[ending](path)
    cells = _csv_cells(path, has_header) if ending == ".csv" else _tsv_cells(path)
    return _named_rows(path, cells, has_header, on_broken)


def read_json_file(path: Path) -> Any:
    """Read a file that is one JSON value, plain or packed.

    Raises:
        DataError: the file is missing, cannot be read, or is no JSON.
    """
    if not path.is_file():
        missing = "a folder" if path.is_dir() else "no such file"
        raise DataError(
            f"Records must be a .json file here. Received: {str(path)!r}: {missing}. Check the"
            " path and the format."
        )
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"The file must be JSON. Received: {str(path)!r}: {error}. Check that it was written"
            " to its end, and the format."
        ) from error


def check_is_file(path: Path, has_known_ending: bool) -> None:
    """Refuse a path that is no table."""
    if not path.is_file() or not has_known_ending:
        missing = "a folder" if path.is_dir() else "no such file"
        raise DataError(
            "Records must be a .tsv, .csv, .jsonl or .parquet file (or that with .gz, .bz2, .xz"
            " or .zst)."
            f" Received: {str(path)!r}: {'another ending' if path.is_file() else missing}."
            " Check the path and the format."
        )


# === Rows of each format ===


def _tsv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line; quotes are ordinary characters, as in GLUE."""
    lines = enumerate(read_lines(path), start=1)
    return ((number, line.split("\t")) for number, line in lines if line)


def _csv_cells(path: Path, has_header: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row that has any, and the line that it starts at.

    Cells are parted by semicolons if the names of the columns are: spreadsheets do so in the
    languages that write a comma in numbers.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    first = next((line for line in read_lines(path) if line.strip()), "")
    comma = ";" if has_header and ";" in first and "," not in first else ","
    rows = csv.reader((line + "\n" for line in read_lines(path)), strict=True, delimiter=comma)
    start = 1
    try:
        for cells in rows:
            if cells:
                yield start, cells
            start = rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"A .csv file must be quoted rightly. Received: the row that starts at line {start} of"
            f" {str(path)!r}: {error}. Mend its quotes."
        ) from error


def _named_rows(
    path: Path, rows: Iterable[tuple[int, list[str]]], has_header: bool, on_broken: OnBroken | None
) -> Iterator[Row]:
    """Give the cells of each row the names in the first one, or numbers."""
    header: list[str] = []
    file = repr(str(path))
    for number, cells in rows:
        if not header:
            header = [str(place) for place in range(1, len(cells) + 1)]
            if has_header:
                header = _checked_header(path, cells)
                continue
        place = f"line {number} of {file}"
        if len(cells) == len(header):
            yield Row(place, dict(zip(header, cells, strict=True)))
        elif on_broken:
            on_broken(place)
        else:
            remedy = "quote texts that hold a comma"
            remedy = remedy if format_of(path) == ".csv" else "a text must not hold a tab"
            raise DataError(
                f"Every row must have the {len(header)} columns of the first. Received: {place}"
                f" with {len(cells)}. Mend the line; {remedy}."
            )


def _checked_header(path: Path, cells: list[str]) -> list[str]:
    """Return the names of the columns; two of the same name would hide one another."""
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"Columns must have different names. Received: {', '.join(twice)} more than once in"
            f" {str(path)!r}. Rename or remove a column, or give columns by number where the file"
            " has no line of names."
        )
    return header


def _jsonl_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of JSON lines."""
    file = repr(str(path))
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        place = f"line {number} of {file}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = str(error)
            if isinstance(error, json.JSONDecodeError):  # which calls every line its line 1
                why = f"{error.msg} at character {error.colno}"
            raise DataError(
                f"Every line must be JSON. Received: {place}: {why}. Mend or remove it."
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"Every JSON line must be an object. Received: {place}: a {type(row).__name__}."
                " Mend or remove it."
            )
        yield Row(place, row)


def _parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a parquet file."""
    try:
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pyarrow", "corpus") from error
    if path.suffix.lower() != ".parquet":
        raise DataError(
            f"A parquet file packs its own columns. Received: {str(path)!r}. Unpack it."
        )
    number = 0
    try:
        with ParquetFile(path, pre_buffer=False) as file:
            _checked_header(path, file.schema_arrow.names)
            for batch in file.iter_batches(_PARQUET_ROWS, use_threads=False):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number} of {str(path)!r}", cells)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise broken_file(str(path), f"row {number}", error) from error
