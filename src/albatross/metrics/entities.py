"""Scores of entities marked by tags such as B-PER and I-PER, as seqeval's default mode has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
JUDGED_PER_TYPE = 3
"""Columns of each type in what `judge_entities` gives: right, answered, expected."""


@dataclass(frozen=True)
class Entity:
    """A run of words, `end` being one after the last."""

    type: str
    start: int
    end: int


def entities_of(tags: Sequence[str]) -> list[Entity]:
    """Return the entities that tags mark, in their order, as conlleval reads them.

    The prefixes are B (first), I (inside), E (last) and S (single). An I- or E- tag that continues
    nothing, or an entity of another type, starts one of its own. A bare prefix has the type `_`.

    >>> entities_of(["I-PER", "I-PER", "I-LOC", "O", "B-LOC"])  # doctest: +NORMALIZE_WHITESPACE
    [Entity(type='PER', start=0, end=2), Entity(type='LOC', start=2, end=3),
     Entity(type='LOC', start=4, end=5)]
    """
    found: list[Entity] = []
    start, before, type_before = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, type_ = tag[0], tag[1:].removeprefix("-") or "_"
        if before != "O" and _ends(before, prefix, type_before == type_):
            found.append(Entity(type_before, start, place))
        if prefix != "O" and _starts(before, prefix, type_before == type_):
            start = place
        before, type_before = prefix, type_
    return found


def judge_entities(
    predicted: Sequence[str], expected: Sequence[str], types: Sequence[str]
) -> IntArray:
    """Return right, answered and expected entities of each type, (3 * types,), of one record."""
    given, wanted = set(entities_of(predicted)), set(entities_of(expected))
    counts = np.zeros((len(types), JUDGED_PER_TYPE), dtype=np.int64)
    index = {name: i for i, name in enumerate(types)}
    for column, found in enumerate((given & wanted, given, wanted)):
        for entity in found:
            counts[index[entity.type], column] += 1
    return counts.ravel()


def entity_metrics(judged: NDArray[np.generic]) -> dict[str, float]:
    """Return precision, recall and F1 of all entities, and F1 averaged over the types that occur.

    Args:
        judged: (records, 3 * types), rows of `judge_entities`.
    """
    by_type = entity_counts(judged)
    precision, recall, f1 = _scores(by_type.sum(0, keepdims=True))[0]
    occurring = by_type[by_type[:, 1:].sum(1) > 0]
    macro = float(_scores(occurring)[:, 2].mean()) if len(occurring) else 0.0
    return {
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "macro_f1": macro,
    }


def entity_scores_by_type(judged: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return precision, recall and F1 of each type, (types, 3); 0 where they divide by zero."""
    return _scores(entity_counts(judged))


def entity_counts(judged: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return right, answered and expected entities of each type over all records, (types, 3)."""
    counts: NDArray[np.float64] = judged.astype(np.float64, copy=False).sum(0)
    return counts.reshape(-1, JUDGED_PER_TYPE)


def _ends(before: str, prefix: str, same_type: bool) -> bool:
    """Return whether an open entity ends before this tag."""
    return before in "ES" or prefix in "BSO" or not same_type


def _starts(before: str, prefix: str, same_type: bool) -> bool:
    """Return whether an entity starts at this tag."""
    return prefix in "BS" or before in "ESO" or not same_type


def _scores(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return precision, recall and F1 of rows of counts, (rows, 3)."""
    right, answered, expected = counts.T
    wholes = np.stack([answered, expected, (answered + expected) / 2], axis=1)
    parts = np.repeat(right[:, None], 3, axis=1)
    scores: NDArray[np.float64] = np.divide(
        parts, wholes, out=np.zeros_like(parts), where=wholes > 0
    )
    return scores
