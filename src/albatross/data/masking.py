"""Whole-word n-gram masking (ALBERT, section 4.1), drawn anew every time a sample is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.errors import ConfigError
from albatross.tokenizer.alignment import CONTINUATION, WORD_MARK

# Inside words these do not part them: don't, well-known.
_JOINERS = frozenset("'’-")  # noqa: RUF001 (the typographic apostrophe)


@dataclass(frozen=True)
class MaskingRule:
    """How much is masked and with what.

    Defaults are the paper's: 15 % of the tokens, n-grams up to 3 with p(n) proportional to 1/n, of
    which 80 % become [MASK], 10 % a random piece and 10 % stay.
    """

    rate: float = 0.15
    max_ngram: int = 3
    mask_fraction: float = 0.8
    random_fraction: float = 0.1

    def __post_init__(self) -> None:
        """Check the fractions."""
        parts = (self.mask_fraction, self.random_fraction)
        if not (min(parts) >= 0 and sum(parts) <= 1 + 1e-9):
            raise ConfigError(
                "`mask_fraction` and `random_fraction` must be parts of 1."
                f" Received: {self.mask_fraction}, {self.random_fraction}."
            )
        if not (0 < self.rate < 1 and self.max_ngram >= 1):
            raise ConfigError(
                "`masking_rate` must lie between 0 and 1 and `max_ngram` be at least 1."
                f" Received: {self.rate}, {self.max_ngram}."
            )


@dataclass(frozen=True)
class PieceTable:
    """What masking must know of a vocabulary.

    Attributes:
        begins_word: (vocab,), pieces that begin a word by the marks of their vocabulary
        stands_alone: (vocab,), punctuation and characters of scripts without spaces: each a word by
            itself
        ordinary: pieces that may be drawn at random: no specials
        mask_id: the piece [MASK]
    """

    begins_word: NDArray[np.bool_]
    stands_alone: NDArray[np.bool_]
    ordinary: IntArray
    mask_id: int

    @classmethod
    def from_pieces(
        cls,
        pieces: Sequence[str],
        begins_word: NDArray[np.bool_],
        special_ids: Sequence[int],
        mask_id: int,
    ) -> PieceTable:
        """Read the table off a vocabulary."""
        bodies = [piece.removeprefix(WORD_MARK).removeprefix(CONTINUATION) for piece in pieces]
        alone = [bool(body) and all(_is_alone(c) for c in body) for body in bodies]
        ordinary = np.setdiff1d(np.arange(len(pieces)), np.asarray(special_ids))
        return cls(
            begins_word,
            np.array(alone),
            ordinary.astype(np.int64),
            mask_id,
        )

    def word_starts(self, ids: IntArray) -> IntArray:
        """Return the positions in `ids` (tokens,) at which a word starts; the first one does."""
        alone = self.stands_alone[ids]
        starts = self.begins_word[ids] | alone
        starts[1:] |= alone[:-1]
        starts[:1] = True
        return np.flatnonzero(starts)


@dataclass(frozen=True)
class MaskedTokens:
    """A masked run of tokens.

    Attributes:
        input_ids: (tokens,)
        labels: (tokens,), -100 where nothing is to be predicted
    """

    input_ids: IntArray
    labels: IntArray


def mask_tokens(
    ids: IntArray, table: PieceTable, rule: MaskingRule, rng: np.random.Generator
) -> MaskedTokens:
    """Mask whole-word n-grams of a run of ordinary tokens (no specials among them).

    Exactly `round(rate * tokens)` tokens, at least one, are chosen, except where only longer words
    are left: then fewer. Google's cap of 20 predictions, which leaves 4 % at 512 tokens, does not
    exist here. The two segments of a sample are masked as one run, so an n-gram may end the first
    and begin the second.
    """
    chosen = _choose(table.word_starts(ids), len(ids), rule, rng)
    labels = np.full(len(ids), IGNORED_LABEL, dtype=np.int64)
    labels[chosen] = ids[chosen]
    draw = rng.random(len(chosen))
    masked = np.array(ids, dtype=np.int64)
    masked[chosen[draw < rule.mask_fraction]] = table.mask_id
    is_random = (draw >= rule.mask_fraction) & (draw < rule.mask_fraction + rule.random_fraction)
    masked[chosen[is_random]] = rng.choice(table.ordinary, int(is_random.sum()))
    return MaskedTokens(masked, labels)


def _choose(
    starts: IntArray, num_tokens: int, rule: MaskingRule, rng: np.random.Generator
) -> IntArray:
    """Return the positions of the tokens to predict, in order."""
    budget = max(1, round(num_tokens * rule.rate))
    ends = np.append(starts[1:], num_tokens)
    num_words = len(starts)
    weights = 1.0 / np.arange(1, rule.max_ngram + 1)
    sizes = rng.choice(rule.max_ngram, num_words, p=weights / weights.sum()) + 1
    covered = np.zeros(num_tokens, dtype=bool)
    left = budget
    for word, size in zip(rng.permutation(num_words).tolist(), sizes.tolist(), strict=True):
        # A longer n-gram that no longer fits gives way to a shorter one from the same word.
        for ngram in range(min(size, num_words - word), 0, -1):
            first, end = starts[word], ends[word + ngram - 1]
            if end - first <= left and not covered[first:end].any():
                covered[first:end] = True
                left -= int(end - first)
                break
        if left == 0:
            break
    if left == budget:
        # One word longer than the whole budget: predict a part of it rather than nothing.
        covered[:budget] = True
    return np.flatnonzero(covered)


def _is_alone(character: str) -> bool:
    """Whether a character is a word by itself: a mark, or of a script written without spaces."""
    if character in _JOINERS:
        return False
    return not character.isalnum() or "\u2e80" <= character <= "\u9fff" or character >= "\U00020000"
