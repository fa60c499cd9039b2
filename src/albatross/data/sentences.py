"""Running text to sentences by rule: end marks, closers, and what a sentence starts with."""

from __future__ import annotations

import re

# An end mark, its closers, then space; or a full-width end mark, which needs no space after it.
# The look-behind and the possessive `++` keep a row of a million dots from taking quadratic time.
_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s)"  # noqa: RUF001 (curly quotes are meant)
    r"|[。！？]+[」』”’）]*"  # noqa: RUF001 (full-width marks are meant)
)
_NOT_SPACE = re.compile(r"\S")
# Words before a full stop that end no sentence; lower case, without the stop.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof rev gen col lt sgt capt st jr sr vs etc"  # noqa: SIM905 (reads better)
    " inc ltd co corp no vol fig ed eds al e.g i.e cf ca approx dept est"
    " jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k".split()
)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, stripped, none of them empty.

    A full stop after an abbreviation, an initial or before a lower-case word does not end a
    sentence.

    >>> split_sentences("Dr. Gray saw it. It flew! 遠い。近い。")
    ['Dr. Gray saw it.', 'It flew!', '遠い。', '近い。']
    """
    sentences, start = [], 0
    for match in _END.finditer(text):
        if _ends_sentence(text, match.start(), match.end()):
            sentences.append(text[start : match.end()].strip())
            start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends_sentence(text: str, mark: int, end: int) -> bool:
    """Whether the mark between these positions is the end of a sentence."""
    if text[mark] not in ".…":
        return True
    following = _NOT_SPACE.search(text, end)
    if following and following[0].islower():
        return False
    words = text[max(0, mark - 20) : mark].split()
    word = words[-1].lstrip("(\"'“‘[").lower() if words else ""  # noqa: RUF001 (a quote)
    is_initial = len(word) == 1 and word.isalpha() and word != "i"
    return word not in _ABBREVIATIONS and not is_initial
