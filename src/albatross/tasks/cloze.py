"""Classification as filling a gap (PET: Schick and Schuetze, 2021): patterns.

A pattern puts a text into a sentence with a gap; how likely a model finds the words of a verbaliser
in the gap is how likely their labels are. Knows ids, and no weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError
from albatross.tasks.task import Tokenizer
from albatross.tasks.verbalizer import ClozeTokenizer, Verbalizer

MASK = "[MASK]"
LABEL = "cloze"
"""Name of an example's class among its labels."""
_SEPARATOR = "[SEP]"
_TEXTS = ("{text}", "{text_pair}")
_PARTS = re.compile(r"(\{text\}|\{text_pair\}|\[MASK\]|\[SEP\])")
PATTERNS: Mapping[str, tuple[str, ...]] = {
    "sentiment": (
        "{text} It was [MASK].",
        "{text} All in all, it was [MASK].",
        "Just [MASK]! {text}",
    ),
    "topic": ("[MASK]: {text}", "[MASK] news: {text}", "{text} This is about [MASK]."),
    "question": (
        "{text} This asks for a [MASK].",
        "[MASK]: {text}",
        "A question of [MASK]: {text}",
    ),
    "pair": ("{text}? [SEP] [MASK], {text_pair}", "{text} [MASK], {text_pair}"),
}
"""Patterns by the kind of text; a name may stand in place of patterns."""


@dataclass(frozen=True)
class Pattern:
    """A sentence with a gap, around a text or a pair of texts.

    >>> Pattern("{text} It was [MASK].").parts
    ('{text}', ' It was ', '[MASK]', '.')
    """

    source: str

    def __post_init__(self) -> None:
        """Check that there is one gap, and a text."""
        for part, least in ((MASK, 1), (_TEXTS[0], 1), (_TEXTS[1], 0)):
            count = self.parts.count(part)
            if not least <= count <= 1:
                raise ConfigError(
                    f"A pattern must hold `[MASK]` and `{{text}}` once, and `{{text_pair}}` at most"
                    f" once. Received: {self.source!r} with {count} times `{part}`. Write it as in"
                    " '{text} It was [MASK].', or name one of " + f"{', '.join(PATTERNS)}."
                )

    @property
    def parts(self) -> tuple[str, ...]:
        """The texts, the gap, and what is written between them."""
        return tuple(part for part in _PARTS.split(self.source) if part)

    @property
    def takes_pair(self) -> bool:
        """Whether it has a place for the second text of a pair."""
        return _TEXTS[1] in self.parts


@dataclass(frozen=True)
class Cloze:
    """Turns records into sentences with a gap."""

    pattern: Pattern
    verbalizer: Verbalizer
    tokenizer: ClozeTokenizer
    max_length: int

    def __post_init__(self) -> None:
        """Check that the pattern leaves room for text."""
        fixed = self._literals
        longest = self.verbalizer.mask_counts[-1] if self.verbalizer.mask_counts else 1
        room = self.max_length - sum(map(len, fixed.values())) - longest - 2
        if room < self.max_length // 4:
            raise ConfigError(
                "A pattern must leave a quarter of `--max-length` to the text. Received:"
                f" {self.pattern.source!r}, which leaves {max(room, 0)} of {self.max_length}."
                " Shorten it, or raise `--max-length`."
            )

    def check(self, record: TextRecord) -> None:
        """Refuse a pair where the pattern takes one text, or the other way round.

        Raises:
            DataError: it is one.
        """
        if (record.text_pair is not None) != self.pattern.takes_pair:
            raise DataError(
                "A pattern must take the texts that the records have. Received:"
                f" {self.pattern.source!r} for {record.place or 'a record'} with"
                f" {'a pair' if record.text_pair is not None else 'one text'}."
                " Choose another `--pattern`."
            )

    def features(self, record: TextRecord, label: int | None = None) -> list[Example]:
        """Return an example for each length of words; a text is cut at its end to fit."""
        texts = {_TEXTS[0]: self.tokenizer.encode(record.text)}
        if record.text_pair is not None:
            texts[_TEXTS[1]] = self.tokenizer.encode(record.text_pair)
        labels = {} if label is None else {LABEL: label}
        return [self._example(texts, count, labels) for count in self.verbalizer.mask_counts]

    def _example(
        self, texts: Mapping[str, list[int]], masks: int, labels: Mapping[str, float]
    ) -> Example:
        """Return the sentence with so many masks in its gap."""
        literals = self._literals
        room = self.max_length - 2 - masks - sum(map(len, literals.values()))
        cut = _fitted(texts, room)
        ids, types, kind = [self.tokenizer.cls_id], [0], 0
        for number, part in enumerate(self.pattern.parts):
            added = literals.get(number, [])
            if part == MASK:
                added = [self.tokenizer.mask_id] * masks
            elif part in cut:
                added = cut[part]
            ids += added
            types += [kind] * len(added)
            kind = 1 if part == _SEPARATOR else kind
        ids.append(self.tokenizer.sep_id)
        return Example(
            np.array(ids, dtype=np.int64), np.array([*types, kind], dtype=np.int64), labels
        )

    @cached_property
    def _literals(self) -> dict[int, list[int]]:
        """The ids of what is written between the texts, by the number of the part."""
        found = {}
        for number, part in enumerate(self.pattern.parts):
            if part == _SEPARATOR:
                found[number] = [self.tokenizer.sep_id]
            elif part not in (MASK, *_TEXTS):
                found[number] = continued(part, self.tokenizer)
        return found


def patterns_of(given: Sequence[str]) -> tuple[Pattern, ...]:
    """Return patterns; a name of the table stands for several.

    >>> [pattern.source for pattern in patterns_of(["sentiment"])][0]
    '{text} It was [MASK].'
    """
    sources = [source for one in given for source in PATTERNS.get(one, (one,))]
    return tuple(Pattern(source) for source in dict.fromkeys(sources))


def continued(literal: str, tokenizer: Tokenizer) -> list[int]:
    """Return the ids of a piece of a sentence; a mark right after a word is joined to it."""
    if literal[:1].isspace():
        return tokenizer.encode(literal)
    word, both = tokenizer.encode("a"), tokenizer.encode("a" + literal)
    joined = not literal[:1].isalnum() and both[: len(word)] == word
    return both[len(word) :] if joined else tokenizer.encode(literal)


def _fitted(texts: Mapping[str, list[int]], room: int) -> dict[str, list[int]]:
    """Cut the longer of two texts, or the one, until both have room."""
    if len(texts) == 1:
        return {name: ids[:room] for name, ids in texts.items()}
    first, second = texts[_TEXTS[0]], texts[_TEXTS[1]]
    keep = min(len(second), max(room // 2, room - len(first)))
    return {_TEXTS[0]: first[: room - keep], _TEXTS[1]: second[:keep]}
