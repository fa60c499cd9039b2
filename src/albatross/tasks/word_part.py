"""A vector that tells which words a text has, without anything learned or stored.

An encoder that guesses masked words gives away which word stood where, and a mean of its rows tells
what a text is about better than what it names. Here every piece has signs of its own, drawn from
its number (Achlioptas, 2003; Kanerva et al., 2000), and frequent ones count less (Arora et al.,
2017, section 3). How frequent a piece is follows from its place in the vocabulary by Zipf's law.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The piece at this place counts half.
_HALF = 100
_LEAST_LENGTH = 1e-12
# SplitMix64's increment and multipliers (Steele et al., 2014).
_STEP, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def word_part(ids: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Return the sum of the pieces' signs, each by its weight, of unit length: (width,).

    Args:
        ids: of a text, without specials; texts without any are alike.
        width: numbers of the vector.

    >>> one = word_part(np.array([5_000, 17]), 512)
    >>> round(float(one @ word_part(np.array([17, 5_000]), 512)), 6)
    1.0
    >>> abs(float(one @ word_part(np.array([6_000, 17]), 512))) < 0.2
    True
    """
    pieces = ids if len(ids) else np.zeros(1, dtype=np.int64)
    places = pieces + 1.0
    summed: NDArray[np.float64] = (places / (places + _HALF)) @ _signs(pieces, width)
    unit: NDArray[np.float64] = summed / max(float(np.linalg.norm(summed)), _LEAST_LENGTH)
    return unit


def _signs(ids: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Return 1 or -1 for every number of every piece's vector: (pieces, width)."""
    words = -(-width // 64)
    numbers = np.arange(1, words + 1, dtype=np.uint64)
    state: NDArray[np.uint64] = ids[:, None].astype(np.uint64) * np.uint64(words) + numbers
    state = state * _STEP
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    state = state ^ (state >> np.uint64(31))
    bits = np.unpackbits(state.astype("<u8").view(np.uint8), axis=1)[:, :width]
    return bits.astype(np.float64) * 2 - 1
