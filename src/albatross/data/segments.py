"""Samples for pre-training: two segments of a document, in order or swapped (ALBERT, 3.1).

Both segments are consecutive and always from the same document. A stretch without a sentence break
inside gives a sample for masked words only, never a negative from elsewhere, by which the task
would leak the topic. Every sample is a function of (seed, epoch, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albatross.data.masking import MaskedTokens, MaskingRule, PieceTable, mask_tokens
from albatross.data.packing import IGNORED_LABEL, Example, IntArray
from albatross.data.shards import Shard
from albatross.data.stretches import MIN_TOKENS, cut_documents, last_break
from albatross.errors import ConfigError, DataError
from albatross.rng import fractions, row_keys, stream

SentenceObjective = Literal["sop", "nsp", "none"]
# [CLS] A [SEP] B [SEP]
NUM_SPECIALS = 3
# Exchanges between samples, of which those of the same document come to nothing.
_ROUNDS = 8
# A part of so many tokens takes 60 MB of plan at 128 tokens a sample.
_PART_TOKENS = 2**28


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
        least = NUM_SPECIALS + 2 * MIN_TOKENS
        if self.max_length < least or not 0 <= self.short_fraction <= 1:
            raise ConfigError(
                f"`max_length` must be at least {least} and `short_fraction` lie between 0 and 1."
                f" Received: {self.max_length}, {self.short_fraction}."
            )


class SamplePlan:
    """Which text each sample of a part of the corpus is, in the order of training.

    Arrays of shape (samples,): `shard` and `document`; tokens from `begin` to `middle` of the shard
    are one segment, from `middle` to `end` the other; `middle` equals `end` where there is no
    second one. `order` is 0 for in order, 1 for not, -100 for a sample with one segment, or for
    which there is no other document. `negatives` holds the second segments of those of BERT's
    objective that are not in order.
    The stretches of a part share no token, and leave out only those of fewer than 4 tokens.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        rule: SampleRule,
        part: int,
        chosen: Sequence[int] | None = None,
    ) -> None:
        """Cut every document into stretches and put them in the part's order.

        Args:
            shards: all shards of the corpus.
            rule: how they are cut.
            part: counted through all epochs; the key of the draws.
            chosen: the shards of this part; all by default.

        Raises:
            DataError: no document is long enough for a sample.
        """
        numbers = range(len(shards)) if chosen is None else chosen
        longest = rule.max_length - NUM_SPECIALS
        found = [
            cut_documents(shards[n], longest, rule.short_fraction, rule.seed, "plan", part, n)
            for n in numbers
        ]
        sizes = [len(stretches.begin) for stretches in found]
        if not sum(sizes):
            raise DataError(
                f"A sample needs a document of at least {MIN_TOKENS} tokens. Received:"
                f" {len(sizes)} shards without one. Give more text."
            )
        # One column after the other: a plan may be a third of the memory that this process uses.
        mixed = stream(rule.seed, "order", part).permutation(sum(sizes))
        self.shard = np.repeat(np.array(numbers, dtype=np.uint32), sizes)[mixed]
        self.document = np.concatenate([stretches.document for stretches in found])[mixed]
        self.begin = np.concatenate([stretches.begin for stretches in found])[mixed]
        self.end = np.concatenate([stretches.end for stretches in found])[mixed]
        if rule.objective == "none":
            self.middle = self.end
        else:
            self.middle = np.concatenate([stretches.middle for stretches in found])[mixed]
        keys = row_keys(rule.seed, "order", part, rows=np.arange(len(mixed)))
        is_negative = fractions(keys, 0) < 0.5
        self.order = np.where(self.middle < self.end, is_negative, IGNORED_LABEL).astype(np.int8)
        is_nsp = rule.objective == "nsp"
        self.negatives = _exchange(self, shards, keys, longest) if is_nsp else None

    def __len__(self) -> int:
        """Return the number of samples in the part."""
        return len(self.begin)

    @cached_property
    def lengths(self) -> NDArray[np.uint32]:
        """Tokens of each sample, specials included: (samples,)."""
        text = self.end - self.begin
        if self.negatives is not None:
            other = self.negatives.end - self.negatives.begin
            text = np.where(self.order == 1, self.middle - self.begin + other, text)
        is_pair = self.middle < self.end
        lengths: NDArray[np.uint32] = text + np.uint32(NUM_SPECIALS - 1) + is_pair
        return lengths


@dataclass(frozen=True)
class Negatives:
    """Text of another document for each sample, (samples,): `shard`, and tokens of it."""

    shard: NDArray[np.uint32]
    begin: NDArray[np.uint32]
    end: NDArray[np.uint32]


@dataclass(frozen=True)
class SampleText:
    """Text of samples before masking, without specials.

    Attributes:
        ids: (tokens,), the segments of all samples end to end
        bounds: (2 * samples + 1,), where they begin and end, two for each sample; the second may be
            empty
        order: (samples,), as in `SamplePlan`
    """

    ids: IntArray
    bounds: IntArray
    order: IntArray


class SampleSource:
    """Makes any sample of any part of any epoch from shards.

    Parts are counted through all epochs. Up to `part_tokens` tokens, a part is an epoch; a larger
    corpus is passed in `parts_per_epoch` parts of shards drawn anew in every epoch, so that the
    plan of one part is all that memory must hold.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        table: PieceTable,
        rule: SampleRule,
        cls_id: int,
        sep_id: int,
        *,
        part_tokens: int = _PART_TOKENS,
    ) -> None:
        """Keep the shards; nothing is read yet."""
        self.rule = rule
        num_tokens = sum(len(shard.tokens) for shard in shards)
        self.parts_per_epoch = max(1, min(len(shards), -(-num_tokens // part_tokens)))
        self._shards, self._part_tokens = shards, part_tokens
        self._tokens = [np.asarray(shard.tokens) for shard in shards]
        self._table = table
        self._cls_id, self._sep_id = cls_id, sep_id
        self._plan_of: tuple[int, SamplePlan] | None = None

    def with_rule(self, rule: SampleRule) -> SampleSource:
        """Return a source of the same shards by another rule."""
        ids = (self._cls_id, self._sep_id)
        return SampleSource(self._shards, self._table, rule, *ids, part_tokens=self._part_tokens)

    def plan(self, part: int) -> SamplePlan:
        """Return the plan of a part; the last one is kept."""
        if self._plan_of is None or self._plan_of[0] != part:
            self._plan_of = None  # its memory is free before the next one needs as much
            self._plan_of = (part, self._planned(part))
        return self._plan_of[1]

    def sample(self, part: int, index: int) -> Example:
        """Make one sample."""
        return self.samples(part, [index])[0]

    def samples(self, part: int, indices: Sequence[int] | IntArray) -> list[Example]:
        """Make samples of a part, each the same whichever others are made with it.

        Labels: `labels` (tokens,) with the words to predict, `sentence_order_label` 0 for in order,
        1 for not, -100 for a sample with one segment, or for which there is no other document.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if not len(rows):
            return []
        text = self.text(part, rows)
        keys = row_keys(self.rule.seed, "sample", part, rows=rows)
        masked = mask_tokens(text.ids, text.bounds, keys, self._table, self.rule.masking)
        return self._assembled(text, masked)

    def text(self, part: int, indices: IntArray) -> SampleText:
        """Return the text of samples of a part, in the order in which a model reads it."""
        if not len(indices):
            return SampleText(*(np.zeros(count, dtype=np.int64) for count in (0, 1, 0)))
        plan = self.plan(part)
        order = plan.order[indices].astype(np.int64)
        cuts = [column[indices].astype(np.int64) for column in (plan.begin, plan.middle, plan.end)]
        shard = np.repeat(plan.shard[indices, None], 2, axis=1)
        begin, end = np.stack(cuts[:2], axis=1), np.stack(cuts[1:], axis=1)
        negative = order == 1
        if plan.negatives is not None:
            others = plan.negatives
            for column, other in ((shard, others.shard), (begin, others.begin), (end, others.end)):
                column[negative, 1] = other[indices][negative]
        else:
            begin[negative], end[negative] = begin[negative, ::-1], end[negative, ::-1]
        places = zip(
            shard.ravel().tolist(), begin.ravel().tolist(), end.ravel().tolist(), strict=True
        )
        ids = np.concatenate([self._tokens[s][b:e] for s, b, e in places]).astype(np.int64)
        bounds = np.concatenate([[0], np.cumsum(end - begin)])
        return SampleText(ids, bounds, order)

    def _planned(self, part: int) -> SamplePlan:
        """Draw the shards of a part and plan it."""
        epoch, number = divmod(part, self.parts_per_epoch)
        mixed = stream(self.rule.seed, "shards", epoch).permutation(len(self._shards))
        chosen = np.sort(mixed[number :: self.parts_per_epoch]).tolist()
        return SamplePlan(self._shards, self.rule, part, chosen)

    def _assembled(self, text: SampleText, masked: MaskedTokens) -> list[Example]:
        """Set the specials around the segments: [CLS] A [SEP] B [SEP]."""
        sizes = np.diff(text.bounds).reshape(-1, 2)
        lengths = sizes.sum(axis=1) + NUM_SPECIALS - (sizes[:, 1] == 0)
        ends = np.cumsum(lengths)
        begins = ends - lengths
        targets = np.stack([begins + 1, ends - 1 - sizes[:, 1]], axis=1).ravel()
        place = np.arange(len(text.ids)) + np.repeat(targets - text.bounds[:-1], sizes.ravel())
        ids = np.full(ends[-1], self._sep_id, dtype=np.int64)
        ids[begins] = self._cls_id
        ids[place] = masked.input_ids
        labels = np.full(ends[-1], IGNORED_LABEL, dtype=np.int64)
        labels[place] = masked.labels
        is_second = np.arange(ends[-1]) >= np.repeat(begins + sizes[:, 0] + 2, lengths)
        types = is_second.astype(np.int64)
        return [
            Example(
                ids[begin:end],
                types[begin:end],
                {"labels": labels[begin:end], "sentence_order_label": order},
            )
            for begin, end, order in zip(
                begins.tolist(), ends.tolist(), text.order.tolist(), strict=True
            )
        ]


def _exchange(
    plan: SamplePlan, shards: Sequence[Shard], keys: NDArray[np.uint64], longest: int
) -> Negatives:
    """Let samples that need a negative exchange their second segments, two of a like length each.

    So no text is lost, and length tells nothing. What does not fit beside its new first segment is
    cut at the end of a sentence. A sample that finds no other document loses its label, in the plan
    itself.
    """
    shard, begin, end = plan.shard.copy(), plan.middle.copy(), plan.end.copy()
    seeking = np.flatnonzero(plan.order == 1)
    for turn in range(1, 1 + _ROUNDS):
        sizes = plan.end[seeking] - plan.middle[seeking]
        seeking = seeking[np.lexsort((fractions(keys[seeking], turn), sizes))]
        one, other = seeking[: len(seeking) // 2 * 2].reshape(-1, 2).T
        same = (plan.document[one] == plan.document[other]) & (plan.shard[one] == plan.shard[other])
        for to, source in ((one[~same], other[~same]), (other[~same], one[~same])):
            shard[to], begin[to], end[to] = (
                plan.shard[source],
                plan.middle[source],
                plan.end[source],
            )
        seeking = np.setdiff1d(seeking, np.concatenate([one[~same], other[~same]]))
    plan.order[seeking] = IGNORED_LABEL
    room = longest - (plan.middle - plan.begin)
    for row in np.flatnonzero((plan.order == 1) & (end - begin > room)):
        starts = np.asarray(shards[shard[row]].sentences)
        limit = np.array([begin[row] + room[row]], dtype=np.int64)
        end[row] = last_break(starts, np.array([begin[row]], dtype=np.int64), limit)[0]
    return Negatives(shard, begin, end)
