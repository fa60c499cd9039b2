"""Every format of labelled records by its name, which a task keeps in `task.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from albatross.data.choices import choice_records, read_dream, read_race, read_swag
from albatross.data.columns import NO_COLUMNS, refuse_columns
from albatross.data.conll import read_conll, read_slots, words_records
from albatross.data.glue import GLUE, read_glue
from albatross.data.records import (
    ChoiceRecord,
    SourceRecord,
    SpanRecord,
    TextRecord,
    WordsRecord,
    at_least_one,
    source_records,
    text_records,
)
from albatross.data.squad import read_squad, span_records
from albatross.errors import ConfigError

Reader = Callable[[Path, Mapping[str, str]], Iterable[Any]]
"""Yields the records of a file; the columns of some parts may be given."""


@dataclass(frozen=True)
class Format:
    """A layout of files.

    Attributes:
        record: the class of its records
        read: yields them
        is_published: whether its files have the columns, and may have the names, of their publisher
    """

    record: type
    read: Reader
    is_published: bool = False


def read_records(path: Path, format: str, columns: Mapping[str, str] = NO_COLUMNS) -> list[Any]:
    """Read the records of a file, or of a folder for the formats that have one.

    Args:
        path: the file, plain or packed
        format: a key of `FORMATS`
        columns: the columns of a plain table by what they hold, such as {"text": "review"}; by
            number, from "1", where the file does not name them. Others are found by usual names.

    Raises:
        ConfigError: there is no such format.
        DataError: the file is missing, empty or laid out otherwise; the place is named.
    """
    if format not in FORMATS:
        raise ConfigError(
            f"A format must be one of {', '.join(FORMATS)}. Received: {format!r}. Choose one;"
            " `text` reads any table of texts."
        )
    return at_least_one(list(FORMATS[format].read(path, columns)), path)


def _published(layout: str, record: type, read: Callable[[Path], Iterable[Any]]) -> Format:
    """Return the format of a layout whose columns are its own."""

    def read_published(path: Path, columns: Mapping[str, str]) -> Iterable[Any]:
        refuse_columns(layout, columns)
        return read(path)

    return Format(record, read_published, is_published=True)


FORMATS = {
    "text": Format(TextRecord, text_records),
    "choice": Format(ChoiceRecord, choice_records),
    "span": Format(SpanRecord, span_records),
    "words": Format(WordsRecord, words_records),
    "source": Format(SourceRecord, source_records),
    **{name: _published(name, TextRecord, partial(read_glue, name)) for name in GLUE},
    "squad": _published("squad", SpanRecord, read_squad),
    "race": _published("race", ChoiceRecord, read_race),
    "dream": _published("dream", ChoiceRecord, read_dream),
    "swag": _published("swag", ChoiceRecord, read_swag),
    "conll": _published("conll", WordsRecord, read_conll),
    "slots": _published("slots", WordsRecord, read_slots),
}
