"""Corpus BLEU (Papineni et al., 2002) as sacrebleu gives it by default, from 0 to 100.

Words are cut as mteval-v13a cuts them; an order without a match is smoothed exponentially.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from albatross.errors import DataError

_MAX_ORDER = 4
COUNTS = 2 + 2 * _MAX_ORDER
"""Of one record: words, words of the nearest reference, n-grams that match, n-grams, n = 1 to 4."""
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_CUTS = (
    (re.compile(r"([ -&(-+:-@\[-`{-~/])"), r" \1 "),  # all ASCII signs but ' , - and .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def words_13a(text: str) -> list[str]:
    """Return the words of a text: signs apart, but for those inside numbers and words.

    >>> words_13a("It's 3.5, e.g. (well-known).")
    ["It's", '3.5', ',', 'e', '.', 'g', '.', '(', 'well-known', ')', '.']
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES:
        text = text.replace(entity, sign)
    text = f" {text} "
    for pattern, spaced in _CUTS:
        text = pattern.sub(spaced, text)
    return text.split()


def bleu_counts(predicted: str, references: Sequence[str]) -> NDArray[np.int64]:
    """Return the counts of one text against its references, (10,); sums of them give BLEU.

    Raises:
        DataError: there is no reference.
    """
    if not references:
        raise DataError(
            "BLEU needs a reference for each text. Received: none. Fill the column of references."
        )
    words, wanted = words_13a(predicted), [words_13a(text) for text in references]
    nearest = min((len(each) for each in wanted), key=lambda n: (abs(n - len(words)), n))
    matches, totals = [], []
    for order in range(1, _MAX_ORDER + 1):
        found = _ngrams(words, order)
        allowed: Counter[tuple[str, ...]] = Counter()
        for each in wanted:
            allowed |= _ngrams(each, order)
        matches.append((found & allowed).total())
        totals.append(found.total())
    return np.array([len(words), nearest, *matches, *totals], dtype=np.int64)


def bleu_of(counts: NDArray[np.generic]) -> float:
    """Return BLEU of many texts from the sum of their counts, (10,); 0 where no word matches.

    >>> round(bleu_of(bleu_counts("the cat sat on a mat", ["the cat sat on the mat"])), 2)
    53.73
    """
    length, nearest = float(counts[0]), float(counts[1])
    matches, totals = counts[2 : 2 + _MAX_ORDER], counts[2 + _MAX_ORDER :]
    if not matches.any() or not totals.all():
        return 0.0
    logarithms, smoothing = 0.0, 1.0
    for match, total in zip(matches, totals, strict=True):
        if not match:
            smoothing *= 2
        logarithms += math.log(100 * match / total if match else 100 / (smoothing * total))
    brevity = 1.0 if length >= nearest else math.exp(1 - nearest / length)
    return brevity * math.exp(logarithms / _MAX_ORDER)


def _ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """Count the runs of so many words."""
    return Counter(zip(*(words[at:] for at in range(order)), strict=False))
