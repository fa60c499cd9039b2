"""Labelled records of each kind, and texts and pairs of sequences made of the rows of a table."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from albatross.data.columns import NO_COLUMNS, Columns, Part
from albatross.errors import DataError

Record = TypeVar("Record")

# Of a record of any kind.
ID = Part(("id", "index", "idx", "uid", "guid"), in_order=True)
SUBSET = Part(("subset",))
_TEXT = {
    "text": Part(
        (
            *("text", "sentence", "sentence1", "text1", "text_a", "premise", "question1"),
            *("review", "content", "comment", "message", "tweet", "utterance"),
        ),
        is_needed=True,
    ),
    "text_pair": Part(("text_pair", "sentence2", "text2", "text_b", "hypothesis", "question2")),
    "label": Part(
        (
            *("label", "labels", "class", "category", "sentiment", "intent", "topic", "target"),
            *("gold_label", "score", "rating", "stars", "similarity"),
        ),
        may_lack=True,
    ),
    "id": ID,
    "subset": SUBSET,
}
_SOURCE = {
    "source": Part(
        ("source", "input", "text", "document", "article", "dialogue"),
        is_needed=True,
    ),
    "references": Part(
        ("references", "reference", "target", "targets", "summary", "highlights", "output"),
        may_lack=True,
    ),
    "id": ID,
    "subset": SUBSET,
}


@dataclass(frozen=True)
class TextRecord:
    """A text, or a pair, with its label where there is one.

    Attributes:
        text: the text, or the first of a pair
        text_pair: the second of a pair
        label: its class or number as the file spells it
        labels: several classes at once; `label` is None then
        shares: of classes with the sum 1, such as annotators' votes; `label` is the likeliest then
        id: what the file calls the record
        subset: the part of the file that it belongs to, for figures of each
        place: where it stands, for messages: "line 7 of 'dev.tsv'"
    """

    text: str
    text_pair: str | None = None
    label: str | None = None
    labels: tuple[str, ...] | None = None
    id: str = ""
    subset: str = ""
    place: str = field(default="", compare=False, repr=False)
    shares: tuple[tuple[str, float], ...] | None = None


@dataclass(frozen=True)
class ChoiceRecord:
    """A question with the answers to choose from; `label` is the number of the right one."""

    context: str
    question: str
    choices: tuple[str, ...]
    label: int | None = None
    id: str = ""
    subset: str = ""
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class SpanText:
    """A piece of a context, and the character that it starts at."""

    text: str
    start: int


@dataclass(frozen=True)
class SpanRecord:
    """A question and the context that holds its answers, any of which is right.

    Attributes:
        question: the question
        context: the text to answer from
        answers: pieces of the context
        is_impossible: the context is known to hold no answer
        is_labelled: whether answers are known, or known to be none
        id: what the file calls the question
        subset: the part of the file that it belongs to
        place: where it stands, for messages
    """

    question: str
    context: str
    answers: tuple[SpanText, ...] = ()
    is_impossible: bool = False
    is_labelled: bool = False
    id: str = ""
    subset: str = ""
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class WordsRecord:
    """The words of a sentence, and the tag of each: O, B-TYPE or I-TYPE."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    id: str = ""
    subset: str = ""
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class SourceRecord:
    """A text to rewrite, and what it may become; training uses the first reference."""

    source: str
    references: tuple[str, ...] = ()
    id: str = ""
    subset: str = ""
    place: str = field(default="", compare=False, repr=False)


def read_text_records(path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[TextRecord]:
    """Read all texts, or pairs, of a table.

    A label is text as the file spells it, without space around it; an empty one is none. A JSON
    number is taken by its value (1.0 is 1), true and false as JSON spells them. A list, or a cell
    that is a JSON list, gives several labels; a mapping, or a cell that is a JSON object, shares of
    classes: `{"positive": 3, "negative": 1}` are three votes to one.

    Raises:
        DataError: the file is missing, empty or of another format, or a row breaks a rule.
    """
    return at_least_one(list(text_records(path, columns)), path)


def text_records(path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> Iterator[TextRecord]:
    """Yield texts, or pairs; given a column of texts and none of pairs, there are no pairs."""
    alone = "text" in columns and "text_pair" not in columns
    parts = {key: part for key, part in _TEXT.items() if key != "text_pair" or not alone}
    for row in Columns(parts, columns).read(path):
        cells, place = row.cells, row.place
        pair = cells.get("text_pair")
        shares = _shares_of(cells["label"], place)
        given = shares[0][0] if shares else cells["label"]
        label, labels = _labels_of(given, place)
        yield TextRecord(
            text_of(cells["text"], "text", place),
            None if pair is None else text_of(pair, "text", place),
            label,
            labels,
            name_of(cells["id"]),
            name_of(cells["subset"]),
            place,
            shares,
        )


def source_records(path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> Iterator[SourceRecord]:
    """Yield texts with what they become; a source that is a list of sentences is joined."""
    for row in Columns(_SOURCE, columns).read(path):
        source, references = row.cells["source"], _listed(row.cells["references"])
        sentences = source if isinstance(source, list) else [source]
        yield SourceRecord(
            " ".join(text_of(sentence, "source", row.place) for sentence in sentences),
            tuple(text_of(reference, "reference", row.place) for reference in references),
            name_of(row.cells["id"]),
            name_of(row.cells["subset"]),
            row.place,
        )


def at_least_one(records: list[Record], path: Path) -> list[Record]:
    """Return records, of which there must be one.

    Raises:
        DataError: there is none.
    """
    if not records:
        raise DataError(
            f"A record file must hold at least one record. Received: {str(path)!r} with none."
            " Check that it was written to its end."
        )
    return records


# === Cells ===


def text_of(value: object, part: str, place: str) -> str:
    """Return a cell that must be a string.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, str):
        return value
    raise DataError(
        f"A {part} must be a string. Received: {json.dumps(value, default=str)[:60]} in {place}."
        " Put it in quotes."
    )


def name_of(value: object) -> str:
    """Return the spelling of an id or a subset; of nothing, the empty text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def list_of(value: object) -> Sequence[object] | None:
    """Return a list, or the one that a cell spells in JSON; None for any other value."""
    found = _json_of(value, "[]")
    return found if isinstance(found, list) else None


HIDDEN = "-1"
"""What test sets have in place of a label that is kept back."""


def label_of(value: object, place: str) -> str | None:
    """Return a label's spelling, equal for equal values; None for an empty cell.

    Raises:
        DataError: it is neither text nor a number nor true or false.
    """
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):  # pandas writes an empty cell so
            return None
        return str(int(value) if value.is_integer() else value)
    raise DataError(
        "A label must be a string, a number, true or false. Received:"
        f" {json.dumps(value, default=str)[:60]} in {place}. Mend it."
    )


def _json_of(value: object, brackets: str) -> object:
    """Return what a cell between such brackets spells in JSON; any other value as it is."""
    if isinstance(value, str) and value[:1] + value.rstrip()[-1:] == brackets:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _shares_of(value: object, place: str) -> tuple[tuple[str, float], ...] | None:
    """Return the shares of classes that a cell gives, the largest first; None where it gives none.

    Raises:
        DataError: they are not numbers of which one is above 0 and none below.
    """
    found = _json_of(value, "{}")
    if not isinstance(found, dict):
        return None
    votes = {label.strip(): votes for label, votes in found.items()}
    # Compared before it becomes a float: an integer may be too large for one.
    most = sys.float_info.max
    numbers = [float(v) for v in votes.values() if isinstance(v, int | float) and 0 <= v <= most]
    total = sum(numbers)
    if len(numbers) < len(found) or "" in votes or not 0 < total < math.inf:
        raise DataError(
            "Shares of labels must be numbers, none below 0 and one above. Received:"
            f" {json.dumps(found, default=str)[:60]} in {place}. Correct them."
        )
    shares = [(label, number / total) for label, number in zip(votes, numbers, strict=True)]
    return tuple(sorted(shares, key=lambda share: -share[1]))


def _labels_of(value: object, place: str) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the one label of a cell, or the several that it lists."""
    several = list_of(value)
    if several is None:
        return label_of(value, place), None
    found = [label_of(item, place) for item in several]
    labels = tuple(dict.fromkeys(label for label in found if label is not None))
    if len(labels) < len(found):
        raise DataError(
            "Several labels must be different, and none empty. Received:"
            f" {json.dumps(several, default=str)[:60]} in {place}. Mend the list."
        )
    return None, labels


def _listed(value: object) -> Sequence[object]:
    """Return a list of a cell that may be one text, several or nothing."""
    several = list_of(value)
    if several is not None and all(isinstance(item, str) for item in several):
        return several
    return [] if value is None or value == "" else [value]
