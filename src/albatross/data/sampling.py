"""Steps of pre-training: which samples a step consists of, and this process's share of them.

A step is a function of a position and of the fraction of the run that is done, of nothing else: any
process can make any step again, so a run goes on exactly where it stopped, and several processes
agree on a step without a word. Samples are counted before they are made, so that a process makes
its own alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor

import numpy as np

from albatross.data.packing import Example, PackedBatch, batches_by_tokens, pack
from albatross.data.segments import SampleSource
from albatross.errors import ConfigError

Position = tuple[int, ...]
"""Where a step starts: the length of samples, the slot, and part and index in each source."""


@dataclass(frozen=True)
class Stage:
    """A value that holds until a fraction of the run is done, such as length 64 until 0.9."""

    value: int
    until: float


@dataclass(frozen=True)
class StepBatch:
    """The samples of one step.

    Attributes:
        batches: this process's samples as micro-batches; none when it has no sample
        position: where the next step starts
        tokens: of the step, over all processes
        sequences: of the step, over all processes
    """

    batches: list[PackedBatch]
    position: Position
    tokens: int
    sequences: int


class PretrainingBatches:
    """Steps of samples up to a token budget, from any position, for one of several processes."""

    def __init__(
        self,
        source_of: Callable[[int], Sequence[SampleSource]],
        *,
        batch_tokens: int,
        max_length: int,
        length_stages: Sequence[Stage] = (),
        micro_tokens: int | None = None,
        batch_start: float = 1.0,
        batch_warmup: float = 0.0,
        replay_share: float = 0.0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Keep where samples come from; nothing is read yet.

        Args:
            source_of: the sources of samples of at most a length: new text, and old text where some
                is replayed. Asked once for each length.
            batch_tokens: tokens of a step, over all processes.
            max_length: tokens of a sample when all stages are over.
            length_stages: shorter samples before that.
            micro_tokens: tokens that go through the model at once; a step when not given.
            batch_start: share of `batch_tokens` that the first step has.
            batch_warmup: fraction of the run in which steps grow to `batch_tokens`.
            replay_share: share of samples that are old text.
            rank: this process among all.
            world: the number of processes.

        Raises:
            ConfigError: a stage is longer than `max_length`.
        """
        longest = max([max_length, *(stage.value for stage in length_stages)])
        if longest > max_length:
            raise ConfigError(
                "A stage of `--length-stages` must be at most `--max-length` long. Received:"
                f" {longest} and {max_length}. Lower the one or raise the other."
            )
        self._source_of, self._sources = source_of, dict[int, Sequence[SampleSource]]()
        self._tokens, self._micro_tokens = batch_tokens, micro_tokens or batch_tokens
        self._max_length, self._stages = max_length, tuple(length_stages)
        self._batch_start, self._batch_warmup = batch_start, batch_warmup
        self._replay_share = replay_share
        self._rank, self._world = rank, world

    @property
    def start(self) -> Position:
        """Where the first step of a run starts."""
        length = self.length(0.0)
        return (length, 0, *([0] * 2 * len(self._sources_of(length))))

    def length(self, fraction: float) -> int:
        """Return the tokens that a sample has at most when a fraction of the run is done."""
        return stage_value(self._stages, self._max_length, fraction)

    def budget(self, fraction: float) -> int:
        """Return the tokens that a step has at most when a fraction of the run is done."""
        if fraction >= self._batch_warmup:
            return self._tokens
        grown = (1 - self._batch_start) * fraction / self._batch_warmup
        return max(1, round(self._tokens * (self._batch_start + grown)))

    def step(self, position: Position, fraction: float) -> StepBatch:
        """Return the step that starts at a position when a fraction of the run is done.

        It takes samples in their order until the next one is above the budget; a sample that is
        above it alone is a step of its own.
        """
        length, budget = self.length(fraction), self.budget(fraction)
        slot, *cursors = _begun(position, length)
        sources = self._sources_of(length)
        own = [_Share(source) for source in sources]
        tokens = sequences = 0
        while True:
            which = self._source_at(slot)
            part, index = cursors[2 * which : 2 * which + 2]
            source = sources[which]
            while index == len(source.plan(part)):
                # A source keeps one plan at a time: what is left of this part is made first.
                own[which].make(part)
                part, index = cursors[2 * which : 2 * which + 2] = part + 1, 0
            size = int(source.plan(part).lengths[index])
            if sequences and tokens + size > budget:
                break
            if sequences % self._world == self._rank:
                own[which].wanted.append((sequences, index))
            cursors[2 * which + 1] = index + 1
            tokens, sequences, slot = tokens + size, sequences + 1, slot + 1
        made: dict[int, Example] = {}
        for share, part in zip(own, cursors[::2], strict=True):
            share.make(part)
            made |= share.made
        batches = self._packed([made[number] for number in sorted(made)])
        return StepBatch(batches, (length, slot, *cursors), tokens, sequences)

    def _source_at(self, slot: int) -> int:
        """Return which source a slot is filled from: old text at every 1 / share-th."""
        return floor((slot + 1) * self._replay_share) - floor(slot * self._replay_share)

    def _sources_of(self, length: int) -> Sequence[SampleSource]:
        """Return the sources of a length.

        Raises:
            ConfigError: text is to be replayed and there is none.
        """
        if length not in self._sources:
            found = self._source_of(length)
            if self._replay_share > 0 and len(found) < 2:
                raise ConfigError(
                    "`--replay-share` needs old text to replay. Received:"
                    f" {self._replay_share} without any. Name its shards, or leave the share at 0."
                )
            self._sources[length] = found
        return self._sources[length]

    def _packed(self, own: list[Example]) -> list[PackedBatch]:
        """Pack samples into micro-batches, like lengths together."""
        lengths = [len(example.input_ids) for example in own]
        if sum(lengths) <= self._micro_tokens:
            return [pack(own)] if own else []
        batches = batches_by_tokens(lengths, self._micro_tokens)
        return [pack([own[i] for i in batch]) for batch in batches]


class _Share:
    """This process's samples of one source: numbers in the step and indices, made part by part."""

    def __init__(self, source: SampleSource) -> None:
        """Start with none."""
        self.wanted: list[tuple[int, int]] = []
        self.made: dict[int, Example] = {}
        self._source = source

    def make(self, part: int) -> None:
        """Make what is wanted of a part, all at once."""
        numbers, indices = ([pair[side] for pair in self.wanted] for side in (0, 1))
        self.made |= zip(numbers, self._source.samples(part, indices), strict=True)
        self.wanted = []


def one_pass(source: SampleSource, batch_tokens: int, *, epoch: int = 0) -> Iterator[PackedBatch]:
    """Yield all samples of an epoch once, in batches up to a token budget; for evaluation."""
    for part in range(epoch * source.parts_per_epoch, (epoch + 1) * source.parts_per_epoch):
        for batch in batches_by_tokens(
            source.plan(part).lengths.astype(np.int64), batch_tokens, sort=False
        ):
            yield pack(source.samples(part, batch))


def parse_stages(words: Sequence[str]) -> tuple[Stage, ...]:
    """Read stages as they are typed.

    Raises:
        ConfigError: a word is no stage, or fractions do not rise between 0 and 1.

    >>> parse_stages(["64:0.5", "128:0.9"])
    (Stage(value=64, until=0.5), Stage(value=128, until=0.9))
    """
    try:
        pairs = [word.split(":") for word in words]
        stages = tuple(Stage(int(value), float(until)) for value, until in pairs)
    except ValueError:
        stages = (Stage(0, 0.0),)
    bounds = [0.0, *(stage.until for stage in stages), 1.0]
    rising = all(before < after for before, after in pairwise(bounds))
    if not rising or any(stage.value < 1 for stage in stages):
        raise ConfigError(
            "Stages must be VALUE:UNTIL, with a whole number and a fraction of the run between 0"
            f" and 1 that rises from stage to stage. Received: {' '.join(map(str, words))}. Write,"
            " for example, 64:0.9."
        )
    return stages


def stage_value(stages: Sequence[Stage], final: int, fraction: float) -> int:
    """Return the value of the stage that holds at a fraction of the run, or the final one."""
    return next((stage.value for stage in stages if fraction < stage.until), final)


def _begun(position: Position, length: int) -> list[int]:
    """Return slot, parts and indices; at another length, the parts after those begun."""
    before, slot, *cursors = position
    if before != length:
        for at in range(0, len(cursors), 2):
            cursors[at : at + 2] = cursors[at] + (cursors[at + 1] > 0), 0
    return [slot, *cursors]
