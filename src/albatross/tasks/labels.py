"""The labels of records and what is said with them: what several kinds of task share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.tasks.answers import Answer
from albatross.tasks.options import in_place, listed

# The intents of the largest public sets are 150, and 2,000 classes are learned; beyond that, and
# where most labels come once, a column of texts or ids was taken for labels.
_MOST_LABELS, _FEW_LABELS = 2_000, 150


def imbalance(records: Sequence[TextRecord]) -> dict[str, int]:
    """Return how many records carry each label, the most frequent first.

    >>> imbalance([TextRecord("a", None, "spam"), TextRecord("b", None, "ham"),
    ...            TextRecord("c", None, "ham")])
    {'ham': 2, 'spam': 1}
    """
    return dict(Counter(record.label for record in records if record.label).most_common())


def check_labels(kind: str, names: Sequence[str], labels: Sequence[str]) -> None:
    """Check that names are different and one for each label, and that there are two.

    Raises:
        ConfigError: they are not.
    """
    if len(set(names)) < len(names) or len(names) != len(labels) or len(names) < 2:
        raise ConfigError(
            f"The labels of a task of the kind {kind} must be different, at least two, and their"
            f" values one for each. Received: {listed(names)}, for {len(labels)}. Correct them."
        )


def labels_of(records: Sequence[TextRecord]) -> list[str]:
    """Return the label of every record as its file spells it.

    Raises:
        LabelError: a record has none.
    """
    labels = [record.label for record in records if record.label is not None]
    if len(labels) < len(records):
        first = next(record for record in records if record.label is None)
        several = " (it has several labels at once: the kind multi-label)" if first.labels else ""
        raise LabelError(
            f"Every record must carry a label here. Received: {len(records) - len(labels)} of"
            f" {len(records)} without, the first of them {first.text[:40]!r}"
            f"{in_place(first.place)}{several}. Fill the column `label`, or use `albatross"
            " predict`, which needs none."
        )
    return labels


def sorted_labels(records: Sequence[TextRecord]) -> tuple[str, ...]:
    """Return the labels of records, numbers by their value before words.

    Raises:
        LabelError: a record without a label, or fewer than two labels.
    """
    shared = {label for record in records for label, _ in record.shares or ()}
    values = sorted({*labels_of(records), *shared}, key=_label_order)
    if len(values) < 2:
        raise LabelError(
            "Training records must carry at least two labels. Received:"
            f" {listed(values) or 'none'}{since(records)}. Check the column `label`."
        )
    return tuple(values)


def since(records: Sequence[TextRecord]) -> str:
    """Return where records begin, for the middle of a message; nothing where it is not known."""
    place = records[0].place if records else ""
    return f" from {place} on" if place else ""


def likeliest(shares: NDArray[np.float64], labels: Sequence[str]) -> Answer:
    """Return the label of the largest share."""
    best = int(shares.argmax())
    return Answer(
        labels[best], float(shares[best]), dict(zip(labels, shares.tolist(), strict=True))
    )


def sequence_keys(labels: Sequence[str], problem: str) -> dict[str, Any]:
    """Return the keys by which transformers knows a head over whole sequences."""
    return {
        "architectures": ["AlbertForSequenceClassification"],
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": problem,
    }


def named_labels(
    found: tuple[str, ...], given: tuple[str, ...], records: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the classes, and how files spell them."""
    if set(found) <= set(given):
        return given, given
    if not given:
        if len(found) > _MOST_LABELS or len(found) > max(_FEW_LABELS, records / 2):
            raise LabelError(
                f"Labels must be few beside their records, at most {_MOST_LABELS:,}. Received:"
                f" {len(found):,} in {records:,} records, such as {found[0][:40]!r}: these look"
                " like texts or ids. Name the column of the labels, or list all labels."
            )
        return found, found
    if not len(set(given)) == len(given) == len(found):
        raise LabelError(
            f"`--labels` must give each label of the file a name of its own: {listed(found)}."
            f" Received: {' '.join(given)}."
        )
    return given, found


def _label_order(label: str) -> tuple[int, float, str]:
    """Sort numbers by value, before words; `nan` and `inf` are words."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (0, number, label) if math.isfinite(number) else (1, 0.0, label)
