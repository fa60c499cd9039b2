"""BERT's clean-up of text and its cut into words, with the way back.

This file knows characters only: no pieces, no ids, no files.

The rules are those of the slow `BertTokenizer` of transformers 4: lower-case each character, drop
control characters, put spaces around Chinese ones, NFC, and where accents go, NFD without the
marks; then a word ends at white space, and each punctuation mark is a word. Two steps are not in
Google's `tokenization.py`: the NFC, which only shows where accents stay, and the lower-casing by
character, after which a capital sigma at the end of a word becomes no final sigma.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.tokenizer.normalization import checked_text

# Blocks of ideographs: unified, extensions A to E, compatibility and its supplement.
CHINESE_BLOCKS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
# Vowels and final consonants of Hangul compose with what stands before them.
JOINING_JAMO = range(0x1161, 0x11C3)


@dataclass(frozen=True)
class Word:
    """A word after the clean-up and where each of its characters came from."""

    text: str
    offsets: list[tuple[int, int]]
    """(characters): the half-open span of the original text behind each character."""


@dataclass(frozen=True)
class BasicWords:
    r"""BERT's clean-up; the field names are the keys of `tokenizer_config.json`.

    >>> BasicWords().split("Ça va,\tdoc? 海鸟")
    ['ca', 'va', ',', 'doc', '?', '海', '鸟']
    """

    do_lower_case: bool = True
    """Lower-case the text."""
    tokenize_chinese_chars: bool = True
    """Make each Chinese character a word."""
    strip_accents: bool | None = None
    """Drop the accents; None does so if the text is lower-cased."""

    @property
    def drops_accents(self) -> bool:
        """What `strip_accents` comes to."""
        return self.do_lower_case if self.strip_accents is None else self.strip_accents

    def split(self, text: str) -> list[str]:
        """Return the words of a text; a lone surrogate is dropped as control characters are."""
        return self._finish(checked_text(text).translate(self._clean_table)).split()

    def split_with_offsets(self, text: str) -> list[Word]:
        """Return the same words as `split`, and the original span of each of their characters.

        A dropped mark belongs to the character before it; all made of one share its span.
        """
        characters: list[str] = []
        offsets: list[tuple[int, int]] = []
        for cluster, places in self._clusters(checked_text(text)):
            made = [self._finish(character) for character in cluster]
            whole = self._finish(cluster)
            if "".join(made) != whole:  # characters that were composed share all their places
                span = (places[0], places[-1] + 1)
                characters += whole
                offsets += [span] * len(whole)
                continue
            for part, place in zip(made, places, strict=True):
                if not part and offsets:
                    offsets[-1] = (offsets[-1][0], place + 1)
                characters += part
                offsets += [(place, place + 1)] * len(part)
        return list(_words(characters, offsets))

    def _finish(self, text: str) -> str:
        """Compose, drop accents, and put spaces around punctuation."""
        text = unicodedata.normalize("NFC", text)
        if not self.drops_accents:
            return text.translate(_PART)
        return unicodedata.normalize("NFD", text).translate(_PART_AND_STRIP)

    def _clusters(self, text: str) -> Iterator[tuple[str, list[int]]]:
        """Cut the cleaned text where neither composing nor decomposing looks across."""
        cluster, places = "", list[int]()
        for place, original in enumerate(text):
            for character in original.translate(self._clean_table):
                if cluster and not _may_join(character):
                    yield cluster, places
                    cluster, places = "", []
                cluster += character
                places.append(place)
        if cluster:
            yield cluster, places

    @property
    def _clean_table(self) -> "_CleanTable":
        return _CLEAN[self.do_lower_case, self.tokenize_chinese_chars]


class _CleanTable(dict[int, str]):
    """What each character becomes in the first pass, found when it is first met."""

    def __init__(self, do_lower_case: bool, tokenize_chinese_chars: bool) -> None:
        super().__init__()
        self.do_lower_case = do_lower_case
        self.tokenize_chinese_chars = tokenize_chinese_chars

    def __missing__(self, code: int) -> str:
        character = chr(code).lower() if self.do_lower_case else chr(code)
        self[code] = "".join(map(self._clean, character))
        return self[code]

    def _clean(self, character: str) -> str:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            return " "
        if category.startswith("C") or character == "\ufffd":
            return ""
        if self.tokenize_chinese_chars and is_chinese(character):
            return f" {character} "
        return character


class _PartTable(dict[int, str]):
    """What each character becomes in the last pass, found when it is first met."""

    def __init__(self, drops_accents: bool) -> None:
        super().__init__()
        self.drops_accents = drops_accents

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if self.drops_accents and unicodedata.category(character) == "Mn":
            self[code] = ""
        else:
            self[code] = f" {character} " if is_punctuation(character) else character
        return self[code]


SWITCH = (False, True)
_CLEAN = {(lower, chinese): _CleanTable(lower, chinese) for lower in SWITCH for chinese in SWITCH}
_PART, _PART_AND_STRIP = _PartTable(False), _PartTable(True)


def is_chinese(character: str) -> bool:
    """Whether a character stands in a block of ideographs."""
    return any(first <= ord(character) <= last for first, last in CHINESE_BLOCKS)


def is_punctuation(character: str) -> bool:
    """Whether Unicode says so, or it is any ASCII character beside letters, digits and space."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


def _may_join(character: str) -> bool:
    """Whether a character may change with the one before it: a mark, or a joining jamo."""
    return unicodedata.category(character).startswith("M") or ord(character) in JOINING_JAMO


def _words(characters: list[str], offsets: list[tuple[int, int]]) -> Iterator[Word]:
    """Cut at white space."""
    start = 0
    for index in range(len(characters) + 1):
        if index == len(characters) or characters[index].isspace():
            if index > start:
                yield Word("".join(characters[start:index]), offsets[start:index])
            start = index + 1


def span_array(spans: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return spans as an array: (tokens, 2)."""
    return np.array(spans, dtype=np.int64).reshape(-1, 2)
