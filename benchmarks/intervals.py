"""Intervals of figures: the bootstrap of `albatross.metrics` beside scipy's, in turn.

    python benchmarks/intervals.py --records 10000

Both draw the records 500 times, compute the figure anew, and give percentiles. scipy's takes the
figure as a function of one sample, as it must for one that is not written for many at once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from albatross.metrics.intervals import bootstrap
from albatross.metrics.regression import spearman
from albatross.metrics.spans import span_metrics
from albatross.rng import stream

ROUNDS = 500
Rows = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    draw, count = stream(0), arguments.records
    pairs = draw.integers(2, size=(count, 2)).astype(float)
    values = draw.normal(size=(count, 2))
    spans = np.column_stack([draw.integers(2, size=(count, 4)), draw.normal(size=count)])
    print(f"{count:,} records, {ROUNDS} rounds; medians of {arguments.repeats} in turn, seconds")
    print(f"{'figure':<24}{'albatross':>10}{'scipy':>10}{'ratio':>8}")
    for name, figure, rows in (
        ("accuracy", accuracy, pairs),
        ("Spearman's correlation", lambda rows: spearman(*rows.T), values),
        ("F1 of answer spans", lambda rows: span_metrics(rows, 0.0)["f1"], spans),
    ):
        ours, theirs = times(figure, rows, arguments.repeats)
        print(f"{name:<24}{ours:>10.2f}{theirs:>10.2f}{theirs / ours:>8.1f}")


def accuracy(rows: Rows) -> float:
    return float((rows[:, 0] == rows[:, 1]).mean())


def times(figure: Callable[[Rows], float], rows: Rows, repeats: int) -> tuple[float, float]:
    """Return the median seconds of both, measured in turn."""
    found: tuple[list[float], list[float]] = [], []
    for _ in range(repeats):
        for taken, run in zip(found, (ours, scipys), strict=True):
            started = time.perf_counter()
            run(figure, rows)
            taken.append(time.perf_counter() - started)
    return statistics.median(found[0]), statistics.median(found[1])


def ours(figure: Callable[[Rows], float], rows: Rows) -> None:
    bootstrap(lambda drawn: {"figure": figure(drawn)}, rows, stream(1), rounds=ROUNDS)


def scipys(figure: Callable[[Rows], float], rows: Rows) -> None:
    """Draw places, as scipy draws from one axis, and take their rows."""
    stats.bootstrap(
        (np.arange(len(rows)),),
        lambda places: figure(rows[places]),
        n_resamples=ROUNDS,
        vectorized=False,
        method="percentile",
        rng=stream(1),
    )


if __name__ == "__main__":
    main()
