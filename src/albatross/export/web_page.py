"""A static page that answers in the browser: its files, and the vocabulary in JSON beside them.

What needs Python's tables of characters is written out here, so that the page cuts texts as the
model learned them whatever tables the browser has. The page's own files are in `page/`.
"""

from __future__ import annotations

import base64
import json
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from albatross.atomic import write_file
from albatross.errors import ConfigError
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task import Task
from albatross.tokenizer.alignment import WHITE_SPACE
from albatross.tokenizer.code_points import code_ranges
from albatross.tokenizer.folder import AnyTokenizer
from albatross.tokenizer.sentencepiece_file import (
    UNKNOWN_PENALTY,
    USER_DEFINED,
    read_sentencepiece,
)
from albatross.tokenizer.unigram import UnigramTokenizer

VOCABULARY_FILE = "vocabulary.json"
PAGE_FILES = ("index.html", "albatross.js", "tokenizer.js", "word_part.js")
# The kinds of task that `albatross.js` answers; of spans the plain head alone.
_KINDS = (
    *(ClassificationTask, MultiLabelTask, OrdinalTask, RegressionTask),
    *(SimilarityTask, SpansTask, TaggingTask),
)


def check_page(tokenizer: AnyTokenizer, tasks: Sequence[Task[Any]]) -> None:
    """Refuse what the page could not answer.

    Raises:
        ConfigError: the tokenizer is no SentencePiece model, or a task is of a kind it lacks.
    """
    lacks = type(tokenizer).__name__
    if isinstance(tokenizer, UnigramTokenizer):
        lacks = "one with such pieces" if read_sentencepiece(tokenizer.model).byte_fallback else ""
    if lacks:
        raise ConfigError(
            "A page needs a model that reads a SentencePiece vocabulary without pieces of bytes."
            f" Received: {lacks}. Export with `--single-file`, and write the page's tokenizer"
            " yourself."
        )
    lacking = [
        f"{task.name} ({task.kind})"
        for task in tasks
        if type(task) not in _KINDS or (isinstance(task, SpansTask) and task.beam)
    ]
    if lacking or not tasks:
        kinds = ", ".join(kind.kind for kind in _KINDS)
        raise ConfigError(
            f"A page answers tasks of these kinds: {kinds} without beams. Received:"
            f" {', '.join(lacking) or 'no task'}. Export with `--single-file` alone."
        )


def write_page(folder: Path, tokenizer: AnyTokenizer) -> None:
    """Write the page and what it reads into a folder that has `model.onnx` and `task.json`."""
    assert isinstance(tokenizer, UnigramTokenizer)
    content = json.dumps(vocabulary_of(tokenizer), ensure_ascii=False, separators=(",", ":"))
    write_file(folder / VOCABULARY_FILE, content.encode())
    for name in PAGE_FILES:
        shutil.copyfile(Path(__file__).parent / "page" / name, folder / name)


def vocabulary_of(tokenizer: UnigramTokenizer) -> dict[str, Any]:
    """Return what the page's tokenizer is made of."""
    file = read_sentencepiece(tokenizer.model)
    scores = file.scores()
    symbols = [piece.text for piece in file.pieces if piece.type == USER_DEFINED]
    return {
        "rules": {
            **asdict(tokenizer.normalizer),
            "add_dummy_prefix": file.add_dummy_prefix,
            "remove_extra_whitespaces": file.remove_extra_whitespaces,
        },
        "ids": {
            "unk": tokenizer.unk_id,
            "cls": tokenizer.cls_id,
            "sep": tokenizer.sep_id,
            "pad": tokenizer.pad_id,
        },
        "unknown_score": file.least_score - UNKNOWN_PENALTY,
        "symbols": symbols,
        **_character_classes(),
        "map": base64.b64encode(file.charsmap).decode(),
        "pieces": [piece.text for piece in file.pieces],
        # Nine digits are enough for a 32-bit number.
        "scores": [
            float(f"{scores[piece.text]:.9g}") if piece.text in scores else None
            for piece in file.pieces
        ],
    }


def character_class(holds: Callable[[str], bool]) -> str:
    r"""Return the inside of a JavaScript character class, in escapes alone.

    >>> character_class("abcx".__contains__)
    '\\u{61}-\\u{63}\\u{78}-\\u{78}'
    """
    return "".join(rf"\u{{{first:x}}}-\u{{{last:x}}}" for first, last in code_ranges(holds))


@cache
def _character_classes() -> Mapping[str, str]:
    """Return the kinds of characters that `tokenizer.js` tells apart, the same for all models."""
    return {
        "spaces": character_class(WHITE_SPACE.__contains__),
        "marks": character_class(lambda character: unicodedata.combining(character) > 0),
        "digits": character_class(str.isdigit),
        "unassigned": character_class(lambda character: unicodedata.category(character) == "Cn"),
    }
