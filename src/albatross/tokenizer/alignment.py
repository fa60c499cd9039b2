"""Where each piece stands: SentencePiece's spans, put right and carried back to the original.

A span is a half-open pair of character positions. Lists of pairs up to the last step: most texts
are a few dozen tokens, where arrays only cost.
"""

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

from albatross.tokenizer.normalization import NormalizedText

Span = tuple[int, int]

# Scripts that put no space between words: Thai to Tibetan, Burmese, Khmer, kana, Han.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)

# Before a piece that begins a word (SentencePiece), and before one that does not (WordPiece).
WORD_MARK, CONTINUATION = "▁", "##"
WHITE_SPACE = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# What SentencePiece's own normaliser turns into a space, beside white space itself.
SPACE_LIKE = WHITE_SPACE + WORD_MARK + "\ufffd\u200b\ufeff"


def begins_word(piece: str) -> bool:
    """Whether a SentencePiece piece begins a word.

    One does that has the mark of a space; and any of a script without spaces, whose words nothing
    shows: else a whole Chinese sentence would be one word. Signs above and below letters go with
    what is before them.

    >>> [begins_word(piece) for piece in ("▁gull", "s", "海鸥", "น", "\u0e49")]
    [True, False, True, True, False]
    """
    if piece.startswith(WORD_MARK):
        return True
    return bool(_UNSPACED.match(piece)) and not unicodedata.category(piece[0]).startswith("M")


def text_spans(spans: list[Span], pieces: list[str], text: str) -> list[Span]:
    """Put SentencePiece's spans right: no space around a word, no piece with text left empty."""
    spans = list(spans)
    for index in range(len(spans) - 2, -1, -1):
        start, end = spans[index]
        # Of the pieces made of one character SentencePiece gives its span to the last alone.
        if start == end == spans[index + 1][0] and pieces[index].strip(WORD_MARK):
            spans[index] = (start, spans[index + 1][1])
    return [without_space(start, end, text) for start, end in spans]


def without_space(start: int, end: int, text: str) -> Span:
    """Take white space off both ends of a span, unless that is all there is."""
    whole = text[start:end]
    ink = whole.lstrip(SPACE_LIKE)
    if not ink:
        return start, end
    return end - len(ink), end - len(ink) + len(ink.rstrip(SPACE_LIKE))


def divide_span(parts: list[str], start: int, end: int) -> list[Span]:
    """Divide a span among its pieces from the right; all share it where characters are too few."""
    widths = [len(part.replace(WORD_MARK, "")) for part in parts]
    if sum(widths) > end - start:
        return [(start, end)] * len(parts)
    edges = [end - sum(widths[index:]) for index in range(len(parts))]
    return [(edge, edge + width) for edge, width in zip(edges, widths, strict=True)]


def original_spans(spans: list[Span], normalized: NormalizedText) -> NDArray[np.int64]:
    """Carry spans of the normalised text over to the original: (tokens, 2)."""
    places = np.array(spans, dtype=np.int64).reshape(-1, 2)
    if not places.size or not normalized.text:
        return places
    starts, ends = normalized.offsets[:, 0], normalized.offsets[:, 1]
    found = np.empty_like(places)
    found[:, 0] = starts[np.minimum(places[:, 0], len(starts) - 1)]
    found[:, 1] = ends[np.maximum(places[:, 1] - 1, 0)]
    # An empty span stands before its character, at the end of the text behind the last one.
    found[places[:, 0] == len(starts), 0] = ends[-1]
    empty = places[:, 0] == places[:, 1]
    found[empty, 1] = found[empty, 0]
    np.maximum.accumulate(found[:, 1], out=found[:, 1])
    return found
