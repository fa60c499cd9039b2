"""Counter-based random streams: every draw is a function of a key, never of what was drawn before.

A stream is named by integers such as (seed, epoch, sample). Any worker can make any sample again,
so resuming is exact and the number of workers changes nothing. There is no global seed in the
house.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def stream(*key: int | np.integer[Any] | str) -> np.random.Generator:
    """Return the random stream of a key; equal keys give equal streams on every machine.

    Philox (Salmon et al., 2011) is counter-based, so making a stream costs microseconds and needs
    no warm-up. Numpy's integers are keys equal to Python's.

    >>> bool(stream(0, "order", 3).integers(100) == stream(0, "order", np.int64(3)).integers(100))
    True
    """
    plain = tuple(part if isinstance(part, str) else int(part) for part in key)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))


def hashed_fraction(value: bytes, *, salt: int = 0) -> float:
    """Return a number in [0, 1) that depends on the bytes alone; it splits data by content."""
    digest = hashlib.blake2b(value, digest_size=8, salt=salt.to_bytes(8, "little")).digest()
    # A float holds 53 bits; rounding the other 11 could give 1.
    return (int.from_bytes(digest, "little") >> 11) / 2**53
