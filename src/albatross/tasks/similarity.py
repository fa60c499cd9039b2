"""How alike two texts are, by the cosine of their vectors; and the vector of one text.

Sentence-BERT (Reimers and Gurevych, 2019) with labels, SimCSE (Gao et al., 2021) without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.head_spec import HeadSpec
from albatross.tasks.answers import AnyAnswer, EmbeddingAnswer, SimilarityAnswer
from albatross.tasks.inputs import TEXT_SPECIALS, Inputs
from albatross.tasks.options import USUAL, TaskOptions, chosen_metric, in_place, read_back
from albatross.tasks.regression import correlations, numbers_of
from albatross.tasks.task import Outputs, Tokenizer
from albatross.tasks.text_task import TextTask
from albatross.tasks.word_part import word_part

METRICS = ("spearman", "pearson", "pearson_spearman")
_LEAST_LENGTH = 1e-12


@dataclass(frozen=True)
class SimilarityTask(TextTask):
    """Compare two texts, or give the vector of one.

    Attributes:
        name: the task's name
        loss: `cosine` learns the labels; `contrastive` needs none and tells the pairs of a step
            apart
        low: the label of texts that have nothing in common, a cosine of zero
        high: the label of texts that mean the same, a cosine of one
        inputs: files and sequences; the vectors of a long text's windows are averaged
        head: name of the head, which has no tensors
        main_metric: by which runs are compared
        word_share: how much of a cosine is that of the words alone, `word_part`; vectors have a
            second half for these
    """

    name: str
    loss: str
    low: float
    high: float
    inputs: Inputs
    head: str = "heads.embedding"
    main_metric: str = METRICS[0]
    word_share: float = 0.0

    kind: ClassVar[str] = "similarity"
    together: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the scale and the choice of figures."""
        chosen_metric(self.main_metric, METRICS)
        if not -np.inf < self.low < self.high < np.inf:
            raise ConfigError(
                "The highest similarity must be above the lowest. Received:"
                f" {self.low} to {self.high}. Write the folder again."
            )
        if not 0 <= self.word_share <= 1:
            raise ConfigError(
                f"The share of words must be from 0 to 1. Received: {self.word_share}. Write the"
                " folder again."
            )

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> SimilarityTask:
        """Take the scale from the labels of records; without any, learn by contrast.

        Raises:
            LabelError: a record that is no pair, labels that are no numbers or all the same, or
                labels on some records alone.
        """
        options.refuse_others(cls.kind, "metric", "head", "word_share")
        loss, low, high = "contrastive", 0.0, 1.0
        if any(record.label is not None for record in records):
            values = numbers_of(records)
            loss, low, high = "cosine", min(values), max(values)
        if low == high:
            raise LabelError(
                "Training records must carry at least two different numbers, or none. Received:"
                f" {low}. Check the column `label`."
            )
        inputs = Inputs.of(options, tokenizer, TextRecord, "text")
        head, metric = options.head or "heads.embedding", options.metric or METRICS[0]
        task = cls(name, loss, low, high, inputs, head, metric, options.word_share)
        for record in records:
            _check_pair(record)
        return task

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer
    ) -> SimilarityTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                str(values["loss"]),
                float(values["low"]),
                float(values["high"]),
                Inputs.from_dict(values, tokenizer, "text"),
                str(values["head"]),
                str(values["metric"]),
                float(values.get("word_share", 0.0)),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "loss": self.loss,
            "low": self.low,
            "high": self.high,
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
            **({"word_share": self.word_share} if self.word_share else {}),
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One vector a sequence."""
        return {self.head: HeadSpec("embedding", 0, {"pooling": "mean", "loss": self.loss})}

    def features(self, record: TextRecord) -> list[Example]:
        """Return the windows of the first text, then those of the second; their origin says whose.

        A pair has labels if it can be learned from: its similarity as a cosine, and whose windows
        they are.
        """
        texts = [record.text] if record.text_pair is None else [record.text, record.text_pair]
        room = self.inputs.max_length - TEXT_SPECIALS
        wanted = self._wanted(record)
        examples = []
        for side, text in enumerate(texts):
            labels = {} if wanted is None else {self.head: wanted, f"{self.head}.side": side}
            ids = self.inputs.tokenizer.encode(text)
            for at in self.inputs.windows(len(ids), room):
                example = self.inputs.single(ids[at])
                examples.append(replace(example, labels=labels, origin=side))
        return examples

    def answer(
        self, outputs: Outputs, record: TextRecord, examples: Sequence[Example]
    ) -> SimilarityAnswer | EmbeddingAnswer:
        """Return how alike two texts are on the labels' scale, or the vector of one text."""
        vectors = outputs[self.head].astype(np.float64)
        first = self._vector(vectors, examples, 0)
        if record.text_pair is None:
            return EmbeddingAnswer(first.astype(np.float32))
        cosine = float(np.clip(first @ self._vector(vectors, examples, 1), -1, 1))
        return SimilarityAnswer(self.low + (self.high - self.low) * cosine)

    def check(self, records: Sequence[TextRecord]) -> None:
        """Refuse records that are no pair with a number."""
        for record in records:
            _check_pair(record)
        numbers_of(records)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> NDArray[np.float64]:
        """Return the expected and the predicted number of each record: (records, 2)."""
        self.check(records)
        predicted = [answer.score for answer in answers if isinstance(answer, SimilarityAnswer)]
        return np.array([numbers_of(records), predicted], dtype=np.float64).T

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return the correlations and their mean."""
        return {**correlations(judged), "records": len(judged)}

    def transformers_keys(self) -> dict[str, Any]:
        """Return the class that has no head either."""
        return {"architectures": ["AlbertModel"]}

    def _vector(
        self, vectors: NDArray[np.float64], examples: Sequence[Example], side: int
    ) -> NDArray[np.float64]:
        """Return the vector of a text, of unit length: of its windows' mean, and of its words."""
        own = np.array([example.origin == side for example in examples])
        learned = _mean_vector(vectors[own])
        if not self.word_share:
            return learned
        windows = [one.input_ids[1:-1] for one, is_own in zip(examples, own, strict=True) if is_own]
        words = word_part(np.concatenate(windows), len(learned))
        return np.concatenate(
            [math.sqrt(1 - self.word_share) * learned, math.sqrt(self.word_share) * words]
        )

    def _wanted(self, record: TextRecord) -> float | None:
        """Return the cosine that a pair should have; none for what is not learned from."""
        if record.text_pair is None:
            return None
        if self.loss == "contrastive":
            return 1.0
        if record.label is None:
            return None
        return (numbers_of([record])[0] - self.low) / (self.high - self.low)


def _check_pair(record: TextRecord) -> None:
    """Refuse a record of one text."""
    if record.text_pair is None:
        raise LabelError(
            "Texts are compared two by two. Received: one text,"
            f" {record.text[:40]!r}{in_place(record.place)}. Fill the column `text_pair`."
        )


def _mean_vector(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of windows' vectors, of unit length again."""
    mean: NDArray[np.float64] = vectors.mean(0)
    return mean / max(float(np.linalg.norm(mean)), _LEAST_LENGTH)
