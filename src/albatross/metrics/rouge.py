"""ROUGE (Lin, 2004): F1 of runs of words and of longest common subsequences, as rouge-score has it.

Words are runs of ASCII letters and digits; those of other scripts do not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from albatross.metrics.stemming import stem

ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_WORDS = re.compile(r"[a-z0-9]+")
# Shorter words are compared as they are, as ROUGE 1.5.5 does.
_SHORTEST_STEMMED = 4


def rouge_scores(predicted: str, reference: str, *, stemming: bool = False) -> dict[str, float]:
    """Return `ROUGES` of a text against a reference; 0 where either has no words.

    Args:
        predicted: what a model wrote; for rougeLsum, a sentence a line.
        reference: what it should be like.
        stemming: whether words are compared by their stems.

    >>> rouge_scores("the cat sat", "the cat lay")["rouge2"]
    0.5
    """

    def split(text: str) -> list[str]:
        return rouge_words(text, stemming=stemming)

    given, wanted = split(predicted), split(reference)
    common = int(_common_table(wanted, given)[-1, -1])
    rouge_l = _f1(common, len(given), len(wanted))
    lines = [[split(line) for line in text.split("\n") if line] for text in (predicted, reference)]
    of_one_line = all(len(each) <= 1 for each in lines)
    return {
        "rouge1": _ngram_f1(given, wanted, 1),
        "rouge2": _ngram_f1(given, wanted, 2),
        "rougeL": rouge_l,
        "rougeLsum": rouge_l if of_one_line else _summary_f1(*lines),
    }


def rouge_words(text: str, *, stemming: bool = False) -> list[str]:
    """Return the words of a text in small letters, stemmed (Porter, 1980) when asked to.

    >>> rouge_words("The runner's shoes", stemming=True)
    ['the', 'runner', 's', 'shoe']
    """
    words = _WORDS.findall(text.lower())
    return [stem(w) if len(w) >= _SHORTEST_STEMMED else w for w in words] if stemming else words


def _ngram_f1(given: Sequence[str], wanted: Sequence[str], order: int) -> float:
    """Return F1 of the runs of so many words."""
    found, expected = (
        Counter(zip(*(words[at:] for at in range(order)), strict=False))
        for words in (given, wanted)
    )
    return _f1((found & expected).total(), found.total(), expected.total())


def _summary_f1(given: Sequence[list[str]], wanted: Sequence[list[str]]) -> float:
    """Return F1 of the words that each line wanted has in common with any line given.

    A word counts at most as often as both sides have it (Lin, 2004, section 3.2, and ROUGE 1.5.5).
    """
    left = [Counter(word for line in lines for word in line) for lines in (given, wanted)]
    hits = 0
    for line in wanted:
        places = sorted(set().union(*(_common_places(line, other) for other in given)))
        for word in (line[place] for place in places):
            if left[0][word] > 0 and left[1][word] > 0:
                hits += 1
                left[0][word] -= 1
                left[1][word] -= 1
    return _f1(hits, sum(map(len, given)), sum(map(len, wanted)))


def _common_places(wanted: Sequence[str], given: Sequence[str]) -> list[int]:
    """Return where a longest common subsequence stands in the words wanted.

    Of several the one that rouge-score finds: from the end, leaving out a word wanted rather than
    one given.
    """
    table = _common_table(wanted, given)
    places = []
    i, j = len(wanted), len(given)
    while i and j:
        if wanted[i - 1] == given[j - 1]:
            i, j = i - 1, j - 1
            places.append(i)
        elif table[i, j - 1] > table[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return places


def _common_table(wanted: Sequence[str], given: Sequence[str]) -> NDArray[np.int64]:
    """Return the lengths of the longest common subsequences of all beginnings of two texts."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*wanted, *given]))}
    across = np.array([numbers[word] for word in given], dtype=np.int64)
    table = np.zeros((len(wanted) + 1, len(given) + 1), dtype=np.int64)
    for i, word in enumerate(wanted, start=1):
        above = table[i - 1]
        best = np.maximum(above[1:], above[:-1] + (across == numbers[word]))
        np.maximum.accumulate(best, out=table[i, 1:])
    return table


def _f1(hits: float, given: int, wanted: int) -> float:
    """Return the harmonic mean of precision and recall; 0 without hits."""
    return 2 * hits / (given + wanted) if hits else 0.0
