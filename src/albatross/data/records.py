"""Files to labelled records: tsv, csv and JSON lines, plain or packed, columns by their names."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from albatross.data.text_files import format_of, read_lines
from albatross.errors import DataError

# Names of the columns that hold each part, in order of preference.
COLUMNS = {
    "text": ("text", "sentence", "sentence1"),
    "text_pair": ("text_pair", "sentence2"),
    "label": ("label",),
}
# The csv module refuses cells above 131,072 characters unless told otherwise.
_LONGEST_CELL = 2**31 - 1
Row = tuple[int, Mapping[str, object]]
"""The number of the line a record starts at, and its cells by the names of their columns."""


@dataclass(frozen=True)
class TextRecord:
    """A text, or a pair, with its label where there is one."""

    text: str
    text_pair: str | None = None
    label: str | None = None


def read_text_records(path: Path) -> list[TextRecord]:
    """Read all records of a file.

    A label is text as the file spells it, without space around it; an empty one is none. A JSON
    number is taken by its value (1.0 is 1), true and false as JSON spells them.

    Raises:
        DataError: the file is missing, empty or of another format, or a line breaks a rule.
    """
    readers = {".tsv": _tsv_rows, ".csv": _csv_rows, ".jsonl": _jsonl_rows}
    ending = format_of(path)
    if not path.is_file() or ending not in readers:
        missing = "a folder" if path.is_dir() else "no such file"
        raise DataError(
            "Records must be a .tsv, .csv or .jsonl file (or that with .gz, .bz2 or .xz)."
            f" Received: {str(path)!r}: {'another ending' if path.is_file() else missing}."
            " Check the path."
        )
    records = [_record(path, number, row) for number, row in readers[ending](path)]
    if not records:
        raise DataError(
            f"A record file must hold at least one record. Received: {str(path)!r} with none."
            " Check that it was written to its end."
        )
    return records


def _record(path: Path, number: int, row: Mapping[str, object]) -> TextRecord:
    """Make a record of one row."""
    found = {
        part: next((row[name] for name in names if row.get(name) is not None), None)
        for part, names in COLUMNS.items()
    }
    if found["text"] is None:
        columns = ", ".join(row) or "none"
        raise DataError(
            f"A record needs a column {' or '.join(COLUMNS['text'])}. Received: line {number} of"
            f" {str(path)!r} with the columns {columns}. Name the columns in the first line."
        )
    text, pair = found["text"], found["text_pair"]
    if not (isinstance(text, str) and isinstance(pair, str | None)):
        wrong = pair if isinstance(text, str) else text
        raise DataError(
            f"A text must be a string. Received: {json.dumps(wrong)[:60]} in line {number} of"
            f" {str(path)!r}. Put it in quotes."
        )
    return TextRecord(text, pair, _label(path, number, found["label"]))


def _label(path: Path, number: int, value: object) -> str | None:
    """Return a label's spelling, equal for equal values; None for an empty cell."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        if math.isnan(value):  # pandas writes an empty cell so
            return None
        value = int(value) if value.is_integer() else value
    if value is None or isinstance(value, str | int | float):
        return (str(value).strip() or None) if value is not None else None
    raise DataError(
        "A label must be a string, a number, true or false. Received:"
        f" {json.dumps(value)[:60]} in line {number} of {str(path)!r}. Mend the line."
    )


def _tsv_rows(path: Path) -> Iterator[Row]:
    """Yield rows of a tab-separated file; quotes are ordinary characters, as in GLUE."""
    lines = enumerate(read_lines(path), start=1)
    cells = ((number, line.split("\t")) for number, line in lines if line)
    return _named_rows(path, cells, "a text must not hold a tab")


def _csv_rows(path: Path) -> Iterator[Row]:
    """Yield rows of a comma-separated file with the usual quoting."""
    return _named_rows(path, _csv_cells(path), "quote texts that hold a comma")


def _csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row that has any, and the line that it starts at."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    rows = csv.reader((line + "\n" for line in read_lines(path)), strict=True)
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


def _named_rows(path: Path, rows: Iterable[tuple[int, list[str]]], remedy: str) -> Iterator[Row]:
    """Give the cells of each row the names in the first one."""
    header: list[str] = []
    for number, cells in rows:
        if not header:
            header = _checked_header(path, cells)
        elif len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        else:
            raise DataError(
                f"Every row must have the {len(header)} columns of the first. Received: line"
                f" {number} of {str(path)!r} with {len(cells)}. Mend the line; {remedy}."
            )


def _checked_header(path: Path, cells: list[str]) -> list[str]:
    """Return the names of the columns; two of the same name would hide one another."""
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"Columns must have different names. Received: {', '.join(twice)} more than once in"
            f" {str(path)!r}. Rename or remove a column."
        )
    return header


def _jsonl_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of JSON lines."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Every line must be JSON. Received: line {number} of {str(path)!r}: {error}."
                " Mend or remove it."
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"Every JSON line must be an object. Received: line {number} of {str(path)!r}: a"
                f" {type(row).__name__}. Mend or remove it."
            )
        yield number, row
