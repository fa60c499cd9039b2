"""Words with a tag each: CoNLL's columns, the two files of slot filling, and tables of lists.

Whatever scheme a file has (IOB1, BIO, BIOES, BILOU), its tags become BIO, read as CoNLL's own
scorer reads them: a stray I- begins an entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from albatross.data.columns import NO_COLUMNS, Columns, Part
from albatross.data.records import ID, SUBSET, WordsRecord, list_of, name_of, text_of
from albatross.data.tables import check_is_file
from albatross.data.text_files import PACKINGS, format_of, read_lines
from albatross.errors import DataError, LabelError

_PARTS = {
    "words": Part(("words", "tokens"), is_needed=True),
    "tags": Part(("tags", "ner_tags", "slots", "labels"), may_lack=True),
    "id": ID,
    "subset": SUBSET,
}
_TAG = re.compile(r"O|[BIESLU]-.+")
_SPACES = re.compile(r"[ \t]+")
# Prefixes that always begin an entity, and those after which the next word begins another.
_BEGINS = "BSU"
_ENDS = "ESLU"
_DOCUMENT_START = "-DOCSTART-"
# Endings of files that are no CoNLL columns; those of a .tsv may be.
_NEVER_COLUMNS = (".csv", ".jsonl", ".json", ".parquet")


def read_conll(path: Path) -> Iterator[WordsRecord]:
    """Yield the sentences of a file of columns: the word first, its tag last, blank lines between.

    A file with one column has no tags. Lines that begin a document are passed over. A table by its
    ending is read as `words_records` reads it.

    Raises:
        DataError: the file is missing, or a line has a word without a tag among others with one.
        LabelError: a tag is none.
    """
    check_is_file(path, has_known_ending=True)
    if format_of(path) in _NEVER_COLUMNS:
        yield from words_records(path)
        return
    is_tagged: bool | None = None
    words: list[str] = []
    tags: list[str] = []
    places: list[str] = []
    for number, line in enumerate(read_lines(path), start=1):
        place = f"line {number} of {str(path)!r}"
        cells = _cells(line)
        if cells and cells[0] != _DOCUMENT_START:
            is_tagged = _checked_width(cells, is_tagged, place)
            words.append(cells[0])
            tags.append(cells[-1])
            places.append(place)
        elif words:
            yield _sentence(words, tags if is_tagged else None, places)
            words, tags, places = [], [], []
    if words:
        yield _sentence(words, tags if is_tagged else None, places)


def read_slots(path: Path) -> Iterator[WordsRecord]:
    """Yield the sentences of a folder with `seq.in`, `seq.out` and `label`, a sentence a line.

    Tags may lack, and the label, the intent of the sentence, which becomes its subset.

    Raises:
        DataError: `seq.in` is missing, or the files differ in lines or words.
        LabelError: a tag is none.
    """
    folder = path if path.is_dir() else path.parent
    files = {name: _packed_or_plain(folder / name) for name in ("seq.in", "seq.out", "label")}
    source = files["seq.in"]
    if source is None:
        raise DataError(
            "A folder of slots must hold `seq.in`, and `seq.out` for the tags. Received:"
            f" {str(folder)!r} without it. Check the path and the format."
        )
    lines = [read_lines(file) if file else None for file in files.values()]
    for number, row in enumerate(zip_longest(*(each or () for each in lines)), start=1):
        place = f"line {number} of {str(source)!r}"
        missing = [
            name
            for name, file, cell in zip(files, files.values(), row, strict=True)
            if file and cell is None
        ]
        if missing:
            raise DataError(
                f"The files of a folder of slots must have as many lines. Received: {place} and no"
                f" such line of `{missing[0]}`. Copy the folder again."
            )
        words, tags, intent = row
        if words.strip():
            spelled = None if tags is None else tags.split()
            yield words_record(words.split(), spelled, place, subset=(intent or "").strip())


def words_records(path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> Iterator[WordsRecord]:
    """Yield the sentences of a table; words and tags are lists, or a text with spaces between.

    Raises:
        DataError: words and tags differ in number, or are no texts.
        LabelError: a tag is none.
    """
    for row in Columns(_PARTS, columns).read(path):
        cells, place = row.cells, row.place
        words = _strings(cells["words"], "word", place)
        tags = None if cells["tags"] in (None, "") else _strings(cells["tags"], "tag", place)
        name, subset = name_of(cells["id"]), name_of(cells["subset"])
        yield words_record(words, tags, place, id=name, subset=subset)


def words_record(
    words: Sequence[str],
    tags: Sequence[str] | None,
    place: str,
    *,
    id: str = "",
    subset: str = "",
) -> WordsRecord:
    """Return a record of words and the tags of any scheme.

    Raises:
        DataError: there is no word, or another number of tags.
        LabelError: a tag is none.
    """
    if not words or (tags is not None and len(tags) != len(words)):
        count = "none" if tags is None else str(len(tags))
        raise DataError(
            "A sentence must have words, and a tag for each. Received:"
            f" {len(words)} words and {count} tags in {place}. Mend it."
        )
    return WordsRecord(
        tuple(words),
        None if tags is None else tuple(to_bio(tags, [place] * len(tags))),
        id,
        subset,
        place,
    )


def to_bio(tags: Sequence[str], places: Sequence[str]) -> list[str]:
    """Return tags of any scheme as BIO; `places` name each for messages.

    Raises:
        LabelError: a tag is neither O nor a prefix, a hyphen and a type.

    >>> to_bio(["I-PER", "I-PER", "O", "S-LOC", "I-LOC"], [""] * 5)
    ['B-PER', 'I-PER', 'O', 'B-LOC', 'B-LOC']
    """
    found: list[str] = []
    last_type, is_over = "", True
    for tag, place in zip(tags, places, strict=True):
        if not _TAG.fullmatch(tag):
            raise LabelError(
                "A tag must be O, or B, I, E, S, L or U with a hyphen and a type. Received:"
                f" {tag[:40]!r} in {place}. Correct it, or check that the tag is the last column."
            )
        prefix, _, kind = tag.partition("-")
        begins = prefix in _BEGINS or is_over or kind != last_type
        found.append(tag if tag == "O" else f"{'B' if begins else 'I'}-{kind}")
        last_type, is_over = kind, tag == "O" or prefix in _ENDS
    return found


def _cells(line: str) -> list[str]:
    """Return the columns of a line: between tabs if it has any, else between spaces."""
    stripped = line.strip(" \t")
    if not stripped:
        return []
    if "\t" in stripped:
        return [cell.strip(" ") for cell in stripped.split("\t")]
    return _SPACES.split(stripped)


def _checked_width(cells: list[str], is_tagged: bool | None, place: str) -> bool:
    """Return whether a line has a tag, which must be so for all or none."""
    has_tag = len(cells) > 1
    if is_tagged is None or has_tag == is_tagged:
        return has_tag
    raise DataError(
        "Every word must have a tag in the last column, or none. Received: "
        f"{place} {'with' if has_tag else 'without'} one, after lines"
        f" {'without' if has_tag else 'with one'}. Mend the line."
    )


def _sentence(words: list[str], tags: list[str] | None, places: list[str]) -> WordsRecord:
    """Make a record whose place is its first line's."""
    found = None if tags is None else tuple(to_bio(tags, places))
    return WordsRecord(tuple(words), found, place=places[0])


def _packed_or_plain(path: Path) -> Path | None:
    """Return the file, or the packed one; None where there is neither."""
    packed = [path, *(path.with_name(path.name + ending) for ending in PACKINGS)]
    return next((file for file in packed if file.is_file()), None)


def _strings(value: object, part: str, place: str) -> list[str]:
    """Return the texts of a list, or those between the spaces of one text."""
    several = list_of(value)
    if several is None:
        several = text_of(value, part, place).split()
    return [text_of(each, part, place) for each in several]
