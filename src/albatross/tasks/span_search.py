"""From the logits of windows to the best pieces of a context."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.tasks.answers import SpanCandidate
from albatross.tasks.inputs import softmax
from albatross.tasks.task import Outputs, Tokenizer
from albatross.tokenizer.unigram import Encoding

# Google's: starts and ends that are paired, candidates kept, and tokens of the longest answer.
_BEST, _LONGEST = 20, 30
# Log probabilities below are of beams that do not exist.
_IMPOSSIBLE = -1e29
# Contexts whose tokens are kept: a file's questions come context by context.
_KEPT = 8


@dataclass(frozen=True)
class Window:
    """Where a sequence's context tokens stand.

    Attributes:
        first: column of the first one
        offsets: (context tokens, 2), characters of the context
        is_best: (context tokens,), whether no other window gives a token more context
    """

    first: int
    offsets: NDArray[np.int64]
    is_best: NDArray[np.bool_]


@dataclass(frozen=True)
class FoundSpans:
    """The best pieces, the best first.

    Attributes:
        candidates: with their probabilities
        no_answer_score: log odds of no answer: by the plain head against the best piece
        no_answer_share: the probability of no answer beside the candidates
    """

    candidates: tuple[SpanCandidate, ...]
    no_answer_score: float
    no_answer_share: float


@dataclass(frozen=True)
class _Scored:
    """Pairs of tokens of one window with their scores, all of shape (pairs,)."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    scores: NDArray[np.float64]


class LastEncodings:
    """A tokenizer that remembers the last few texts: a context's questions share its tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Remember nothing yet."""
        self._tokenizer = tokenizer
        self._known: dict[str, Encoding] = {}

    def __call__(self, text: str) -> Encoding:
        """Return the tokens of a text and where they stand."""
        found = self._known.get(text) or self._tokenizer.encode_with_offsets(text)
        known = {**self._known, text: found}
        # Replaced and never changed, so that threads may share it.
        self._known = dict(list(known.items())[-_KEPT:])
        return found


def best_spans(
    outputs: Outputs, head: str, is_beam: bool, context: str, examples: Sequence[Example]
) -> FoundSpans:
    """Compare the spans of all windows; of a token only the window with most context speaks."""
    pairs = (
        _beam_pairs(outputs, head, examples) if is_beam else _plain_pairs(outputs[head], examples)
    )
    found: dict[tuple[int, int], float] = {}
    for window, scored in zip(_windows(examples), pairs, strict=True):
        for (start, end), score in _possible(window, scored):
            span = _trimmed(context, start, end)
            if span[0] < span[1]:
                found[span] = max(found.get(span, -math.inf), score)
    best = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_BEST]
    if not best:
        return FoundSpans((), math.inf, 1.0)
    scores = np.array([score for _, score in best])
    if is_beam:
        # The lowest of all windows, as Google takes it: one that holds the answer decides.
        none = float(outputs[f"{head}.no_answer"].min())
        shares, none_share = softmax(scores), float(0.5 * (1 + math.tanh(none / 2)))
    else:
        null = float(min(_null_scores(outputs[head], examples)))
        shares = softmax(np.append(scores, null))
        none, none_share = null - float(scores[0]), float(shares[-1])
    candidates = tuple(
        SpanCandidate(context[start:end], start, end, float(share))
        for ((start, end), _), share in zip(best, shares, strict=False)
    )
    return FoundSpans(candidates, none, none_share)


def _windows(examples: Sequence[Example]) -> Iterator[Window]:
    """Yield where the context of each example stands."""
    for example in examples:
        assert isinstance(example.origin, Window)
        yield example.origin


def _plain_pairs(logits: NDArray[np.float32], examples: Sequence[Example]) -> Iterator[_Scored]:
    """Yield every pair of the best starts and the best ends of each window, in context tokens."""
    for window, rows in zip(_windows(examples), _by_example(logits, examples), strict=True):
        context = rows[window.first : window.first + len(window.offsets)].astype(np.float64)
        order = np.argsort(-context, axis=0, kind="stable")[:_BEST]
        starts, ends = (grid.ravel() for grid in np.meshgrid(order[:, 0], order[:, 1]))
        yield _Scored(starts, ends, context[starts, 0] + context[ends, 1])


def _null_scores(logits: NDArray[np.float32], examples: Sequence[Example]) -> Iterator[float]:
    """Yield what each window gives to [CLS], where no answer is."""
    for rows in _by_example(logits, examples):
        yield float(rows[0].astype(np.float64).sum())


def _by_example(
    logits: NDArray[np.float32], examples: Sequence[Example]
) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of each example's tokens."""
    at = 0
    for example in examples:
        yield logits[at : at + len(example.input_ids)]
        at += len(example.input_ids)


def _beam_pairs(outputs: Outputs, head: str, examples: Sequence[Example]) -> Iterator[_Scored]:
    """Yield the ends of each start that the beam head found in each window, in context tokens."""
    start_scores = outputs[f"{head}.start_log_probs"].astype(np.float64)
    starts = outputs[f"{head}.start_index"].astype(np.int64)
    end_scores = outputs[f"{head}.end_log_probs"].astype(np.float64)
    ends = outputs[f"{head}.end_index"].astype(np.int64)
    times = end_scores.shape[1] // start_scores.shape[1]
    for row, window in enumerate(_windows(examples)):
        scores = np.repeat(start_scores[row], times) + end_scores[row]
        real = scores > _IMPOSSIBLE
        of_pairs = np.repeat(starts[row], times)[real] - window.first
        yield _Scored(of_pairs, ends[row][real] - window.first, scores[real])


def _possible(window: Window, pairs: _Scored) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield the characters and the score of the best pairs that are pieces of the context."""
    starts, ends = pairs.starts, pairs.ends
    inside = (starts >= 0) & (ends >= starts) & (ends < len(window.offsets))
    kept = np.flatnonzero(inside & (ends - starts < _LONGEST))
    kept = kept[window.is_best[starts[kept]]]
    kept = kept[np.argsort(-pairs.scores[kept], kind="stable")][:_BEST]
    for pair in kept:
        span = int(window.offsets[starts[pair], 0]), int(window.offsets[ends[pair], 1])
        yield span, float(pairs.scores[pair])


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without the white space at its ends, which may be a token of its own."""
    piece = context[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())
