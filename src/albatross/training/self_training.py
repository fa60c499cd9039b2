"""Learning from one's own answers: a teacher labels texts that it is sure of, a student learns.

Students start from the pre-trained model, and each is the teacher of the next (Xie et al., 2020,
noisy student); what is noisy is dropout and whatever the labelled records were varied by.
"""

from __future__ import annotations

import numpy as np

from albatross.training.soft_labels import Shares

# How much the texts of each round outnumber those before (iPET, section 3.3).
_GROWTH = 5
# Certainty that is asked of a text, as a share of the way from chance to 1: first, and at the end.
_LEAST_SURE, _MOST_SURE = 0.3, 0.7


def grown(shares: Shares, labelled: int, number: int) -> list[tuple[int, int]]:
    """Return texts and their classes for a round of iPET: more by a factor, balanced.

    Args:
        shares: (texts, classes), the teachers'.
        labelled: records with labels.
        number: of the round, from 1.
    """
    classes = shares.shape[1]
    per_class = max(1, labelled * (_GROWTH**number - 1) // classes)
    return balanced(shares, per_class, 0.0)


def balanced(shares: Shares, per_class: int, certainty: float) -> list[tuple[int, int]]:
    """Return the texts that a teacher is surest of, and their classes, equally many of each.

    A class of which it is sure too rarely has fewer, the others not more than thrice as many.

    Args:
        shares: (texts, classes).
        per_class: at most so many of a class.
        certainty: least share of a chosen text.
    """
    best, sure = shares.argmax(1), shares.max(1)
    found = []
    for c in range(shares.shape[1]):
        own = np.flatnonzero((best == c) & (sure >= certainty))
        found.append(own[np.argsort(-sure[own], kind="stable")][:per_class])
    most = 3 * min((len(own) for own in found if len(own)), default=0)
    return [(int(i), c) for c, own in enumerate(found) for i in own[:most]]


def certainty_of(number: int, rounds: int, classes: int) -> float:
    """Return what share is asked of a text in a round, from 0; it rises.

    >>> [round(certainty_of(number, 3, 2), 2) for number in range(3)]
    [0.65, 0.75, 0.85]
    """
    way = _LEAST_SURE + (_MOST_SURE - _LEAST_SURE) * (number / max(1, rounds - 1))
    chance = 1 / classes
    return chance + (1 - chance) * way
