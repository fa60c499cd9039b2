"""Whole-word n-gram masking (ALBERT, section 4.1), drawn anew every time a sample is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.errors import ConfigError
from albatross.rng import fractions
from albatross.tokenizer.alignment import CONTINUATION, WORD_MARK

if TYPE_CHECKING:
    from albatross.tokenizer.folder import AnyTokenizer

# Inside words these do not part them: don't, well-known.
_JOINERS = frozenset("'’-")  # noqa: RUF001 (the typographic apostrophe)
# Each token has its draws: n-gram and turn of the word it begins, kind, random piece.
_DRAWS = 4


@dataclass(frozen=True)
class MaskingRule:
    """How much is masked and with what.

    Defaults are the paper's: 15 % of the tokens, n-grams up to 3 with p(n) proportional to 1/n, of
    which 80 % become [MASK], 10 % a random piece and 10 % stay. `max_predictions` caps the tokens
    that one sample predicts; Google's cap of 20 leaves 4 % at 512 tokens, so there is none here.
    """

    rate: float = 0.15
    max_ngram: int = 3
    max_predictions: int | None = None
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
        if self.max_predictions is not None and self.max_predictions < 1:
            raise ConfigError(
                "`max_predictions` must be at least 1, or none for a cap that follows the length."
                f" Received: {self.max_predictions}."
            )

    def budgets(self, lengths: IntArray) -> IntArray:
        """Return how many tokens are to be predicted in runs of so many ordinary tokens."""
        wanted: IntArray = np.maximum(1, np.rint(lengths * self.rate).astype(np.int64))
        return wanted if self.max_predictions is None else np.minimum(wanted, self.max_predictions)


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

    @classmethod
    def from_tokenizer(cls, tokenizer: AnyTokenizer) -> PieceTable:
        """Read the table off a tokenizer."""
        names = ("pad_id", "unk_id", "cls_id", "sep_id", "mask_id")
        specials = [getattr(tokenizer, name) for name in names]
        return cls.from_pieces(tokenizer.pieces, tokenizer.starts_word, specials, tokenizer.mask_id)

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
    ids: IntArray,
    bounds: IntArray,
    keys: NDArray[np.uint64],
    table: PieceTable,
    rule: MaskingRule,
) -> MaskedTokens:
    """Mask whole-word n-grams of many samples, each by its own draws and within its own budget.

    In every sample exactly `round(rate * tokens)` tokens, at least one, are chosen, except where
    only longer words are left: then fewer. No n-gram crosses from one segment into another.

    Args:
        ids: (tokens,), ordinary tokens of all samples end to end, no specials among them.
        bounds: (2 * samples + 1,), where their segments begin and end, two for each sample; the
            second may be empty.
        keys: (samples,), of the draws.
        table: what is to be known of the vocabulary.
        rule: how much is masked and with what.
    """
    lengths = np.diff(bounds[::2])
    is_chosen = _choose(_words(ids, bounds, table), lengths, keys, rule)
    chosen = np.flatnonzero(is_chosen)
    sample = np.searchsorted(bounds[::2], chosen, side="right") - 1
    counters = _DRAWS * (chosen - bounds[::2][sample])
    labels = np.full(len(ids), IGNORED_LABEL, dtype=np.int64)
    labels[chosen] = ids[chosen]
    draw = fractions(keys[sample], counters + 2)
    drawn = fractions(keys[sample], counters + 3) * len(table.ordinary)
    masked = np.array(ids, dtype=np.int64)
    masked[chosen[draw < rule.mask_fraction]] = table.mask_id
    is_random = (draw >= rule.mask_fraction) & (draw < rule.mask_fraction + rule.random_fraction)
    masked[chosen[is_random]] = table.ordinary[drawn[is_random].astype(np.int64)]
    return MaskedTokens(masked, labels)


@dataclass(frozen=True)
class _Words:
    """The words of many samples, in their order.

    Attributes:
        begin: (words + 1,), the token at which each word begins, and the end
        sample: (words,), the sample of each
        offset: (words,), tokens of the sample before it
        following: (words,), words from this one to the end of its segment
    """

    begin: IntArray
    sample: IntArray
    offset: IntArray
    following: IntArray


def _words(ids: IntArray, bounds: IntArray, table: PieceTable) -> _Words:
    """Find the words; a segment begins with one."""
    is_start = np.zeros(len(ids) + 1, dtype=bool)
    is_start[table.word_starts(ids)] = True
    is_start[bounds] = True
    begin = np.flatnonzero(is_start)
    segment = np.searchsorted(bounds, begin[:-1], side="right") - 1
    last = np.searchsorted(begin, bounds[segment + 1])
    sample = segment // 2
    offset = begin[:-1] - bounds[2 * sample]
    return _Words(begin, sample, offset, last - np.arange(len(segment)))


def _choose(
    words: _Words, lengths: IntArray, keys: NDArray[np.uint64], rule: MaskingRule
) -> NDArray[np.bool_]:
    """Return which tokens to predict, (tokens,).

    Every sample goes through its words in a random order and masks an n-gram from each while the
    budget lasts; all samples take their turns together.
    """
    num_words, ngrams = len(words.sample), np.arange(rule.max_ngram)
    draw = fractions(keys[words.sample], _DRAWS * words.offset)
    weights = np.cumsum(1.0 / (ngrams + 1))
    size = 1 + np.searchsorted(weights[:-1] / weights[-1], draw, side="right")
    reach = np.minimum(size, words.following)
    order, first = _shuffled(words, keys)
    num_turns = np.diff(np.append(first, num_words))
    begin = np.pad(words.begin, (0, rule.max_ngram), mode="edge")
    covered = np.zeros(num_words + rule.max_ngram, dtype=bool)
    budgets = rule.budgets(lengths)
    left, going, turn = budgets.copy(), np.flatnonzero(num_turns), 0
    while len(going):
        word = order[first[going] + turn]
        run = word[:, None] + ngrams
        tokens = begin[run + 1] - begin[word][:, None]
        fits = (tokens <= left[going][:, None]) & (ngrams < reach[word][:, None]) & ~covered[run]
        # A longer n-gram that does not fit gives way to a shorter one from the same word.
        fits = np.logical_and.accumulate(fits, axis=1)
        covered[run[fits]] = True
        left[going] -= np.where(fits, np.diff(tokens, axis=1, prepend=0), 0).sum(axis=1)
        turn += 1
        going = going[(left[going] > 0) & (num_turns[going] > turn)]
    is_chosen = np.repeat(covered[:num_words], np.diff(words.begin))
    for sample in np.flatnonzero((left == budgets) & (num_turns > 0)):
        # All words are longer than the whole budget: predict a part of one rather than nothing.
        start = begin[order[first[sample]]]
        is_chosen[start : start + budgets[sample]] = True
    return is_chosen


def _shuffled(words: _Words, keys: NDArray[np.uint64]) -> tuple[IntArray, IntArray]:
    """Return the words, each sample's in a random order, and where in them each sample begins."""
    first = np.searchsorted(words.sample, np.arange(len(keys)))
    number = np.arange(len(words.sample)) - first[words.sample]
    draw = fractions(keys[words.sample], _DRAWS * words.offset + 1) * 2.0**28
    # Sample, draw and number in one integer each, which sort faster than anything else would.
    packed = (words.sample << 44) | (draw.astype(np.int64) << 16) | number
    order = first[words.sample] + (np.sort(packed) & 0xFFFF)
    return order, first


def _is_alone(character: str) -> bool:
    """Whether a character is a word by itself: a mark, or of a script written without spaces."""
    if character in _JOINERS:
        return False
    return not character.isalnum() or "\u2e80" <= character <= "\u9fff" or character >= "\U00020000"
