"""Questions with answers to choose from: RACE, DREAM, SWAG, and tables of such questions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from albatross.data.columns import NO_COLUMNS, Columns, Part
from albatross.data.records import (
    HIDDEN,
    ID,
    SUBSET,
    ChoiceRecord,
    label_of,
    list_of,
    name_of,
    text_of,
)
from albatross.data.tables import Row, read_json_file, read_rows
from albatross.data.text_files import format_of, read_lines
from albatross.errors import DataError, LabelError

_PARTS = {
    "context": Part(("context", "passage", "article", "premise", "ctx")),
    "question": Part(("question", "query", "goal")),
    "choices": Part(("choices", "options", "endings")),
    "label": Part(("label", "answer", "answerkey", "correct"), may_lack=True),
    "id": ID,
    "subset": SUBSET,
}
_PARTS_OF_TEXT = ("context", "question")
# Columns of one choice each: choice0, option_1, ending2, answer_a.
_ONE_CHOICE = re.compile(r"(choice|option|ending|answer|sol)[ _-]?(\d+|[a-h])", re.IGNORECASE)
_SWAG = {
    "context": Part(("sent1",), is_needed=True),
    "question": Part(("sent2",), is_needed=True),
    "label": Part(("label",), may_lack=True),
    "id": Part(("", "id"), in_order=True),
}
_RACE_SUBSETS = ("middle", "high")
# All passages of a folder in one file, as some programs want RACE.
_RACE_JOINED = "all"
_PLACE_NAME = re.compile(r"[A-Z]")


def choice_records(path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> Iterator[ChoiceRecord]:
    """Yield the questions of a table.

    The choices are a list, a cell that spells one in JSON, or columns such as choice0, choice1.
    The label is the number of the right choice from 0, its letter, or its text.

    Raises:
        DataError: a row lacks a context and a question, or has fewer than two choices.
        LabelError: a label is none of its choices, or could be two.
    """
    finder = Columns(_PARTS, columns)
    for row in read_rows(path, has_header=finder.has_header):
        parts, place = finder.parts(row), row.place
        context, question = (_text_or_none(parts.get(key), key, place) for key in _PARTS_OF_TEXT)
        choices = _choices(parts.get("choices"), row)
        if (context is None and question is None) or len(choices) < 2:
            raise DataError(
                "A choice needs a column `context` or `question`, and two `choices`: a list, or"
                f" columns choice0, choice1. Received: {place} with the columns"
                f" {', '.join(row.cells) or 'none'}, {len(choices)} choices. Name the columns so,"
                " or say which is meant by `columns`."
            )
        label = label_of(parts.get("label"), place)
        yield ChoiceRecord(
            context or "",
            question or "",
            choices,
            _number_of(label, choices, place),
            name_of(parts.get("id")),
            name_of(parts.get("subset")),
            place,
        )


def read_swag(path: Path) -> Iterator[ChoiceRecord]:
    """Yield the questions of SWAG.

    The context is the first sentence, the question the start of the second, which a choice ends.

    Raises:
        DataError: the file is laid out otherwise, or a row has fewer than two choices.
    """
    finder = Columns(_SWAG)
    for row in read_rows(path):
        parts = finder.parts(row)
        context, question = (text_of(parts[key], key, row.place) for key in _PARTS_OF_TEXT)
        label, choices = label_of(parts.get("label"), row.place), _choices(None, row)
        if len(choices) < 2:
            raise DataError(
                "A row of SWAG needs columns ending0, ending1 and so on. Received:"
                f" {len(choices)} of them filled in {row.place}. Check the format."
            )
        yield ChoiceRecord(
            context,
            question,
            choices,
            _number_of(label, choices, row.place),
            name_of(parts.get("id")),
            place=row.place,
        )


def read_dream(path: Path) -> Iterator[ChoiceRecord]:
    """Yield the questions of DREAM: the context is the dialogue, a turn a line.

    Raises:
        DataError: the file cannot be read or is laid out otherwise.
    """
    try:
        for turns, questions, name in read_json_file(path):
            for number, question in enumerate(_list(questions)):
                place = f"question {number + 1} of {str(name)!r} in {str(path)!r}"
                choices = _texts(question["choice"], "choice", place)
                answer = label_of(question.get("answer"), place)
                yield ChoiceRecord(
                    "\n".join(_texts(turns, "turn", place)),
                    text_of(question["question"], "question", place),
                    choices,
                    _number_of(answer, choices, place, by_text=True),
                    f"{name}-{number}",
                    place=place,
                )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _other_layout(
            "DREAM", "a list of [turns, questions, id]", str(path), error
        ) from error


# === RACE ===


def read_race(path: Path) -> Iterator[ChoiceRecord]:
    """Yield the questions of RACE, whose subsets are middle and high.

    The path is a folder with the passages of one or both subsets, N.txt, or a file with a passage
    a line.

    Raises:
        DataError: there is no passage, or one is laid out otherwise.
    """
    if not path.exists():
        raise DataError(
            f"RACE must be a folder of N.txt or a file. Received: {str(path)!r}: no such place."
            " Check the path."
        )
    for file in _race_files(path) if path.is_dir() else [path]:
        inside = file.parent.name.lower()
        for number, line in enumerate(read_lines(file), start=1):
            if line.strip():
                place = f"line {number} of {str(file)!r}"
                yield from _race_passage(line, place, inside if inside in _RACE_SUBSETS else "")


def _race_files(folder: Path) -> list[Path]:
    """Return the files of passages by their numbers; one of all passages only where it is alone."""
    files = [path for path in folder.rglob("*") if format_of(path) == ".txt" and path.is_file()]
    single = [path for path in files if path.name.partition(".")[0] != _RACE_JOINED]
    with_single = {path.parent for path in single}
    joined = [path for path in files if path not in single and path.parent not in with_single]
    return sorted([*single, *joined], key=lambda path: (path.parent, _by_number(path)))


def _by_number(path: Path) -> tuple[int, str]:
    """Sort 9.txt before 10.txt."""
    stem = path.name.partition(".")[0]
    return (int(stem) if stem.isdecimal() else -1, stem)


def _race_passage(line: str, place: str, subset: str) -> Iterator[ChoiceRecord]:
    """Yield the questions of a passage."""
    try:
        passage = json.loads(line)
        name, answers = str(passage["id"]), passage.get("answers")
        known = next((each for each in _RACE_SUBSETS if name.startswith(each)), "")
        questions, options = _list(passage["questions"]), _list(passage["options"])
        letters = _list(answers) if answers else [None] * len(questions)
        if not len(questions) == len(options) == len(letters):
            raise ValueError(
                f"{len(questions)} questions, {len(options)} options, {len(letters)} answers"
            )
        for number, question in enumerate(questions):
            choices = _texts(options[number], "choice", place)
            yield ChoiceRecord(
                text_of(passage["article"], "article", place),
                text_of(question, "question", place),
                choices,
                None if letters[number] is None else _letter(letters[number], choices, place),
                f"{name}-{number}",
                subset or known,
                place,
            )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        layout = "a JSON object with id, article, questions, options and answers"
        raise _other_layout("RACE", layout, place, error) from error


# === Choices and labels ===


def _choices(value: object, row: Row) -> tuple[str, ...]:
    """Return the choices of a cell, or of the columns that hold one each."""
    several = list_of(value)
    if value is None:
        names = sorted(filter(_ONE_CHOICE.fullmatch, row.cells), key=_place_of)
        several = [row.cells[name] for name in names]
        while several and _is_empty(several[-1]):  # a question with fewer choices than others
            several.pop()
        if any(map(_is_empty, several)):
            raise DataError(
                "Choices must stand in the first of their columns. Received: an empty one before"
                f" others in {row.place}. Move them together; a label that is a number, too."
            )
    return tuple(text_of(choice, "choice", row.place) for choice in several or ())


def _place_of(name: str) -> tuple[int, str]:
    """Sort choice9 before choice10.

    >>> sorted(["choice10", "choice9"], key=_place_of)
    ['choice9', 'choice10']
    """
    place = _ONE_CHOICE.fullmatch(name)
    assert place is not None
    return int(place[2]) if place[2].isdecimal() else 0, name


def _is_empty(choice: object) -> bool:
    """Whether a cell holds no choice."""
    return choice is None or (isinstance(choice, str) and not choice.strip())


def _list(value: Any) -> list[Any]:
    """Return what must be a list."""
    if isinstance(value, list):
        return value
    raise TypeError(f"{str(value)[:40]!r} in place of a list")


def _texts(value: Any, part: str, place: str) -> tuple[str, ...]:
    """Return the texts of a list."""
    return tuple(text_of(each, part, place) for each in _list(value))


def _text_or_none(value: object, part: str, place: str) -> str | None:
    """Return a text that may lack."""
    return None if value is None else text_of(value, part, place)


def _number_of(
    label: str | None, choices: tuple[str, ...], place: str, *, by_text: bool = False
) -> int | None:
    """Return the number of the choice that a label names by number, letter or text, if one does."""
    if label is None or (label == HIDDEN and HIDDEN not in choices):
        return None
    found = {number for number, choice in enumerate(choices) if choice.strip() == label.strip()}
    if not by_text:
        if label.isdecimal() and int(label) < len(choices):
            found.add(int(label))
        if _PLACE_NAME.fullmatch(label) and ord(label) - ord("A") < len(choices):
            found.add(ord(label) - ord("A"))
    if len(found) == 1:
        return found.pop()
    fault = f"which could be each of {sorted(found)}" if found else "which is none of them"
    raise LabelError(
        f"A label must name one of the {len(choices)} choices: its number from 0, its letter from"
        f" A, or its text. Received: {label[:40]!r} in {place}, {fault}. Correct it."
    )


def _letter(letter: Any, choices: tuple[str, ...], place: str) -> int:
    """Return the number of a letter from A."""
    number = ord(letter) - ord("A") if isinstance(letter, str) and len(letter) == 1 else -1
    if 0 <= number < len(choices):
        return number
    raise LabelError(
        f"An answer must be a letter from A, one for each of {len(choices)} choices. Received:"
        f" {letter!r} in {place}. Correct it."
    )


def _other_layout(name: str, layout: str, place: str, error: Exception) -> DataError:
    """Return the error for a file that is not laid out as it was published."""
    if isinstance(error, DataError):
        return error
    reason = f"no {error}" if isinstance(error, KeyError) else str(error)
    return DataError(
        f"A file of {name} must be {layout}. Received: {place}: {reason}. Check the format."
    )
