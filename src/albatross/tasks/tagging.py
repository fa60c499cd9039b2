"""A tag for every word: names, slots, and whatever else stands in a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.columns import NO_COLUMNS
from albatross.data.packing import IGNORED_LABEL, Example, IntArray
from albatross.data.records import WordsRecord
from albatross.errors import DataError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.entities import (
    JUDGED_PER_TYPE,
    entities_of,
    entity_metrics,
    entity_scores_by_type,
    judge_entities,
)
from albatross.metrics.intervals import checked_count
from albatross.tasks.answers import AnyAnswer, EntitiesAnswer, EntityText
from albatross.tasks.inputs import TEXT_SPECIALS, Inputs, most_context
from albatross.tasks.labels import check_labels
from albatross.tasks.options import (
    USUAL,
    TaskOptions,
    chosen_metric,
    in_place,
    index_of,
    listed,
    read_back,
    strings,
)
from albatross.tasks.task import Given, Outputs, Tokenizer
from albatross.tasks.words import first_pieces, laid_out, words_of

METRICS = ("f1", "precision", "recall", "macro_f1", "accuracy")
_TAG = re.compile(r"O|[BI]-.+", re.DOTALL)


@dataclass(frozen=True)
class WordColumns:
    """The words that a window speaks for, and the column of each one's first piece, (words,)."""

    words: IntArray
    columns: IntArray


@dataclass(frozen=True)
class TaggingTask:
    """Give every word a tag.

    Attributes:
        name: the task's name
        labels: the tags, in the order of the head's outputs
        inputs: files and sequences; each word of a long sentence is read in the window where it has
            most context
        head: prefix of the head's tensors
        main_metric: by which runs are compared
        capitals: whether pieces of words with capital letters are of the second type of token, for
            a vocabulary that has small letters alone
    """

    name: str
    labels: tuple[str, ...]
    inputs: Inputs
    head: str = "classifier"
    main_metric: str = METRICS[0]
    capitals: bool = False

    kind: ClassVar[str] = "tagging"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that tags can be told apart, and the choice of figures."""
        check_labels(self.kind, self.labels, self.labels)
        chosen_metric(self.main_metric, METRICS)

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[WordsRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> TaggingTask:
        """Find the types of records: O, then B and I of each type, sorted.

        The option `labels` lists the types, or all tags, which then may be other than BIO; files
        hold BIO and its kin alone, so records of other tags are made in Python.

        Raises:
            LabelError: a record without tags, a tag that is none, or no type at all.
        """
        options.refuse_others(cls.kind, "labels", "metric", "head")
        inputs = Inputs.of(options, tokenizer, WordsRecord, "words", options.max_length // 2)
        labels, tags = options.labels, [tag for record in records for tag in _tags(record)]
        if not labels or not set(tags) <= set(labels):
            types = set(labels) or {_type_of(tag, r) for r in records for tag in _tags(r)} - {""}
            labels = ("O", *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI"))
        if len(labels) < 2:
            raise LabelError(
                "Training records must carry at least one tag beside O. Received: none. Check the"
                " column of the tags."
            )
        head, metric = options.head or "classifier", options.metric or METRICS[0]
        capitals = tokenizer.encode("A") == tokenizer.encode("a")
        task = cls(name, labels, inputs, head, metric, capitals)
        task.check(records)
        return task

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer) -> TaggingTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                strings(values["labels"]),
                Inputs.from_dict(values, tokenizer, "words"),
                str(values["head"]),
                str(values["metric"]),
                bool(values.get("capitals", False)),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
            **({"capitals": True} if self.capitals else {}),
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """One row of logits a token."""
        return {self.head: HeadSpec("token", len(self.labels))}

    @property
    def types(self) -> tuple[str, ...]:
        """The types of entities, sorted."""
        return tuple(sorted({label.partition("-")[2] for label in self.labels if label != "O"}))

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[WordsRecord]:
        """Read the records of a file."""
        return self.inputs.read(path, columns)

    def record(self, given: Given) -> WordsRecord:
        """Make a record of a text, which is split into words and signs, or of words.

        Raises:
            DataError: it is something else.
        """
        if isinstance(given, Mapping):
            given = given["words"] if "words" in given else given.get("text", given)
        if isinstance(given, str):
            return words_of(given)
        if isinstance(given, tuple | list) and all(isinstance(word, str) for word in given):
            return WordsRecord(tuple(given))
        raise DataError(
            "What is tagged must be a text or a tuple of words. Received:"
            f" {type(given).__name__}. Pass a string."
        )

    # === What the model reads ===

    def features(self, record: WordsRecord) -> list[Example]:
        """Return the windows of a sentence; their origin says which words they speak for.

        Raises:
            LabelError: a tag is not one of the task's.
        """
        found = self.inputs.tokenizer.encode_with_offsets(" ".join(record.words))
        ids, firsts = found.ids.tolist(), first_pieces(record.words, found.offsets)
        room = self.inputs.max_length - TEXT_SPECIALS
        windows = self.inputs.windows(len(ids), room, max(1, room // 2))
        chosen = most_context(windows, len(ids))
        known = firsts >= 0
        kinds = _capitals(record.words, found.offsets)
        tags = self._classes_of(record) if record.tags is not None else None
        examples = []
        for number, at in enumerate(windows):
            words = np.flatnonzero(known & (chosen[firsts] == number) if len(ids) else known)
            origin = WordColumns(words, firsts[words] - at.start + 1)
            example = replace(self.inputs.single(ids[at]), origin=origin)
            if self.capitals:
                example.token_type_ids[1:-1] = kinds[at]
            if tags is not None:
                labels = np.full(len(example.input_ids), IGNORED_LABEL, dtype=np.int64)
                labels[origin.columns] = tags[words]
                example = replace(example, labels={self.head: labels})
            examples.append(example)
        return examples

    # === What it says ===

    def answer(
        self, outputs: Outputs, record: WordsRecord, examples: Sequence[Example]
    ) -> EntitiesAnswer:
        """Return a tag for each word, and the entities that the tags mark."""
        logits = np.zeros((len(record.words), len(self.labels)))
        logits[:, self._outside] = 1  # of a word without any piece
        at = 0
        for example in examples:
            origin = example.origin
            assert isinstance(origin, WordColumns)
            logits[origin.words] = outputs[self.head][at + origin.columns]
            at += len(example.input_ids)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        tags = self._possible(shares.argmax(1).tolist())
        return EntitiesAnswer(self._entities(tags, shares.max(1), record), tags)

    def _possible(self, classes: Sequence[int]) -> tuple[str, ...]:
        """Return tags of which each I- follows a word of its type; elsewhere it becomes B-."""
        tags: list[str] = []
        before = ""
        for number in classes:
            prefix, _, kind = self.labels[number].partition("-")
            first = f"B-{kind}"
            begins = prefix == "I" and before != kind and first in self.labels
            tags.append(first if begins else self.labels[number])
            before = kind
        return tuple(tags)

    def _entities(
        self, tags: Sequence[str], shares: NDArray[np.float64], record: WordsRecord
    ) -> tuple[EntityText, ...]:
        """Return the entities with their characters; of words, those of the words with spaces."""
        if not self._marks_entities:
            return ()
        text, spans = laid_out(record)
        found = []
        for entity in entities_of(tags):
            start, end = spans[entity.start][0], spans[entity.end - 1][1]
            score = float(shares[entity.start : entity.end].min())
            found.append(EntityText(entity.type, text[start:end], start, end, score))
        return tuple(found)

    def check(self, records: Sequence[WordsRecord]) -> None:
        """Refuse records without a tag for each word, or with one that the task does not know."""
        for record in records:
            self._classes_of(record)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[WordsRecord]
    ) -> NDArray[np.float64]:
        """Return words, right tags, and right, answered and expected entities of each type."""
        rows = []
        found = [answer for answer in answers if isinstance(answer, EntitiesAnswer)]
        for answer, record in zip(found, records, strict=True):
            expected = _tags(record)
            right = sum(map(str.__eq__, answer.tags, expected))
            entities: Sequence[float] = ()
            if self._marks_entities:
                entities = judge_entities(answer.tags, expected, self.types).tolist()
            rows.append([len(expected), right, *entities])
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return F1, precision and recall of entities, F1 of each type, and right tags."""
        count = checked_count(len(judged))
        words, right = judged[:, :2].sum(0)
        figures = {"accuracy": float(right / max(1, words))}
        entities = judged[:, 2:]
        if self._marks_entities:
            scores = entity_scores_by_type(entities)[:, 2]
            counts = entities.sum(0).reshape(-1, JUDGED_PER_TYPE)
            of_types = zip(self.types, scores, counts, strict=True)
            figures = entity_metrics(entities) | figures
            figures |= {f"f1_{kind}": float(f1) for kind, f1, n in of_types if n.any()}
        return {**figures, "records": count}

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys by which transformers knows the head and its tags."""
        return {
            "architectures": ["AlbertForTokenClassification"],
            "id2label": {str(index): label for index, label in enumerate(self.labels)},
            "label2id": {label: index for index, label in enumerate(self.labels)},
        }

    @cached_property
    def _marks_entities(self) -> bool:
        """Whether the tags mark entities; parts of speech do not."""
        return all(_TAG.fullmatch(label) for label in self.labels)

    @cached_property
    def _outside(self) -> int:
        """The class of a word that nothing is known of."""
        return self.labels.index("O") if "O" in self.labels else 0

    def _classes_of(self, record: WordsRecord) -> IntArray:
        """Return the class of every word: (words,)."""
        index = {label: number for number, label in enumerate(self.labels)}
        classes = [index_of(tag, index, record.place) for tag in _tags(record)]
        return np.array(classes, dtype=np.int64)


def _capitals(words: Sequence[str], offsets: NDArray[np.int64]) -> IntArray:
    """Return 1 for each piece of a word with a capital letter: (tokens,)."""
    ends = np.cumsum([len(word) + 1 for word in words])
    of_token = np.searchsorted(ends[:-1], offsets[:, 0], side="right")
    return np.array([word != word.lower() for word in words], dtype=np.int64)[of_token]


def _tags(record: WordsRecord) -> tuple[str, ...]:
    """Return the tags of a record, one for each word."""
    if record.tags is None or len(record.tags) != len(record.words):
        raise LabelError(
            f"Every word must have a tag. Received: {len(record.tags or ())} tags for"
            f" {len(record.words)} words{in_place(record.place)}. Mend the record."
        )
    return record.tags


def _type_of(tag: str, record: WordsRecord) -> str:
    """Return the type in a tag; nothing for O."""
    if not _TAG.fullmatch(tag):
        raise LabelError(
            "A tag must be O, B-TYPE or I-TYPE. Received:"
            f" {listed([tag])[:40]!r}{in_place(record.place)}. Correct it; in Python the option"
            " `labels` may list all tags."
        )
    return tag.partition("-")[2]
