"""Scores of answers cut from a text, as SQuAD's official scripts give them (shares, not percent).

A question may have no answer; a model then says so by a no-answer score above a threshold.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albatross.metrics.intervals import checked_count

FloatArray = NDArray[np.float64]
JUDGED_COLUMNS = ("exact", "f1", "has_answer", "gave_text", "no_answer_score")
"""What the figures need of each question; `judge_span` gives it."""
_EXACT, _F1, _HAS_ANSWER, _GAVE_TEXT, _NO_ANSWER_SCORE = range(5)
# Sums of figures in another order differ by less.
_ROUNDING = 1e-9
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class BestThreshold:
    """The highest score that some threshold gives, and that threshold."""

    score: float
    threshold: float


def normalize_answer(text: str) -> str:
    """Return a text in small letters, without punctuation, articles and superfluous space.

    >>> normalize_answer("The U.S.  Army!")
    'us army'
    """
    plain = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(predicted: str, answers: Sequence[str]) -> float:
    """Return 1 if an answer equals one that is accepted, after normalisation, or else 0."""
    found = normalize_answer(predicted)
    return float(any(found == wanted for wanted in _accepted(answers)))


def token_f1(predicted: str, answers: Sequence[str]) -> float:
    """Return the best F1 of an answer's words against those of an accepted one.

    A side without words counts as no answer: 1 if the other has none either, or else 0.
    """
    found = normalize_answer(predicted).split()
    return max(_overlap(found, wanted.split()) for wanted in _accepted(answers))


def judge_span(
    predicted: str, answers: Sequence[str], no_answer_score: float = -math.inf
) -> tuple[float, ...]:
    """Return the row of one question, by `JUDGED_COLUMNS`.

    Args:
        predicted: the best text of the model, as if the question had an answer.
        answers: the accepted ones; none where the question has no answer.
        no_answer_score: how sure the model is that there is none; -inf where it cannot say.
    """
    return (
        exact_match(predicted, answers),
        token_f1(predicted, answers),
        float(bool(answers)),
        float(bool(predicted)),
        no_answer_score,
    )


def span_metrics(judged: FloatArray, threshold: float = math.inf) -> dict[str, float]:
    """Return exact match and F1, and those of questions with and without an answer apart.

    A question whose no-answer score is above the threshold counts as said to have no answer. The
    parts are given where there are questions without an answer.
    """
    checked_count(len(judged))
    scores = _at_threshold(judged, threshold)
    figures = {"exact": float(scores[:, 0].mean()), "f1": float(scores[:, 1].mean())}
    has_answer = judged[:, _HAS_ANSWER] > 0
    if has_answer.all():
        return figures
    if has_answer.any():
        exact, f1 = scores[has_answer].mean(0)
        figures |= {"has_answer_exact": float(exact), "has_answer_f1": float(f1)}
    exact, f1 = scores[~has_answer].mean(0)
    return figures | {"no_answer_exact": float(exact), "no_answer_f1": float(f1)}


def best_exact(judged: FloatArray) -> BestThreshold:
    """Return the threshold with the highest exact match on these very questions."""
    return _best_threshold(judged, _EXACT)


def best_f1(judged: FloatArray) -> BestThreshold:
    """Return the threshold with the highest F1 on these very questions."""
    return _best_threshold(judged, _F1)


def reaching_threshold(judged: FloatArray) -> float:
    """Return a threshold at which these questions have the highest F1.

    That of `best_f1`, except where it is best to say of every question that it has no answer: the
    official script calls that 0, as of probabilities, and scores may lie below.
    """
    best = best_f1(judged)
    if span_metrics(judged, best.threshold)["f1"] >= best.score - _ROUNDING:
        return best.threshold
    return float(judged[:, _NO_ANSWER_SCORE].min()) - 1.0


def _best_threshold(judged: FloatArray, column: int) -> BestThreshold:
    """Raise the threshold past one question after another, as the official script does.

    Below all scores every question is said to have no answer. Of equal thresholds the official
    script tries the questions one by one, so it may stop in their middle; so does this.
    """
    checked_count(len(judged))
    judged = judged[np.argsort(judged[:, _NO_ANSWER_SCORE], kind="stable")]
    has_answer = judged[:, _HAS_ANSWER] > 0
    gains = np.where(has_answer, judged[:, column], -judged[:, _GAVE_TEXT])
    sums = np.cumsum(np.concatenate([[(~has_answer).sum()], gains]))
    best = int(sums.argmax())
    threshold = float(judged[best - 1, _NO_ANSWER_SCORE]) if best else 0.0
    return BestThreshold(float(sums[best]) / len(judged), threshold)


def _at_threshold(judged: FloatArray, threshold: float) -> FloatArray:
    """Return exact match and F1 of each question, (questions, 2)."""
    says_none = judged[:, _NO_ANSWER_SCORE] > threshold
    right_to = 1.0 - judged[:, _HAS_ANSWER]
    return np.where(says_none[:, None], right_to[:, None], judged[:, [_EXACT, _F1]])


def _accepted(answers: Sequence[str]) -> list[str]:
    """Return the accepted answers, normalised; the empty one where there is none with words."""
    return [text for text in map(normalize_answer, answers) if text] or [""]


def _overlap(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return F1 of two bags of words."""
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    if not common:
        return 0.0
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
