"""A text as words: where each stands, and which piece of the tokens begins it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray
from albatross.data.records import WordsRecord

# Words with inner signs such as don't, 3.5 and well-known; any other sign is a word of its own.
_WORD = re.compile(r"\w+(?:['\u2019.,\-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class TextWords(WordsRecord):
    """The words of a text, and the characters (first, one after the last) of each."""

    text: str = ""
    spans: tuple[tuple[int, int], ...] = ()


def words_of(text: str) -> TextWords:
    """Split a text into words and signs.

    >>> words_of("Don't pay $3.50!").words
    ("Don't", 'pay', '$', '3.50', '!')
    """
    found = list(_WORD.finditer(text))
    words = tuple(match.group() for match in found)
    return TextWords(words, text=text, spans=tuple(match.span() for match in found))


def first_pieces(words: Sequence[str], offsets: NDArray[np.int64]) -> IntArray:
    """Return the first token that stands in each word; -1 for a word without one: (words,)."""
    lengths = np.array([len(word) + 1 for word in words], dtype=np.int64)
    ends = np.cumsum(lengths) - 1
    starts = ends + 1 - lengths
    firsts = np.searchsorted(offsets[:, 0], starts, side="left")
    at = np.minimum(firsts, max(0, len(offsets) - 1))
    inside = (firsts < len(offsets)) & (offsets[at, 0] < ends) if len(offsets) else firsts < 0
    return np.where(inside, firsts, -1).astype(np.int64)


def laid_out(record: WordsRecord) -> tuple[str, Sequence[tuple[int, int]]]:
    """Return the text of a record and where its words stand."""
    if isinstance(record, TextWords):
        return record.text, record.spans
    spans, at = [], 0
    for word in record.words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(record.words), spans
