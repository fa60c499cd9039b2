"""The one seam between data and model, for training, evaluation, pipelines and the service alike.

So what was evaluated is what is served. A task knows its tokenizer and its labels, and no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from albatross.config import HeadSpec
from albatross.data.packing import Example

Outputs = Mapping[str, NDArray[np.float32]]
Record = TypeVar("Record")


@dataclass(frozen=True)
class Answer:
    """What a model says of one record.

    >>> Answer("positive", 0.98, {"negative": 0.02, "positive": 0.98})
    Answer(label='positive', score=0.98)
    """

    label: str
    score: float
    probabilities: Mapping[str, float]

    def __repr__(self) -> str:
        """Show the label and its score."""
        return f"Answer(label={self.label!r}, score={self.score:.2f})"

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        rounded = {label: round(p, 6) for label, p in self.probabilities.items()}
        return {"label": self.label, "score": round(self.score, 6), "probabilities": rounded}


class Tokenizer(Protocol):
    """What a task needs of a tokenizer."""

    cls_id: int
    sep_id: int

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without specials."""
        ...


class Task(Protocol, Generic[Record]):
    """What every task offers; `Record` is what its files hold."""

    @property
    def name(self) -> str:
        """The task's name in its folder."""
        ...

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """The heads that the model needs, by the prefix of their tensors."""
        ...

    def read(self, path: Path) -> list[Record]:
        """Read the records of a file."""
        ...

    def record(self, text: str) -> Record:
        """Make a record of one text."""
        ...

    def features(self, record: Record) -> list[Example]:
        """Return one or more examples: windows, choices or pairs."""
        ...

    def answer(self, outputs: Outputs, record: Record) -> Answer:
        """Turn the heads' outputs for all the record's examples into an answer."""
        ...

    def score(self, answers: Sequence[Answer], records: Sequence[Record]) -> dict[str, float]:
        """Compare answers with the records' labels."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds of this task."""
        ...
