"""One sample as a person wants to see it: text, and at each masked word what was and is there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np

from albatross.data.masking import PieceTable
from albatross.data.packing import IGNORED_LABEL, Example, IntArray
from albatross.data.segments import SentenceObjective
from albatross.tokenizer.folder import AnyTokenizer

SpanKind = Literal["plain", "masked", "random", "kept"]


@dataclass(frozen=True)
class Span:
    """A stretch of a sample's text of which all tokens met the same fate.

    Attributes:
        text: what was there
        kind: `plain` is not predicted; the others are, and stand as [MASK], as a random piece, or
            as they were
        now: what the model reads in its place
        space: whether a space comes before it
    """

    text: str
    kind: SpanKind
    now: str
    space: bool


@dataclass(frozen=True)
class ShownSample:
    """A sample's number, its facts, and its segments in the order in which a model reads them."""

    index: int
    length: int
    predicted: int
    label: str
    segments: list[list[Span]]

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        return {
            "index": self.index,
            "length": self.length,
            "predicted": self.predicted,
            "label": self.label,
            "segments": [[vars(span) for span in segment] for segment in self.segments],
        }


def show_sample(
    index: int,
    example: Example,
    tokenizer: AnyTokenizer,
    table: PieceTable,
    objective: SentenceObjective,
) -> ShownSample:
    """Restore the text of a sample."""
    labels = np.asarray(example.labels["labels"])
    segments = []
    for number in range(int(example.token_type_ids.max()) + 1):
        here = np.flatnonzero(example.token_type_ids == number)
        # [CLS] stands before the first segment, [SEP] behind each.
        here = here[(1 if number == 0 else 0) : -1]
        segments.append(_spans(example.input_ids[here], labels[here], tokenizer, table))
    return ShownSample(
        index,
        len(example.input_ids),
        int((labels != IGNORED_LABEL).sum()),
        label_name(int(np.asarray(example.labels["sentence_order_label"])), objective),
        segments,
    )


def label_name(order: int, objective: SentenceObjective) -> str:
    """Return what a sentence-order label says of its sample.

    >>> label_name(1, "sop")
    'swapped'
    """
    if order == IGNORED_LABEL:
        return "one segment"
    if objective == "nsp":
        return ("next", "from elsewhere")[order]
    return ("in order", "swapped")[order]


def _spans(
    ids: IntArray, labels: IntArray, tokenizer: AnyTokenizer, table: PieceTable
) -> list[Span]:
    """Group the tokens of a segment: runs of plain words, and masked words by fate."""
    before = np.where(labels == IGNORED_LABEL, ids, labels)
    kinds = np.full(len(ids), "plain", dtype=object)
    predicted = labels != IGNORED_LABEL
    kinds[predicted] = "random"
    kinds[predicted & (ids == table.mask_id)] = "masked"
    kinds[predicted & (ids == labels)] = "kept"
    word = np.searchsorted(table.word_starts(before), np.arange(len(ids)), side="right")
    spans: list[Span] = []
    for (kind, _), run in groupby(
        range(len(ids)), key=lambda n: (kinds[n], word[n] if predicted[n] else -1)
    ):
        tokens = list(run)
        text, now = _decoded(before[tokens], tokenizer), _decoded(ids[tokens], tokenizer)
        if kind == "masked":
            now = "[MASK]" * len(tokens)
        space = bool(spans) and bool(tokenizer.starts_word[before[tokens[0]]])
        spans.append(Span(text, kind, now, space))
    return spans


def _decoded(ids: IntArray, tokenizer: AnyTokenizer) -> str:
    """Return the text of some tokens in characters that no terminal takes for commands."""
    text = tokenizer.decode(ids.tolist()).strip()
    return "".join(character if character.isprintable() else "?" for character in text)
