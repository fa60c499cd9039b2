"""Counter-based random streams: every draw is a function of a key, never of what was drawn before.

A stream is named by integers such as (seed, epoch, sample). Any worker can make any sample again,
so resuming is exact and the number of workers changes nothing. There is no global seed in the
house.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The golden ratio's fraction in 64 bits: steps of this visit every number once.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def stream(*key: int | np.integer[Any] | str) -> np.random.Generator:
    """Return the random stream of a key; equal keys give equal streams on every machine.

    Philox (Salmon et al., 2011) is counter-based, so making a stream costs microseconds and needs
    no warm-up. Numpy's integers are keys equal to Python's.

    >>> bool(stream(0, "order", 3).integers(100) == stream(0, "order", np.int64(3)).integers(100))
    True
    """
    return np.random.Generator(np.random.Philox(key=_words(key)))


def row_keys(
    *key: int | np.integer[Any] | str, rows: NDArray[np.integer[Any]]
) -> NDArray[np.uint64]:
    """Return a key for each of many rows, (rows,), for `fractions`; rows are numbers from 0."""
    return _mixed(_words(key)[0] + rows.astype(np.uint64) * _GOLDEN)


def fractions(
    keys: NDArray[np.uint64], counters: int | NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return the draw of each key at a counter: numbers in [0, 1), of the shape of `keys`.

    For draws by the million, where a stream for each row would be slow. A key's draws are a
    SplitMix64 generator (Steele, Lea and Flood, 2014), whose state is key + counter * constant.

    >>> keys = row_keys(0, "sample", rows=np.arange(3))
    >>> bool((fractions(keys, 5)[1:] == fractions(keys[1:], 5)).all())
    True
    """
    steps = np.atleast_1d(counters).astype(np.uint64)  # arrays wrap where single numbers warn
    # A float holds 53 bits; rounding the other 11 could give 1.
    bits = _mixed(keys + (steps + np.uint64(1)) * _GOLDEN) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def hashed_fraction(value: bytes, *, salt: int = 0) -> float:
    """Return a number in [0, 1) that depends on the bytes alone; it splits data by content."""
    digest = hashlib.blake2b(value, digest_size=8, salt=salt.to_bytes(8, "little")).digest()
    # A float holds 53 bits; rounding the other 11 could give 1.
    return (int.from_bytes(digest, "little") >> 11) / 2**53


def _words(key: tuple[int | np.integer[Any] | str, ...]) -> NDArray[np.uint64]:
    """Return two words of 64 bits that depend on a key."""
    plain = tuple(part if isinstance(part, str) else int(part) for part in key)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u8")


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's output for each state; products and sums wrap, as they should."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
