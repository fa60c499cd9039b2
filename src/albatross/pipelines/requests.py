"""What the verb predict is asked: texts, pairs, lines, files of records; how each is shown."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from albatross.data.columns import columns_of
from albatross.data.formats import FORMATS
from albatross.data.records import WordsRecord
from albatross.data.text_files import format_of, read_lines
from albatross.errors import DataError
from albatross.settings.answering import PredictSettings
from albatross.tasks.task import Task
from albatross.tasks.words import TextWords

# Files of records by their endings; others are lines of text, or records of a published layout.
_TABLES = {".tsv", ".csv", ".jsonl", ".parquet", ".json", ".conll"}
# What such a file of words is called; one that merely ends so is lines of text, which taggers read.
_COLUMNS, _LINES = ".conll", {".txt", ""}
# What records say of their labels, and what stands for no label.
_LABELS = {
    "label": None,
    "labels": None,
    "shares": None,
    "tags": None,
    "answers": (),
    "references": (),
    "is_labelled": False,
    "is_impossible": False,
}
_NOT_SHOWN = {*_LABELS, "place", "subset", "spans"}


def records_of(task: Task[Any], settings: PredictSettings) -> Iterator[Any]:
    """Yield the records that the settings ask about, without labels.

    Raises:
        DataError: a file that cannot be read, or texts that the task has no use for.
    """
    if settings.pair:
        yield from map(task.record, zip(settings.texts, settings.pair, strict=True))
    elif settings.texts:
        yield from map(task.record, settings.texts)
    elif settings.file is not None and _holds_records(settings.file, task):
        yield from map(unlabelled, task.read(settings.file, columns_of(settings.columns)))
    else:
        yield from map(task.record, text_lines(settings.file))


def text_lines(path: Path | None) -> Iterator[str]:
    """Yield the lines of a text file, or of standard input.

    Raises:
        DataError: no such file, or a line that is not UTF-8.
    """
    if path is not None and not path.is_file():
        raise DataError(
            f"`--file` must be a text file. Received: {str(path)!r}. Check the path, or leave it"
            " out: then standard input is read."
        )
    if path is not None:
        yield from read_lines(path)
        return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Standard input must be UTF-8. Received: byte 0x{line[error.start]:02x} in line"
                f" {number}. Convert it, for example with iconv."
            ) from error


def unlabelled(record: Any) -> Any:
    """Return a record without its labels, which may be others than the task knows."""
    return replace(record, **{name: v for name, v in _LABELS.items() if hasattr(record, name)})


def parts_of(record: Any) -> dict[str, Any]:
    """Return the parts of a record that a JSON line repeats beside the answer."""
    parts = {name: value for name, value in vars(record).items() if name not in _NOT_SHOWN}
    if isinstance(record, TextWords):
        del parts["words"]
    return {name: value for name, value in parts.items() if value or name == "text"}


def title_of(record: Any) -> str:
    """Return what a person recognises a record by.

    >>> from albatross.data.records import SpanRecord, TextRecord
    >>> title_of(TextRecord("Rain.", "Sun.")), title_of(SpanRecord("Who?", "A gull flew."))
    ('Rain. | Sun.', 'Who?')
    """
    parts = parts_of(record)
    for names in (("question",), ("source",), ("text", "text_pair"), ("context",)):
        found = [parts[name] for name in names if name in parts]
        if found:
            return " | ".join(found)
    return " ".join(parts.get("words", ()))


def _holds_records(path: Path, task: Task[Any]) -> bool:
    """Whether a path holds records: by its name, or because the task's files may have any name."""
    if path.is_dir() or format_of(path) in _TABLES:
        return True
    layout = FORMATS.get(task.to_dict().get("format", ""))
    if layout is None or not layout.is_published:
        return False
    is_lines = format_of(path) in _LINES and _COLUMNS not in path.suffixes
    return not (layout.record is WordsRecord and is_lines)
