"""The topic-shortcut probe: can sentence labels be told from topic alone?

A classifier sees of each pair of segments only what does not change when they are swapped: how much
of their words they share, by rarity. So it can use the topic and nothing else. On labels of true
sentence order it must stay at 50 %. Where it does not, a model may learn the task without a look at
order: BERT's negatives from other documents fail so, and Google's ALBERT data in part, which gives
each chunk of a single segment a second one from elsewhere and the label 1.

What it cannot see: shortcuts that are not topic. A second classifier, `words by side`, knows which
words stand in which segment, though not in what order. What it finds is of the kind that sentence
order should teach (names come before pronouns, openings before endings); it is shown for
comparison, and no verdict hangs on it. Neither sees traces that a bag does not hold, such as a text
cut in mid-sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.data.segments import SampleSource, SampleText
from albatross.rng import stream

Matrix = NDArray[np.float64]
LEAST_PAIRS = 200
"""Fewer pairs than this tell nothing."""
# The rarity of a word is the logarithm of segments per segment that holds it: words in more than
# one of 7, 50 and 400 segments, and the rest.
_RARITY_BOUNDS = (2.0, 4.0, 6.0)
_SIDE_BUCKETS = 1_024
# Enough for so many weights; more would take long.
_FITTED_BY_SIDE = 5_000
# Two standard errors.
_Z = 1.96


@dataclass(frozen=True)
class PairBags:
    """The words of pairs of segments, without their order.

    Attributes:
        first: (entries,), `pair * vocab + id` for each word of a first segment, once and sorted
        second: (entries,), likewise
        labels: (pairs,), 0 for in order, 1 for not
        vocab_size: number of ids
    """

    first: IntArray
    second: IntArray
    labels: IntArray
    vocab_size: int


@dataclass(frozen=True)
class ProbeResult:
    """How well labels are told, on pairs that the classifier was not fitted on.

    Attributes:
        accuracy: as many pairs of either label, so that chance is 0.5
        low: of the 95 % interval
        high: likewise
        pairs: that it was measured on
        by_side: accuracy of the classifier that knows which words stand in which segment
    """

    accuracy: float
    low: float
    high: float
    pairs: int
    by_side: float

    def __str__(self) -> str:
        """Say it in one line."""
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.accuracy:.1f} % ({low:.1f} to {high:.1f} %, {self.pairs:,} pairs)"


def probe(bags: PairBags, seed: int = 0) -> ProbeResult | None:
    """Fit on half of the pairs and measure on the other; None for fewer than `LEAST_PAIRS`."""
    rows = _balanced(bags.labels, seed)
    if len(rows) < LEAST_PAIRS:
        return None
    half = len(rows) // 2
    fit, test = rows[:half], rows[half:]
    accuracy = _hits(shared_words(bags), bags.labels, fit, test)
    by_side = _hits(words_by_side(bags), bags.labels, fit[:_FITTED_BY_SIDE], test)
    count = len(test)
    # Wilson's interval, which stays within 0 and 1.
    middle = (accuracy + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    spread = accuracy * (1 - accuracy) / count + _Z**2 / (4 * count**2)
    half_width = _Z * spread**0.5 / (1 + _Z**2 / count)
    return ProbeResult(accuracy, middle - half_width, middle + half_width, count, by_side)


def pairs_of(source: SampleSource, count: int) -> SampleText:
    """Return the text of the first samples of training that have an order."""
    rows = np.flatnonzero(source.plan(0).order != IGNORED_LABEL)[:count]
    return source.text(0, rows)


def googles_mixture(source: SampleSource, count: int) -> SampleText:
    """Return the same samples as Google's script would make them of stretches like ours.

    A sample of a single segment gets a second one from another document, and the label 1
    (`create_pretraining_data.py`, also where random negatives are off).
    """
    plan = source.plan(0)
    rows = np.arange(min(count, len(plan)))
    text = source.text(0, rows)
    pieces = np.split(text.ids, text.bounds[1:-1])
    order = text.order.copy()
    rng = stream(source.rule.seed, "google")
    for row in np.flatnonzero(order == IGNORED_LABEL):
        other = int(rng.integers(len(plan)))
        if (plan.shard[other], plan.document[other]) != (plan.shard[row], plan.document[row]):
            found = source.text(0, np.array([other]))
            pieces[2 * row + 1] = found.ids[: max(found.bounds[1], 1)]
            order[row] = 1
    kept = np.flatnonzero(order != IGNORED_LABEL)
    chosen = [pieces[2 * row + side] for row in kept for side in (0, 1)]
    bounds = np.concatenate([[0], np.cumsum([len(piece) for piece in chosen])]).astype(np.int64)
    ids = np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)
    return replace(text, ids=ids, bounds=bounds, order=order[kept])


def bags_of(text: SampleText, vocab_size: int) -> PairBags:
    """Forget the order of the words."""
    sizes = np.diff(text.bounds)
    pair = np.repeat(np.arange(len(sizes)) // 2, sizes)
    is_second = np.repeat(np.arange(len(sizes)) % 2 == 1, sizes)
    keys = pair * vocab_size + text.ids
    return PairBags(np.unique(keys[~is_second]), np.unique(keys[is_second]), text.order, vocab_size)


def shared_words(bags: PairBags) -> Matrix:
    """Return what segments share, (pairs, features); swapping the two changes nothing.

    For words of each rarity and for all: the weight of those in both over the geometric mean of the
    weights of those in either.
    """
    num_pairs = len(bags.labels)
    weight = _rarity(bags)
    band = np.searchsorted(_RARITY_BOUNDS, weight)
    both = np.intersect1d(bags.first, bags.second, assume_unique=True)
    columns = []
    for number in (*range(len(_RARITY_BOUNDS) + 1), None):
        used = weight**2 if number is None else np.where(band == number, weight, 0.0)
        sums = [
            np.bincount(keys // bags.vocab_size, used[keys % bags.vocab_size], num_pairs)
            for keys in (both, bags.first, bags.second)
        ]
        columns.append(sums[0] / np.sqrt(np.maximum(sums[1] * sums[2], 1e-9)))
    return np.stack(columns, axis=1)


def words_by_side(bags: PairBags) -> Matrix:
    """Return the words of the first segments less those of the second, (pairs, buckets)."""
    found = np.zeros((len(bags.labels), _SIDE_BUCKETS))
    for keys, sign in ((bags.first, 1.0), (bags.second, -1.0)):
        pair, word = keys // bags.vocab_size, keys % bags.vocab_size
        np.add.at(found, (pair, word * 40_503 % 65_521 % _SIDE_BUCKETS), sign)
    return found


def _rarity(bags: PairBags) -> Matrix:
    """Return the rarity of every word, (vocab,), in these segments; labels play no part."""
    words = np.concatenate([bags.first, bags.second]) % bags.vocab_size
    count = np.bincount(words, minlength=bags.vocab_size)
    rarity: Matrix = np.log(2 * len(bags.labels) / np.maximum(count, 1))
    return rarity


def _balanced(labels: IntArray, seed: int) -> IntArray:
    """Return as many rows of either label, in a random order."""
    order = stream(seed, "probe").permutation(len(labels))
    parts = [order[labels[order] == label] for label in (0, 1)]
    count = min(map(len, parts))
    rows = np.concatenate([part[:count] for part in parts])
    return rows[stream(seed, "halves").permutation(len(rows))]


def _hits(features: Matrix, labels: IntArray, fit: IntArray, test: IntArray) -> float:
    """Fit a logistic regression on some rows and return its accuracy on others."""
    mean, deviation = features[fit].mean(axis=0), features[fit].std(axis=0)
    scaled = (features - mean) / np.maximum(deviation, 1e-9)
    weights, bias = fit_logistic(scaled[fit], labels[fit])
    said = scaled[test] @ weights + bias > 0
    return float((said == (labels[test] == 1)).mean())


def fit_logistic(
    features: Matrix, labels: IntArray, *, ridge: float = 10.0
) -> tuple[Matrix, float]:
    """Return weights (features,) and bias of a logistic regression, by Newton's method.

    Args:
        features: (rows, features), of like scales.
        labels: (rows,), 0 or 1.
        ridge: strength of the pull of the weights towards 0.
    """
    rows = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    pull = np.append(np.full(features.shape[1], ridge), 1e-6)
    weights = np.zeros(rows.shape[1])
    for _ in range(8):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (chance - labels) + pull * weights
        curve = (rows * (chance * (1 - chance) + 1e-9)[:, None]).T @ rows + np.diag(pull)
        weights = weights - np.linalg.solve(curve, slope)
    return weights[:-1], float(weights[-1])
