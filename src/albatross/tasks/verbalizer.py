"""The words that stand for labels in the gap of a pattern, and how classes are scored by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray
from albatross.errors import ConfigError
from albatross.tasks.task import Tokenizer

# More masks than this make a gap that nobody would fill with the word.
_MOST_PIECES = 5


class ClozeTokenizer(Tokenizer, Protocol):
    """What patterns and verbalisers need of a tokenizer."""

    unk_id: int


@dataclass(frozen=True)
class Verbalizer:
    """The words that stand for each label.

    A word of several pieces has as many masks, and scores the mean of its pieces' log-probabilities
    (PET, section 3; all at once, not one after the other as there). Several words of a label count
    alike.

    Attributes:
        words: of each label, in the order of the task's
        ids: the pieces of each of these words
    """

    words: tuple[tuple[str, ...], ...]
    ids: tuple[tuple[tuple[int, ...], ...], ...]

    @classmethod
    def from_words(
        cls, words: Mapping[str, Sequence[str]], tokenizer: ClozeTokenizer
    ) -> Verbalizer:
        """Look words up, by label.

        Raises:
            ConfigError: a label without a word, a word that the vocabulary cannot spell, or one
                that stands for two labels.
        """
        owner: dict[tuple[int, ...], str] = {}
        for label, chosen in words.items():
            if not chosen:
                raise ConfigError(
                    f"Every label needs a word that stands for it. Received: none for {label!r}."
                    f" Add it to `--verbalizer`: {label}=WORD."
                )
            for word in chosen:
                ids = tuple(tokenizer.encode(word))
                if not 0 < len(ids) <= _MOST_PIECES or tokenizer.unk_id in ids:
                    raise ConfigError(
                        "A word of `--verbalizer` must be in the vocabulary, as one piece or up to"
                        f" {_MOST_PIECES}. Received: {word!r} for {label!r}. Choose another word."
                    )
                if owner.setdefault(ids, label) != label:
                    raise ConfigError(
                        "A word of `--verbalizer` must stand for one label. Received:"
                        f" {word!r} for {owner[ids]!r} and {label!r}. Choose another word."
                    )
        pieces = tuple(
            tuple(tuple(tokenizer.encode(word)) for word in chosen) for chosen in words.values()
        )
        return cls(tuple(tuple(chosen) for chosen in words.values()), pieces)

    @classmethod
    def from_labels(cls, labels: Sequence[str], tokenizer: ClozeTokenizer) -> Verbalizer:
        """Take the labels themselves, which must be words of the vocabulary.

        Raises:
            ConfigError: they are not.
        """
        strange = [
            label
            for label in labels
            if not label.isalpha()
            or len(tokenizer.encode(label)) != 1
            or _unknown(label, tokenizer)
        ]
        if strange:
            received = ", ".join(repr(label) for label in strange)
            raise ConfigError(
                f"Without `--verbalizer` the labels must be words of the vocabulary. Received:"
                f" {received}. Give each label its words, such as --verbalizer {strange[0]}=WORD,"
                " or name the labels by --labels."
            )
        return cls.from_words({label: (label,) for label in labels}, tokenizer)

    @cached_property
    def mask_counts(self) -> tuple[int, ...]:
        """The different lengths of the words; a record has an example with each."""
        return tuple(sorted({len(ids) for chosen in self.ids for ids in chosen}))

    @cached_property
    def table(self) -> ScoreTable:
        """How classes are scored by the masks of all of a record's examples."""
        before = dict(
            zip(self.mask_counts, np.cumsum((0, *self.mask_counts)).tolist(), strict=False)
        )
        rows = [
            (before[len(ids)] + place, piece, label, 1 / (len(ids) * len(chosen)))
            for label, chosen in enumerate(self.ids)
            for ids in chosen
            for place, piece in enumerate(ids)
        ]
        weights = np.zeros((len(rows), len(self.ids)), dtype=np.float32)
        for number, (_, _, label, weight) in enumerate(rows):
            weights[number, label] = weight
        columns, pieces = np.array([row[:2] for row in rows], dtype=np.int64).T
        return ScoreTable(columns, pieces, weights)


@dataclass(frozen=True)
class ScoreTable:
    """Scores of classes as a product: log-probabilities of (mask, piece), by weights.

    Attributes:
        columns: (pieces,), which of a record's masks
        pieces: (pieces,), which piece of the vocabulary there
        weights: (pieces, classes)
    """

    columns: IntArray
    pieces: IntArray
    weights: NDArray[np.float32]


def parse_verbalizer(given: Sequence[str], labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read words given as `label=word,word`.

    Raises:
        ConfigError: another form, a label that is none, or one that is left out.

    >>> parse_verbalizer(["good=great,fine", "bad=awful"], ["bad", "good"])
    {'bad': ('awful',), 'good': ('great', 'fine')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for entry in given:
        label, equals, words = entry.partition("=")
        if not equals or label not in labels or label in found:
            raise ConfigError(
                "`--verbalizer` must give each label its words, as LABEL=WORD,WORD; the labels are"
                f" {', '.join(labels)}. Received: {entry!r}. Correct it."
            )
        found[label] = tuple(word.strip() for word in words.split(",") if word.strip())
    absent = [label for label in labels if not found.get(label)]
    if absent:
        raise ConfigError(
            "`--verbalizer` must name a word for every label. Received: none for"
            f" {', '.join(absent)}. Add {absent[0]}=WORD."
        )
    return {label: found[label] for label in labels}


def _unknown(word: str, tokenizer: ClozeTokenizer) -> bool:
    """Whether a word has a piece that the vocabulary does not know."""
    return tokenizer.unk_id in tokenizer.encode(word)
