"""How sure a figure is: Wilson's interval of a share, the bootstrap's of anything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.errors import DataError

# Two-sided 95 % of a normal distribution.
_Z95 = 1.959963984540054
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def wilson_interval(share: float, count: int) -> Interval:
    """Return the 95 % interval of a share of `count` trials (Wilson, 1927), fit for few trials too.

    Raises:
        DataError: there is no trial.

    >>> interval = wilson_interval(0.5, 100)
    >>> print(f"{interval.low:.4f} to {interval.high:.4f}")
    0.4038 to 0.5962
    """
    spread = _Z95**2 / checked_count(count)
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def bootstrap(
    metrics: Callable[[NDArray[np.float64]], Mapping[str, float]],
    judged: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    rounds: int = 1_000,
    advance: Callable[[float], None] | None = None,
) -> dict[str, Interval]:
    """Return the 95 % percentile interval of each figure (Efron, 1979).

    The records are drawn again and again with replacement, as many as there are, and the figures
    computed anew. A figure that some drawings lack, such as one of a part of the records, has the
    interval of those that give it.

    Args:
        metrics: the figures of any rows of `judged`.
        judged: (records, columns), what the figures need of each record.
        rng: draws the records.
        rounds: how often they are drawn.
        advance: told the share of the work that was done since it was last told.

    Raises:
        DataError: there is no record.

    >>> right = np.repeat([[1.0], [0.0]], 50, axis=0)
    >>> found = bootstrap(lambda rows: {"accuracy": rows.mean()}, right, np.random.default_rng(0))
    >>> round(found["accuracy"].low, 2), round(found["accuracy"].high, 2)
    (0.4, 0.6)
    """
    count = checked_count(len(judged))
    # No figure depends on the order of its rows; rows in order of their last column are sorted by
    # it in a fraction of the time, which thresholds and ranks need in every round.
    judged = judged[np.argsort(judged[:, -1], kind="stable")]
    places = np.arange(count)
    draws: dict[str, list[float]] = {}
    for _ in range(rounds):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        drawn = judged.take(np.repeat(places, times), axis=0)
        for name, figure in metrics(drawn).items():
            draws.setdefault(name, []).append(figure)
        if advance is not None:
            advance(1 / rounds)
    return {name: _percentiles(figures) for name, figures in draws.items()}


def checked_count(count: int) -> int:
    """Return a number of records that a score can be taken of.

    Raises:
        DataError: there is none.
    """
    if count < 1:
        raise DataError(
            "A score needs at least one record. Received: none. Give a file that holds some."
        )
    return count


def _percentiles(figures: list[float]) -> Interval:
    """Return where the middle 95 % of the figures lie."""
    low, high = np.percentile(figures, _PERCENTILES)
    return Interval(float(low), float(high))
