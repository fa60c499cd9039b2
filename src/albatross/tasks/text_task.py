"""What all tasks over a text or a pair of texts have in common: where their records come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from albatross.data.columns import NO_COLUMNS
from albatross.data.records import TextRecord
from albatross.tasks.inputs import Inputs, text_record
from albatross.tasks.task import Given


class TextTask:
    """A task whose records are `TextRecord`s.

    Attributes:
        inputs: files and sequences
    """

    inputs: Inputs

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[TextRecord]:
        """Read the records of a file."""
        return self.inputs.read(path, columns)

    def record(self, given: Given) -> TextRecord:
        """Make a record of a text, or of a pair of texts."""
        return text_record(given)
