"""The records of the verb few-shot: with labels, and texts without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from albatross.data.records import TextRecord, read_text_records
from albatross.errors import DataError, LabelError


def check_counts(records: Sequence[TextRecord]) -> None:
    """Refuse a label that comes once: nothing says what its texts have in common.

    Raises:
        LabelError: there is one.
    """
    counts = Counter(record.label for record in records)
    rare = [f"{count} of {label!r}" for label, count in counts.items() if count < 2]
    if rare:
        raise LabelError(
            f"Every label needs at least 2 examples. Received: {', '.join(rare)}. Add some, or"
            " leave the label out."
        )


def texts_of(
    path: Path, columns: Mapping[str, str], known: Sequence[TextRecord]
) -> list[TextRecord]:
    """Read texts but not their labels, each once, without those that have one.

    Raises:
        DataError: no such file, or nothing is left.
    """
    seen = {(record.text, record.text_pair) for record in known}
    found = []
    for record in read_text_records(path, columns):
        key = (record.text, record.text_pair)
        if record.text.strip() and key not in seen:
            seen.add(key)
            found.append(replace(record, label=None, labels=None))
    if not found:
        raise DataError(
            "`--unlabeled` must hold texts that are not among the labelled ones. Received:"
            f" {str(path)!r} with none. Give another file, or leave it out."
        )
    return found
