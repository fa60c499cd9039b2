"""The clean-up of text that ALBERT does before SentencePiece sees it, with the way back.

This file knows characters only: no pieces, no ids, no files.

The rules are those of the slow `AlbertTokenizer` of transformers 4: collapse white space, make two
backticks or two apostrophes a double quote, lower-case, NFKD, drop the combining marks, lower-case
again. The first lower-casing goes character by character, so a capital sigma never becomes a final
sigma there; only what NFKD turns into a capital sigma afterwards (mathematical letters) is lowered
with its neighbours in view.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from albatross.errors import DataError

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
LAST_WITHOUT_CLASS = "\u02ff"  # the combining classes begin at U+0300
NON_ASCII = re.compile(r"[^\x00-\x7f]")
QUOTES = re.compile("``|''")
_CONTROL_SPACES = "\t\v\f\r\x1c\x1d\x1e\x1f"
SPACES_OR_QUOTES = re.compile(r"\s+|``|''")


@dataclass(frozen=True, eq=False)
class NormalizedText:
    """A normalised text and where each of its characters came from."""

    text: str
    offsets: NDArray[np.int64]
    """(characters, 2): the half-open span of the original text behind each character of `text`."""


@dataclass(frozen=True)
class Normalizer:
    r"""ALBERT's normalisation; the field names are the keys of `tokenizer_config.json`.

    >>> Normalizer().normalize("  Ça\tva ``bien''  ")
    'ca va "bien"'
    """

    do_lower_case: bool = True
    """Lower-case the text; the published English vocabularies hold lower-case pieces only."""
    keep_accents: bool = False
    """Leave accents and compatibility characters alone: no NFKD, no mark dropped."""
    remove_space: bool = True
    """Make every run of white space one space, and none at the ends."""

    def normalize(self, text: str) -> str:
        """Return the text as SentencePiece is to see it; a lone surrogate becomes U+FFFD."""
        text = checked_text(text)
        if self.remove_space:
            text = " ".join(text.split())
        text = text.replace("``", '"').replace("''", '"')
        if text.isascii():
            return text.lower() if self.do_lower_case else text
        if self.do_lower_case:
            text = _lower_each(text)
        if not self.keep_accents:
            text = _without_marks(unicodedata.normalize("NFKD", text))
        return text.lower() if self.do_lower_case else text

    def normalize_batch(self, texts: Sequence[str]) -> list[str]:
        """Return what `normalize` gives for each text, several times as fast.

        ASCII texts are joined and cleaned together, and taken apart again; where white space has
        to be collapsed, or a text is not ASCII, each is done by itself.
        """
        is_ascii = [text.isascii() for text in map(checked_text, texts)]
        joined = "\n".join(compress(texts, is_ascii))
        if joined.count("\n") + 1 != sum(is_ascii) or _needs_collapsing(joined):
            return list(map(self.normalize, texts))
        joined = joined.replace("``", '"').replace("''", '"')
        lines = iter((joined.lower() if self.do_lower_case else joined).split("\n"))
        return [
            next(lines) if together else self.normalize(text)
            for text, together in zip(texts, is_ascii, strict=True)
        ]

    def normalize_with_offsets(self, text: str) -> NormalizedText:
        """Return the same text as `normalize`, and the original span of each of its characters.

        A dropped mark belongs to the character before it; all made of one share its span.
        """
        text = checked_text(text)
        normalized = self.normalize(text)
        starts = np.arange(len(text), dtype=np.int64)
        if text.isascii() and len(normalized) == len(text):  # nothing was collapsed: one to one
            return NormalizedText(normalized, np.stack((starts, starts + 1), axis=1))
        ends, counts = starts + 1, np.ones(len(text), dtype=np.int64)
        if not text.isascii():
            self._expand_characters(text, ends, counts)
        self._collapse_runs(text, ends, counts)
        offsets = np.stack((np.repeat(starts, counts), np.repeat(ends, counts)), axis=1)
        return NormalizedText(normalized, offsets)

    def _expand_characters(
        self, text: str, ends: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Set how many characters each one becomes; give the dropped marks to their bearers."""
        for match in NON_ASCII.finditer(text):
            counts[match.start()] = _width(match.group(), self.do_lower_case, self.keep_accents)
        marks = np.flatnonzero(counts == 0)
        if not marks.size:
            return
        positions = np.arange(len(text), dtype=np.int64)
        bearers = np.maximum.accumulate(np.where(counts > 0, positions, -1))[marks]
        borne = bearers >= 0
        np.maximum.at(ends, bearers[borne], marks[borne] + 1)

    def _collapse_runs(self, text: str, ends: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Let the first character of a run of space, or of a double quote, stand for all of it."""
        pattern = SPACES_OR_QUOTES if self.remove_space else QUOTES
        for match in pattern.finditer(text):
            start, end = match.span()
            counts[start + 1 : end] = 0
            ends[start] = max(ends[start], ends[end - 1])
            if match.group()[0] not in "`'" and (start == 0 or end == len(text)):
                counts[start] = 0


def checked_text(text: str) -> str:
    """Refuse what is not a `str`; replace each lone surrogate by U+FFFD, which keeps the length."""
    if not isinstance(text, str):
        raise DataError(
            f"A text must be a str. Received: {type(text).__name__}."
            " Decode bytes first, and hand over lists to `encode_batch`."
        )
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return LONE_SURROGATE.sub("\ufffd", text)
    return text


def checked_texts(texts: Iterable[str]) -> list[str]:
    """Return the texts as a list; refuse a single string, which would be read by characters."""
    if isinstance(texts, str | bytes):
        raise DataError(
            f"A batch must be a list of texts. Received: one {type(texts).__name__}."
            " Put it in a list, or call `encode`."
        )
    return list(texts)


def _needs_collapsing(lines: str) -> bool:
    """Whether an ASCII text has other white space than line feeds and single spaces in lines."""
    irregular = ("  ", " \n", "\n ", *_CONTROL_SPACES)
    return any(mark in lines for mark in irregular) or lines != lines.strip(" ")


def _lower_each(text: str) -> str:
    """Lower-case each character by itself; only capital sigma ever looks at its neighbours."""
    return text.replace("Σ", "σ").lower()  # noqa: RUF001


def _without_marks(text: str) -> str:
    """Drop the characters of a combining class; the set keeps the look-ups few."""
    for character in set(text):
        if character > LAST_WITHOUT_CLASS and unicodedata.combining(character):
            text = text.replace(character, "")
    return text


@lru_cache(maxsize=65536)
def _width(character: str, do_lower_case: bool, keep_accents: bool) -> int:
    """Return how many characters one becomes; its neighbours never change that."""
    if do_lower_case:
        character = character.lower()
    if not keep_accents:
        character = _without_marks(unicodedata.normalize("NFKD", character))
    return sum(len(each.lower()) for each in character) if do_lower_case else len(character)
