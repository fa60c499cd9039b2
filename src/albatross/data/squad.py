"""Questions whose answers stand in a context: SQuAD 1.1 and 2.0, and tables of such questions."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from albatross.data.columns import NO_COLUMNS, Columns, Part
from albatross.data.records import ID, SUBSET, SpanRecord, SpanText, name_of, text_of
from albatross.data.tables import read_json_file
from albatross.errors import AlbatrossWarning, DataError

_PARTS = {
    "question": Part(("question", "query"), is_needed=True),
    "context": Part(("context", "passage", "paragraph", "document", "article"), is_needed=True),
    "answers": Part(("answers", "answer", "answer_text"), may_lack=True),
    "start": Part(("start", "answer_start"), may_lack=True),
    "is_impossible": Part(("is_impossible", "impossible"), may_lack=True),
    "id": ID,
    "subset": SUBSET,
}
# An answer is looked for so many characters around its start: COVID-QA errs by up to three.
_BESIDE = 16
_TRUTHS = {"true": True, "1": True, "false": False, "0": False, "": None, "none": None}


def read_squad(path: Path) -> Iterator[SpanRecord]:
    """Yield the questions of a file in SQuAD's layout; the subset is the article's title.

    An answer that stands a few characters beside the place that the file says is moved there, as
    counts of other characters go wrong in published files; one that does not is dropped, and a
    question that loses all of its answers is passed over. All are counted and told once.

    Raises:
        DataError: the file cannot be read, is no JSON, or is laid out otherwise.
    """
    moved: list[str] = []
    dropped: list[str] = []
    passed_over = 0
    for question, context, title in _questions(path):
        place = f"question {_id_of(question)!r} of {str(path)!r}"
        record = _squad_record(question, context, title, place)
        answers = tuple(_near(answer, record.context) for answer in record.answers)
        right = tuple(answer for answer in answers if answer)
        if right != record.answers:
            dropped += [place] * (len(answers) - len(right))
            moved += [place] * len([each for each in right if each not in record.answers])
            record = replace(record, answers=right)
        if right or not answers:
            yield record
        else:
            passed_over += 1
    _tell(moved, dropped, passed_over)


def span_records(path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> Iterator[SpanRecord]:
    """Yield the questions of a table.

    Answers are a list of texts, of objects with `text` and `start`, or Hugging Face's object of
    two lists; or one text, with a column `start`. A start that is not given is looked for, and
    must be the only one. An empty list says that there is no answer.

    Raises:
        DataError: an answer does not stand in its context, or a row breaks another rule.
    """
    for row in Columns(_PARTS, columns).read(path):
        cells, place = row.cells, row.place
        context = text_of(cells["context"], "context", place)
        pairs = _answer_pairs(cells["answers"], cells["start"], place)
        is_impossible = _truth(cells["is_impossible"], place)
        answers = tuple(_placed(text, start, context, place) for text, start in pairs or ())
        if is_impossible and answers:
            raise DataError(
                f"A question without an answer must have none. Received: {place} with"
                f" {answers[0].text[:40]!r} and is_impossible. Remove one of them."
            )
        is_labelled = bool(pairs or is_impossible) or (pairs == [] and is_impossible is None)
        yield SpanRecord(
            text_of(cells["question"], "question", place),
            context,
            answers,
            is_labelled and not answers,
            is_labelled,
            name_of(cells["id"]),
            name_of(cells["subset"]),
            place,
        )


# === SQuAD ===


def _questions(path: Path) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield each question with its context and its article's title."""
    content = read_json_file(path)
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield question, paragraph["context"], str(article.get("title", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "A file in SQuAD's layout must have data, paragraphs, context and qas, one in the"
            f" other. Received: {str(path)!r}: {_reason(error)}. Check the format."
        ) from error


def _squad_record(question: dict[str, Any], context: str, title: str, place: str) -> SpanRecord:
    """Make a record of a question; answers that are published as an empty list are none."""
    try:
        given = question.get("answers")
        answers = tuple(
            SpanText(text_of(answer["text"], "answer", place), int(answer["answer_start"]))
            for answer in given or ()
        )
        is_impossible = bool(question.get("is_impossible", given == []))
        is_labelled = bool(answers) or (given is not None and is_impossible)
        return SpanRecord(
            text_of(question["question"], "question", place),
            text_of(context, "context", place),
            () if is_impossible else answers,
            is_impossible,
            is_labelled,
            name_of(question["id"]),
            title,
            place,
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "A question in SQuAD's layout must have id, question and answers of text and"
            f" answer_start. Received: {place}: {_reason(error)}. Mend it."
        ) from error


def _id_of(question: object) -> str:
    """Return what a question is called."""
    return name_of(question.get("id")) if isinstance(question, dict) else ""


def _near(answer: SpanText, context: str) -> SpanText | None:
    """Return an answer where it stands, at its start or the nearest place beside it."""
    if _stands(answer, context):
        return answer
    starts = range(max(0, answer.start - _BESIDE), answer.start + _BESIDE + 1)
    nearest = sorted(starts, key=lambda start: abs(start - answer.start))
    moved = (SpanText(answer.text, start) for start in nearest)
    return next((each for each in moved if _stands(each, context)), None)


def _tell(moved: list[str], dropped: list[str], passed_over: int) -> None:
    """Warn once of the answers that do not stand where the file says."""
    if moved or dropped:
        warnings.warn(
            "An answer must stand in its context at `answer_start`. Received:"
            f" {len(moved) + len(dropped)} that do not, the first at {(moved + dropped)[0]}."
            f" {len(moved)} that stand at most {_BESIDE} characters beside it are moved,"
            f" {len(dropped)} are dropped, and {passed_over} questions left without an answer are"
            " passed over.",
            AlbatrossWarning,
            stacklevel=3,
        )


def _stands(answer: SpanText, context: str) -> bool:
    """Whether an answer stands where it says."""
    return answer.start >= 0 and context.startswith(answer.text, answer.start) and answer.text != ""


# === Tables ===


def _answer_pairs(value: object, start: object, place: str) -> list[tuple[str, object]] | None:
    """Return the text and the start of each answer, as far as given; None where none is known."""
    value = _unfolded(value)
    if isinstance(value, dict):
        start = _start_of(value)
        value = value.get("text")
    if value is None or value == "":
        return None
    texts = value if isinstance(value, list) else [value]
    starts = start if isinstance(start, list) else [start] * len(texts)
    if len(starts) != len(texts):
        raise DataError(
            "Every answer must have a start, or none. Received:"
            f" {len(texts)} answers and {len(starts)} starts in {place}. Mend the row."
        )
    pairs: list[tuple[str, object]] = []
    for item, at in zip(texts, starts, strict=True):
        if isinstance(item, dict):
            pairs.append((text_of(item.get("text"), "answer", place), _start_of(item)))
        else:
            pairs.append((text_of(item, "answer", place), at))
    return pairs


def _start_of(answer: Mapping[Any, Any]) -> object:
    """Return the start of an answer, under either of the names in use."""
    return answer.get("start", answer.get("answer_start"))


def _unfolded(value: object) -> object:
    """Return the answers that a cell spells in JSON; any other cell as it is."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    is_list = isinstance(found, list) and all(isinstance(item, str | dict) for item in found)
    return found if is_list or isinstance(found, dict) else value


def _placed(text: str, start: object, context: str, place: str) -> SpanText:
    """Return an answer with its start, looked for if not given.

    Raises:
        DataError: the answer does not stand there, or it is not clear where it does.
    """
    if start is None or start == "":
        at = context.find(text)
        if text and at >= 0 and context.find(text, at + 1) < 0:
            return SpanText(text, at)
        fault = (
            "which stands in the context more than once" if text and at >= 0 else "no part of it"
        )
        raise DataError(
            "An answer without its start must stand in the context once. Received:"
            f" {text[:40]!r}, {fault}, in {place}. Give its `start`, a character of the context."
        )
    spelled = str(start).removesuffix(".0")
    answer = SpanText(text, int(spelled) if spelled.isdecimal() else -1)
    if not _stands(answer, context):
        raise DataError(
            "An answer must stand in its context at its start. Received:"
            f" {text[:40]!r} at {start} in {place}. Correct the start: it counts characters from 0."
        )
    return answer


def _truth(value: object, place: str) -> bool | None:
    """Return whether a cell says yes; None for an empty one."""
    spelled = str(value).strip().lower().removesuffix(".0")
    if spelled in _TRUTHS:
        return _TRUTHS[spelled]
    raise DataError(
        f"`is_impossible` must be true or false. Received: {value!r} in {place}. Correct it."
    )


def _reason(error: Exception) -> str:
    """Say what lacks or is of another kind."""
    return f"no {error}" if isinstance(error, KeyError) else str(error)
