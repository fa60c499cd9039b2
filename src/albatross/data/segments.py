"""Samples for pre-training: two segments of a document, in order or swapped (ALBERT, 3.1).

Both segments are consecutive and always from the same document. A stretch without a sentence break
inside gives a sample for masked words only, never a negative from elsewhere, by which the task
would leak the topic. Every sample is a function of (seed, epoch, index).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from albatross.data.masking import MaskingRule, PieceTable, mask_tokens
from albatross.data.packing import IGNORED_LABEL, Example, IntArray
from albatross.data.shards import Shard
from albatross.errors import ConfigError, DataError
from albatross.rng import stream

SentenceObjective = Literal["sop", "nsp", "none"]
Tokens = NDArray[np.unsignedinteger[Any]]
# [CLS] A [SEP] B [SEP]
NUM_SPECIALS = 3
# A stretch this short teaches nothing.
_MIN_TOKENS = 4


@dataclass(frozen=True)
class SampleRule:
    """How samples are cut, paired and masked.

    Attributes:
        max_length: tokens of a sample, specials included
        short_fraction: share of samples cut at a random shorter length, as the paper has them
        objective: `sop` swaps the segments of half the samples; `nsp` takes the second of half of
            them from another document (BERT); `none` makes one segment
        masking: how words are masked
        seed: of every draw
    """

    max_length: int = 512
    short_fraction: float = 0.1
    objective: SentenceObjective = "sop"
    masking: MaskingRule = field(default_factory=MaskingRule)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that a sample can be cut at all."""
        least = NUM_SPECIALS + 2 * _MIN_TOKENS
        if self.max_length < least or not 0 <= self.short_fraction <= 1:
            raise ConfigError(
                f"`max_length` must be at least {least} and `short_fraction` lie between 0 and 1."
                f" Received: {self.max_length}, {self.short_fraction}."
            )


class SamplePlan:
    """Which stretch of which document each sample of one epoch is.

    Arrays of shape (samples,): `shard`, `document`, `begin`, `middle` and `end`; tokens from
    `begin` to `middle` are the first segment; `middle` equals `end` where there is no second one.
    The stretches of an epoch share no token, and leave out only those of fewer than 4 tokens.
    """

    def __init__(self, shards: Sequence[Shard], rule: SampleRule, epoch: int) -> None:
        """Cut every document into stretches and put them in the epoch's order.

        Raises:
            DataError: no document is long enough for a sample.
        """
        parts = [_cut(shard, i, rule, epoch) for i, shard in enumerate(shards)]
        columns = np.concatenate(parts, axis=1)
        if not columns.size:
            raise DataError(
                f"A sample needs a document of at least {_MIN_TOKENS} tokens. Received:"
                f" {len(shards)} shards without one. Give more text."
            )
        order = stream(rule.seed, "order", epoch).permutation(columns.shape[1])
        self.shard, self.document, self.begin, self.middle, self.end = columns[:, order]

    def __len__(self) -> int:
        """Return the number of samples in the epoch."""
        return len(self.begin)


class SampleSource:
    """Makes any sample of any epoch from shards."""

    def __init__(
        self, shards: Sequence[Shard], table: PieceTable, rule: SampleRule, cls_id: int, sep_id: int
    ) -> None:
        """Keep the shards; nothing is read yet."""
        self.rule = rule
        self._shards = shards
        self._table = table
        self._cls, self._sep = np.array([cls_id]), np.array([sep_id])
        self._plan_of: tuple[int, SamplePlan] | None = None

    def plan(self, epoch: int) -> SamplePlan:
        """Return the plan of an epoch; the last one is kept."""
        if self._plan_of is None or self._plan_of[0] != epoch:
            self._plan_of = (epoch, SamplePlan(self._shards, self.rule, epoch))
        return self._plan_of[1]

    def sample(self, epoch: int, index: int) -> Example:
        """Make one sample.

        Labels: `labels` (tokens,) with the words to predict, `sentence_order_label` 0 for in order,
            1 for not, -100 for a sample with one segment, or for which there is no other document.
        """
        plan = self.plan(epoch)
        rng = stream(self.rule.seed, "sample", epoch, index)
        tokens = self._shards[plan.shard[index]].tokens
        begin, middle, end = plan.begin[index], plan.middle[index], plan.end[index]
        first: Tokens = tokens[begin:middle]
        second: Tokens = tokens[middle:end]
        order = IGNORED_LABEL
        if len(second) and self.rule.objective != "none":
            order = int(rng.random() < 0.5)
        if order == 1 and self.rule.objective == "sop":
            first, second = second, first
        elif order == 1:
            elsewhere = self._from_elsewhere(plan, index, len(second), rng)
            second, order = (second, IGNORED_LABEL) if elsewhere is None else (elsewhere, 1)
        return self._assemble(first, second, order, rng)

    def _from_elsewhere(
        self, plan: SamplePlan, index: int, length: int, rng: np.random.Generator
    ) -> Tokens | None:
        """Return the start of a stretch of another document (BERT's negative); None without any."""
        for other in rng.integers(len(plan), size=64):
            same_shard = plan.shard[other] == plan.shard[index]
            if not (same_shard and plan.document[other] == plan.document[index]):
                begin, end = plan.begin[other], plan.end[other]
                found: Tokens = self._shards[plan.shard[other]].tokens[begin:end][:length]
                return found
        return None

    def _assemble(
        self,
        first: Tokens,
        second: Tokens,
        order: int,
        rng: np.random.Generator,
    ) -> Example:
        """Mask the segments and set the specials between them."""
        rule, table = self.rule.masking, self._table
        joined = np.concatenate([first, second]).astype(np.int64)
        masked = mask_tokens(joined, table, rule, rng)
        cut = len(first)
        none = np.array([IGNORED_LABEL])
        ids = [self._cls, masked.input_ids[:cut], self._sep]
        labels = [none, masked.labels[:cut], none]
        types = [np.zeros(cut + 2, dtype=np.int64)]
        if len(second):
            ids += [masked.input_ids[cut:], self._sep]
            labels += [masked.labels[cut:], none]
            types += [np.ones(len(second) + 1, dtype=np.int64)]
        return Example(
            np.concatenate(ids),
            np.concatenate(types),
            {"labels": np.concatenate(labels), "sentence_order_label": order},
        )


def _cut(shard: Shard, shard_index: int, rule: SampleRule, epoch: int) -> IntArray:
    """Cut the documents of a shard into stretches: (5, samples) as `SamplePlan` names its arrays.

    A stretch takes whole sentences up to its target length; a sentence longer than that is cut.
    """
    rng = stream(rule.seed, "plan", epoch, shard_index)
    starts = shard.sentences.tolist()
    documents = shard.documents.tolist()
    targets = _targets(rule, rng)
    columns: list[tuple[int, int, int, int, int]] = []
    for document in range(len(documents) - 1):
        low, high = documents[document], documents[document + 1]
        begin, end_of_document = starts[low], starts[high]
        while begin < end_of_document:
            limit = begin + next(targets)
            end = starts[bisect_right(starts, limit, low, high + 1) - 1]
            if end <= begin:
                end = min(limit, end_of_document)
            first_break = bisect_right(starts, begin, low, high + 1)
            num_breaks = bisect_right(starts, end - 1, first_break, high + 1) - first_break
            middle = end
            if num_breaks > 0 and rule.objective != "none":
                middle = starts[first_break + int(rng.random() * num_breaks)]
            if end - begin >= _MIN_TOKENS:
                columns.append((shard_index, document, begin, middle, end))
            begin = end
    return np.array(columns, dtype=np.int64).reshape(-1, 5).T


def _targets(rule: SampleRule, rng: np.random.Generator) -> Iterator[int]:
    """Yield the lengths at which stretches are to be cut, without specials."""
    longest = rule.max_length - NUM_SPECIALS
    while True:
        shorter = rng.integers(2 * _MIN_TOKENS, longest + 1, size=4_096)
        is_short = rng.random(4_096) < rule.short_fraction
        yield from np.where(is_short, shorter, longest).tolist()
