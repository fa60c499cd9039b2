"""What a model keeps while it writes, in numpy: keys and values of words so far, and of sources.

New words are written behind the old ones in place, so that a text costs no copies of what it has
already. No state spoils another for all that: who goes on from a state a second time gets a copy.
No weights, and no graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray

FloatArray = NDArray[np.float32]
# Added to a score that must not count; as far from 0 as 32 bits comfortably hold.
_UNSEEN = -1e30


@dataclass(frozen=True)
class KeysValues:
    """Keys and values of some tokens, both (rows, heads, tokens, head_size)."""

    keys: FloatArray
    values: FloatArray


@dataclass(frozen=True)
class Sources:
    """What cross-attention looks at.

    Attributes:
        of_block: by the block that projected them
        unseen: (rows, 1, 1, tokens), see `unseen_behind`
        owners: (rows,), the source of each row
    """

    of_block: Mapping[str, KeysValues]
    unseen: FloatArray
    owners: IntArray

    def select(self, rows: IntArray) -> Sources:
        """Return those of some rows; the very same where all rows keep their source."""
        owners = self.owners[rows]
        if np.array_equal(owners, self.owners):
            return self
        chosen = {
            block: KeysValues(kept.keys[rows], kept.values[rows])
            for block, kept in self.of_block.items()
        }
        return Sources(chosen, self.unseen[rows], owners)


class WordCache:
    """Keys and values of words at every depth, with room for more.

    Attributes:
        kept: (depth, 2, rows, heads, room, head_size), keys before values
        steps: how many words were added to each row; a state that is behind may not write here
    """

    def __init__(self, kept: FloatArray, steps: int = 0) -> None:
        """Take an array with room."""
        self.kept = kept
        self.steps = steps

    @classmethod
    def empty(cls, depth: int, rows: int, heads: int, room: int, head_size: int) -> WordCache:
        """Return a cache without words. Zeros, since even what counts for nothing is multiplied."""
        return cls(np.zeros((depth, 2, rows, heads, room, head_size), dtype=np.float32))

    @property
    def room(self) -> int:
        """For how many words there is room."""
        return int(self.kept.shape[4])

    def copied(self, rows: IntArray, used: int, room: int, steps: int) -> WordCache:
        """Return a cache of some rows, of which so many words are used, with this room."""
        depth, two, _, heads, _, head_size = self.kept.shape
        kept = np.zeros((depth, two, len(rows), heads, room, head_size), dtype=np.float32)
        for new, old in enumerate(rows):
            kept[:, :, new, :, :used] = self.kept[:, :, old, :, :used]
        return WordCache(kept, steps)


@dataclass(frozen=True)
class GeneratorState:
    """What is kept of the words so far, a row for each beginning.

    Attributes:
        cache: keys and values; states that came out of this one write into it behind these
        lengths: (rows,), how many words of the cache are a row's; the next one stands there
        steps: how many words were added to the cache until this state
        sources: what a decoder with cross-attention looks at
    """

    cache: WordCache
    lengths: IntArray
    steps: int
    sources: Sources | None

    def select(self, rows: IntArray) -> GeneratorState:
        """Return the state of some rows `(selected,)`, which may come several times."""
        sources = None if self.sources is None else self.sources.select(rows)
        lengths = self.lengths[rows]
        cache = self.cache.copied(rows, self._used, self.cache.room, self.steps)
        return GeneratorState(cache, lengths, self.steps, sources)

    def writable(self) -> GeneratorState:
        """Return this state with a cache that is its own to write a word into; doubled if full."""
        room = self.cache.room
        if self._used < room and self.cache.steps == self.steps:
            return self
        room = room if self._used < room else 2 * room
        every = np.arange(len(self.lengths))
        return replace(self, cache=self.cache.copied(every, self._used, room, self.steps))

    def written(self) -> GeneratorState:
        """Return the state after one word a row has been written into the cache."""
        self.cache.steps = self.steps + 1
        return replace(self, lengths=self.lengths + 1, steps=self.steps + 1)

    @property
    def _used(self) -> int:
        """Words of the longest row."""
        return int(self.lengths.max(initial=0))


def unseen_behind(lengths: IntArray, tokens: int) -> FloatArray:
    """Return what is added to scores so that a row sees its first tokens alone.

    >>> unseen_behind(np.array([1, 2]), 2).reshape(2, 2) < 0
    array([[False,  True],
           [False, False]])
    """
    behind = np.arange(tokens) >= lengths[:, None]
    return np.where(behind, np.float32(_UNSEEN), np.float32(0))[:, None, None]
