"""What a model says of one record: a small class for each kind of answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Digits of a probability in JSON.
_DIGITS = 6
# A line shows so many numbers of a vector.
_NUMBERS_SHOWN = 6


class AnyAnswer(Protocol):
    """What all answers can do."""

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        ...

    def line(self) -> str:
        """Return what a person reads beside the text."""
        ...


@dataclass(frozen=True)
class Answer:
    """One label.

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
        return {
            "label": self.label,
            "score": round(self.score, _DIGITS),
            "probabilities": rounded(self.probabilities),
        }

    def line(self) -> str:
        """Return the label and its score."""
        return f"{self.label:<12} {self.score:.3f}"


@dataclass(frozen=True)
class LabelsAnswer:
    """Several labels at once, perhaps none."""

    labels: tuple[str, ...]
    probabilities: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {"labels": list(self.labels), "probabilities": rounded(self.probabilities)}

    def line(self) -> str:
        """Return the labels."""
        return f"{', '.join(self.labels) or '-':<24}"


@dataclass(frozen=True)
class ValueAnswer:
    """A number."""

    value: float

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {"value": round(self.value, _DIGITS)}

    def line(self) -> str:
        """Return the number."""
        return f"{self.value:>9.3f}"


@dataclass(frozen=True)
class ChoiceAnswer:
    """One of the choices of a question.

    Attributes:
        index: its number from 0
        text: the choice
        score: its probability
        probabilities: of all choices, in their order
    """

    index: int
    text: str
    score: float
    probabilities: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {
            "index": self.index,
            "choice": self.text,
            "score": round(self.score, _DIGITS),
            "probabilities": [round(share, _DIGITS) for share in self.probabilities],
        }

    def line(self) -> str:
        """Return the number of the choice and its text."""
        return f"{self.index}: {self.text}  {self.score:.3f}"


@dataclass(frozen=True)
class SpanCandidate:
    """A piece of a context that may be the answer; `end` is one character after its last."""

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class SpanAnswer:
    """A piece of a context; the empty text says that there is no answer.

    Attributes:
        text: as it stands in the context
        start: its first character
        end: one after its last character
        score: its probability among the candidates
        no_answer_score: how much more likely no answer is than the best candidate
        candidates: the best pieces, as if there were an answer
    """

    text: str
    start: int
    end: int
    score: float
    no_answer_score: float
    candidates: tuple[SpanCandidate, ...] = ()

    def __repr__(self) -> str:
        """Show the text and its score."""
        return f"SpanAnswer(text={self.text!r}, score={self.score:.2f})"

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "score": round(self.score, _DIGITS),
            "no_answer_score": round(self.no_answer_score, _DIGITS),
            "candidates": [
                vars(each) | {"score": round(each.score, _DIGITS)} for each in self.candidates
            ],
        }

    def line(self) -> str:
        """Return the text, or that there is none, and its score."""
        return f"{self.text or '(no answer)'}  {self.score:.3f}"


@dataclass(frozen=True)
class EntityText:
    """An entity in a text; `end` is one character after its last."""

    type: str
    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class EntitiesAnswer:
    """The entities of a text, and the tag of each of its words."""

    entities: tuple[EntityText, ...]
    tags: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {
            "entities": [
                vars(each) | {"score": round(each.score, _DIGITS)} for each in self.entities
            ],
            "tags": list(self.tags),
        }

    def line(self) -> str:
        """Return the entities with their types."""
        return ", ".join(f"{each.text} ({each.type})" for each in self.entities) or "-"


@dataclass(frozen=True)
class SimilarityAnswer:
    """How alike two texts are, on the scale of the labels."""

    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {"score": round(self.score, _DIGITS)}

    def line(self) -> str:
        """Return the number."""
        return f"{self.score:>9.3f}"


@dataclass(frozen=True, eq=False)
class EmbeddingAnswer:
    """The vector of a text, of unit length: products of two are cosines.

    It has as many numbers as the model is wide, or twice as many with those of the words.
    """

    vector: NDArray[np.float32]

    def __eq__(self, other: object) -> bool:
        """Compare the numbers."""
        return isinstance(other, EmbeddingAnswer) and np.array_equal(self.vector, other.vector)

    def __repr__(self) -> str:
        """Show the size."""
        return f"EmbeddingAnswer({len(self.vector)} numbers)"

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {"vector": [round(float(number), _DIGITS) for number in self.vector]}

    def line(self) -> str:
        """Return the first numbers."""
        return " ".join(f"{number:.3f}" for number in self.vector[:_NUMBERS_SHOWN]) + " ..."


@dataclass(frozen=True)
class TextAnswer:
    """A text that was written, its score, and the scores of all texts that were found."""

    text: str
    score: float
    candidates: Mapping[str, float]

    def __repr__(self) -> str:
        """Show the text and its score."""
        return f"TextAnswer(text={self.text!r}, score={self.score:.2f})"

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {
            "text": self.text,
            "score": round(self.score, _DIGITS),
            "candidates": rounded(self.candidates),
        }

    def line(self) -> str:
        """Return the text."""
        return self.text


@dataclass(frozen=True)
class FilledAnswer:
    """A text whose gaps are filled.

    Attributes:
        text: with the best word in each gap
        gaps: for each, the best words and how likely they are; one that goes on with the word
            before it begins with ##
    """

    text: str
    gaps: tuple[Mapping[str, float], ...]

    def __repr__(self) -> str:
        """Show the text."""
        return f"FilledAnswer(text={self.text!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON line holds."""
        return {"text": self.text, "gaps": [rounded(gap) for gap in self.gaps]}

    def line(self) -> str:
        """Return the words of each gap."""
        return " | ".join(
            ", ".join(f"{word} {share:.2f}" for word, share in gap.items()) for gap in self.gaps
        )


def rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Return probabilities with the digits that JSON gets."""
    return {label: round(p, _DIGITS) for label, p in probabilities.items()}
