"""A text as words: where each stands, and which piece of the tokens begins it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray
from albatross.data.records import WordsRecord

# What may stand in a word beside letters and marks: the joiners of scripts and the soft hyphen.
_JOINERS = "\u00ad\u200c\u200d"
# Marks are in the first two planes and, the selectors of variants, at the start of this one.
_PLANES, _SELECTORS = 0x20000, range(0xE0000, 0xE0200)


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
    found = list(_word().finditer(text))
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


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    """Return the pattern of words with inner signs: don't, 3.5, well-known; else a sign is a word.

    The marks of a letter or sign, such as accents and the vowels of Hindi, belong to it.
    """
    places = chain(range(_PLANES), _SELECTORS)
    marks = (chr(place) for place in places if unicodedata.category(chr(place)).startswith("M"))
    more = _JOINERS + "".join(marks)
    word = rf"\w[\w{more}]*"
    return re.compile(rf"{word}(?:['\u2019.,\-]{word})*|[^\w\s][{more}]*")
