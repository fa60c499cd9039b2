"""What stands in a SentencePiece model file: its pieces with their scores, and its character map.

The library gives no types and no map and cannot add a piece, so the file is read here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from albatross.errors import TokenizerError
from albatross.protobuf import Field, encode_field, fields

# Types of pieces, as the file numbers them.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# What SentencePiece takes off the least score for a character that it does not know.
UNKNOWN_PENALTY = 10.0
# Fields of the model, of a piece in it, and of its normaliser.
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _UNIGRAM = 3, 1
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_SPACES = 2, 3, 4


@dataclass(frozen=True)
class Piece:
    """An entry of the vocabulary."""

    text: str
    score: float
    type: int = NORMAL


@dataclass(frozen=True)
class SentencePieceFile:
    """What a model holds."""

    pieces: list[Piece]
    charsmap: bytes
    """SentencePiece's own normalisation, in its own form; empty if it does none."""
    add_dummy_prefix: bool = True
    """Whether a text's first word gets the mark of a space."""
    remove_extra_whitespaces: bool = True
    """Whether spaces around a text go, and of several all but one."""

    def scores(self) -> dict[str, float]:
        """Return the score that each piece has in the search for the best cut.

        A user-defined piece gets what SentencePiece 0.2.3 gives it in that search, whatever stands
        in the file: more than any normal piece, as their scores are below 0.
        """
        found = {}
        for piece in self.pieces:
            if piece.type == NORMAL:
                found[piece.text] = piece.score
            elif piece.type == USER_DEFINED:
                found[piece.text] = 0.1 * (len(piece.text.encode()) - 1)
        return found

    @property
    def byte_fallback(self) -> bool:
        """Whether a character that no piece has is cut into its bytes."""
        return any(piece.type == BYTE for piece in self.pieces)

    @property
    def least_score(self) -> float:
        """The least score of a normal piece."""
        return min((piece.score for piece in self.pieces if piece.type == NORMAL), default=0.0)


def read_sentencepiece(model: bytes) -> SentencePieceFile:
    """Read a unigram model that SentencePiece itself has read before.

    Raises:
        TokenizerError: the model is of another kind, or damaged.
    """
    pieces: list[Piece] = []
    charsmap, switches = b"", {_DUMMY_PREFIX: True, _EXTRA_SPACES: True}
    kind = _UNIGRAM
    try:
        for field in fields(model):
            if field.number == _PIECE:
                pieces.append(_piece(field))
            elif field.number == _TRAINER:
                kind = _integer(field, _MODEL_TYPE, _UNIGRAM)
            elif field.number == _NORMALIZER:
                maps = [f for f in fields(field.content) if f.number == _CHARSMAP]
                charsmap = bytes(maps[-1].content) if maps else b""
                switches = {n: bool(_integer(field, n, default=1)) for n in switches}
    except (ValueError, KeyError) as error:
        raise TokenizerError(
            f"A SentencePiece model must be whole. Received: {len(model):,} bytes with {error}."
            " Copy or download the file again."
        ) from error
    if kind != _UNIGRAM:
        raise TokenizerError(
            f"A SentencePiece model must be a unigram model. Received: model type {kind}."
            " Train one with `albatross train-tokenizer`."
        )
    return SentencePieceFile(pieces, charsmap, switches[_DUMMY_PREFIX], switches[_EXTRA_SPACES])


def append_pieces(model: bytes, pieces: Sequence[Piece]) -> bytes:
    """Return the model with more pieces behind its own: repeated fields may stand anywhere."""
    entries = [
        encode_field(_TEXT, piece.text.encode())
        + encode_field(_SCORE, piece.score)
        + encode_field(_TYPE, piece.type)
        for piece in pieces
    ]
    return model + b"".join(encode_field(_PIECE, entry) for entry in entries)


def best_score(text: str, scores: dict[str, float], unknown: float) -> float:
    """Return the score of the best cut of a text into pieces (Viterbi 1967).

    Args:
        text: a word with its mark.
        scores: the score of each piece.
        unknown: the score of a character that is no piece.
    """
    longest = max(map(len, scores), default=1)
    best = [0.0] + [-math.inf] * len(text)
    for start in range(len(text)):
        for end in range(start + 1, min(len(text), start + longest) + 1):
            score = scores.get(text[start:end], unknown if end == start + 1 else None)
            if score is not None:
                best[end] = max(best[end], best[start] + score)
    return best[-1]


def _piece(field: Field) -> Piece:
    parts = {part.number: part for part in fields(field.content)}
    return Piece(
        bytes(parts[_TEXT].content).decode("utf-8"),
        parts[_SCORE].float32 if _SCORE in parts else 0.0,
        parts[_TYPE].integer if _TYPE in parts else NORMAL,
    )


def _integer(field: Field, number: int, default: int) -> int:
    found = [part.integer for part in fields(field.content) if part.number == number]
    return found[-1] if found else default
