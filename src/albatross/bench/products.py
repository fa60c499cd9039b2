"""A process that measures how fast this machine multiplies matrices of one layer's shapes.

    python -m albatross.bench.products 768 3072 8 128

It prints FLOP/s for each number of rows, by numpy in 32-bit floats. The threads of numpy's library
follow the environment as it was when the process began.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import numpy as np

_SECONDS = 0.3


def main(arguments: Sequence[str]) -> None:
    """Measure with the hidden size, the intermediate size and the numbers of rows."""
    hidden, wide, *rows = map(int, arguments)
    print(json.dumps([product_speed(hidden, wide, count) for count in rows]))


def product_speed(hidden: int, wide: int, rows: int, seconds: float = _SECONDS) -> float:
    """Return the most FLOP/s of a layer's six products of `rows` rows.

    Args:
        hidden: the width of rows
        wide: the width inside the feed-forward block
        rows: how many
        seconds: for how long to try; the best time counts
    """
    shapes = [*[(hidden, hidden)] * 4, (hidden, wide), (wide, hidden)]
    given = [(np.ones((rows, a), np.float32), np.ones((a, b), np.float32)) for a, b in shapes]
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        for left, right in given:
            left @ right
        best = min(best, time.perf_counter() - start)
    return sum(2 * rows * a * b for a, b in shapes) / best


if __name__ == "__main__":
    main(sys.argv[1:])
