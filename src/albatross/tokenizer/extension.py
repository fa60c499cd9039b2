"""A vocabulary with more words in it; what the old one cut stays cut as it was.

The new pieces follow the old ones. As any piece of such vocabularies, a new one also stands at the
start of longer words: with `gull` in it, `gulls` may be cut into `gull` and `s`. A text in which no
word starts with a new one gives the ids that it gave before.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from albatross.errors import DataError, TokenizerError
from albatross.tokenizer.alignment import WORD_MARK
from albatross.tokenizer.folder import AnyTokenizer
from albatross.tokenizer.sentencepiece_file import (
    UNKNOWN_PENALTY,
    Piece,
    append_pieces,
    best_score,
    read_sentencepiece,
)
from albatross.tokenizer.tokenizer_json import JSON_FILE, JsonTokenizer
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer

# By this much a new piece beats the best old cut. Sums of float32 scores lose what is smaller: a
# text of 100,000 pieces sums up to about a million, where their steps are 1/16.
_ADVANTAGE = 0.25


@dataclass(frozen=True)
class Extension:
    """A vocabulary with new pieces at its end."""

    tokenizer: AnyTokenizer
    """Of the same kind as the old one."""
    pieces_of: list[list[int]]
    """The old ids that each new piece was cut into, in the order of the new ids."""


def extend(tokenizer: AnyTokenizer, words: Sequence[str]) -> Extension:
    """Make each word one piece; a word that already is one is skipped.

    Args:
        tokenizer: the old vocabulary, left as it is.
        words: words as they stand in texts; they are normalised as texts are.

    Raises:
        DataError: a word is empty, more than one word to this tokenizer, or given twice.
        TokenizerError: a word cannot be one piece here, or a `tokenizer.json` cannot be extended.
    """
    if isinstance(words, str | bytes):
        raise DataError(
            f"New words must be a list. Received: one {type(words).__name__}. Put it in a list."
        )
    surface = _surface_of(tokenizer)
    found: dict[str, str] = {}
    for word in words:
        shape = _one_word(word, surface(word) if isinstance(word, str) else [])
        if shape in found:
            raise DataError(
                f"New words must differ after normalisation. Received: {found[shape]!r} and"
                f" {word!r}. Leave one out."
            )
        found[shape] = word
    known = set(tokenizer.pieces)
    new = {shape: word for shape, word in found.items() if shape not in known}
    pieces_of = [tokenizer.encode(word) for word in new.values()]
    extended = _extended(tokenizer, list(new)) if new else tokenizer
    _check(extended, found)
    return Extension(extended, pieces_of)


def _one_word(word: object, surface: list[str]) -> str:
    """Return the piece that a word is to be."""
    if isinstance(word, str) and len(surface) == 1 and surface[0].strip(WORD_MARK):
        return surface[0]
    if not isinstance(word, str):
        received = f"{word!r}, which is no string"
    elif not surface or not "".join(surface).strip(WORD_MARK):
        received = f"{word!r}, of which normalisation leaves nothing"
    else:
        received = f"{word!r}, which is {', '.join(map(repr, surface))} to this tokenizer"
    raise DataError(f"A new word must be one word. Received: {received}. Leave it out.")


def _check(tokenizer: AnyTokenizer, words: dict[str, str]) -> None:
    """See that every word is the piece of its shape now, the old ones too."""
    for shape, word in words.items():
        pieces = [tokenizer.pieces[number] for number in tokenizer.encode(word)]
        if pieces != [shape]:
            raise TokenizerError(
                f"A new word must come out as one piece. Received: {word!r}, which comes out as"
                f" {' '.join(pieces)}. Leave it out."
            )


# === What a word is to each kind ===


def _surface_of(tokenizer: AnyTokenizer) -> Callable[[str], list[str]]:
    """Return the function that cuts a text into its normalised words, with their marks."""
    if isinstance(tokenizer, UnigramTokenizer):
        return tokenizer.surface_words
    if isinstance(tokenizer, WordPieceTokenizer):
        return tokenizer.words.split
    return tokenizer.surface_words


def _extended(tokenizer: AnyTokenizer, shapes: list[str]) -> AnyTokenizer:
    if isinstance(tokenizer, WordPieceTokenizer):
        return WordPieceTokenizer([*tokenizer.pieces, *shapes], tokenizer.words)
    if isinstance(tokenizer, JsonTokenizer):
        return _extended_json(tokenizer, shapes)
    file = read_sentencepiece(tokenizer.model)
    scores = _new_scores(shapes, file.scores(), file.least_score)
    pieces = [Piece(shape, scores[shape]) for shape in shapes]
    return UnigramTokenizer(append_pieces(tokenizer.model, pieces), tokenizer.normalizer)


def _new_scores(shapes: list[str], scores: dict[str, float], least: float) -> dict[str, float]:
    """Return a score for each new piece: a little above the best cut of its characters.

    Above it with a comma behind too, which many pieces of digits hold. Short ones come first, so
    that a long one beats the cut with a short one in it. None goes below the least score there was,
    from which the score of unknown characters follows.
    """
    unknown = least - UNKNOWN_PENALTY
    scores, found = dict(scores), {}
    comma = scores.get(",", unknown)
    for shape in sorted(shapes, key=len):
        best = max(
            best_score(shape, scores, unknown), best_score(f"{shape},", scores, unknown) - comma
        )
        found[shape] = scores[shape] = max(best + _ADVANTAGE, least)
    return found


def _extended_json(tokenizer: JsonTokenizer, shapes: list[str]) -> JsonTokenizer:
    """Write the new pieces into the file's model; added tokens would cut the text around them."""
    values: dict[str, Any] = json.loads(tokenizer.content)
    model = values["model"]
    vocabulary = model.get("vocab")
    kind = model.get("type")
    if kind == "WordPiece" and isinstance(vocabulary, dict):
        vocabulary |= {shape: tokenizer.vocab_size + at for at, shape in enumerate(shapes)}
    elif kind == "Unigram" and len(vocabulary) == tokenizer.vocab_size:
        scores = {piece: float(score) for piece, score in vocabulary}
        new = _new_scores(shapes, scores, min(scores.values()))
        vocabulary += [[shape, new[shape]] for shape in shapes]
    else:
        raise TokenizerError(
            f"Only a `{JSON_FILE}` of type WordPiece, or of type Unigram without added pieces, can"
            f" take new words. Received: type {kind}, {len(vocabulary or ()):,} of"
            f" {tokenizer.vocab_size:,} pieces in its model. Extend the `spiece.model` or"
            " `vocab.txt` that it was made from."
        )
    return JsonTokenizer(json.dumps(values, ensure_ascii=False))
