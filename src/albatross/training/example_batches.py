"""Steps of fine-tuning: so many examples, or whole records, in an order by the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from albatross.data.packing import Example, IntArray, PackedBatch, pack
from albatross.data.sampling import Position, StepBatch
from albatross.rng import stream


class ExampleBatches:
    """Batches of a fixed number of units, in an order of its own every epoch.

    A unit is a list of examples that a step takes together: the choices of a question, the texts of
    a pair; elsewhere one example.
    """

    def __init__(
        self,
        units: Sequence[Sequence[Example]],
        batch_size: int,
        seed: int,
        *,
        micro_tokens: int | None = None,
    ) -> None:
        """Keep the units; they are few beside a corpus.

        Args:
            units: what is learned from.
            batch_size: units of a step.
            seed: of their order.
            micro_tokens: tokens that go through the model at once, those of targets included, at
                least one unit; a step of more adds up gradients. All by default.
        """
        self._units, self._size, self._seed = units, batch_size, seed
        self._micro_tokens = micro_tokens
        self._order_of: tuple[int, IntArray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the last one smaller."""
        return math.ceil(len(self._units) / self._size)

    @property
    def start(self) -> Position:
        """The first epoch's first unit."""
        return (0, 0)

    def step(self, position: Position, fraction: float) -> StepBatch:
        """Return the batch at (epoch, index), and where the next one starts."""
        epoch, index = position
        if self._order_of is None or self._order_of[0] != epoch:
            order = stream(self._seed, "examples", epoch).permutation(len(self._units))
            self._order_of = (epoch, order)
        chosen = self._order_of[1][index : index + self._size]
        following = index + len(chosen)
        after = (epoch, following) if following < len(self._units) else (epoch + 1, 0)
        # Neighbours of like length attend with few pads; see `modeling/packed.py`.
        units = sorted((self._units[i] for i in chosen), key=_length_of)
        batches = self._packed(units)
        tokens = sum(_tokens_of(batch) for batch in batches)
        return StepBatch(batches, after, tokens, sum(batch.num_sequences for batch in batches))

    def _packed(self, units: Sequence[Sequence[Example]]) -> list[PackedBatch]:
        """Return the batch of some units, or several of at most so many tokens."""
        lengths = [sum(_tokens_of(example) for example in unit) for unit in units]
        parts: list[list[int]] = [[]]
        room = self._micro_tokens or sum(lengths)
        for number, length in enumerate(lengths):
            if parts[-1] and length > room:
                parts.append([])
                room = self._micro_tokens or 0
            parts[-1].append(number)
            room -= length
        return [
            pack(
                [example for number in part for example in units[number]],
                np.repeat(part, [len(units[number]) for number in part]).tolist(),
            )
            for part in parts
        ]


def _length_of(unit: Sequence[Example]) -> int:
    """Return the tokens of a unit's longest example."""
    return max(len(example.input_ids) for example in unit)


def _tokens_of(given: Example | PackedBatch) -> int:
    """Return the tokens that go through the model: a target's are written beside those read."""
    return len(given.input_ids) + (0 if given.target is None else len(given.target.input_ids))
