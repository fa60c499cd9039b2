"""Writing a text for a text: translating, summarising, rephrasing; how answers are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from albatross.data.columns import NO_COLUMNS
from albatross.data.formats import read_records
from albatross.data.packing import Example
from albatross.data.records import SourceRecord
from albatross.errors import ConfigError, DataError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.bleu import bleu_counts, bleu_of
from albatross.metrics.rouge import ROUGES, rouge_scores
from albatross.tasks.answers import AnyAnswer, TextAnswer
from albatross.tasks.options import TaskOptions, chosen_metric, in_place, read_back
from albatross.tasks.task import Given, Outputs, Tokenizer

DecoderName = Literal["cross", "prefix"]
_FORMAT = "source"
_METRICS = ("bleu", "rougeL")
# [CLS] and [SEP] with one word between them; a word and the end.
_LEAST_SOURCE, _LEAST_TARGET = 3, 2
_USUAL = TaskOptions()


@runtime_checkable
class WritingTokenizer(Tokenizer, Protocol):
    """What this task needs of a tokenizer beside what all need: a way back to text."""

    pad_id: int
    unk_id: int
    vocab_size: int

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some ids."""
        ...


@dataclass(frozen=True)
class GenerationTask:
    """Write a text for a text.

    Attributes:
        name: the task's name
        tokenizer: makes ids, and text of them
        decoder: `cross` for a decoder beside the encoder, `prefix` for the encoder alone, which
            reads source and target as one sequence
        tied: whether a `cross` decoder shares the encoder's layers
        max_length: tokens of a source, specials included; a longer one is cut
        target_length: tokens of a target, its end included; likewise
        main_metric: by which runs are compared
        beams: texts that are followed at once when writing
        length_penalty: 0 favours short texts, 1 compares by the mean of their words
        min_length: fewest tokens of what is written
        no_repeat_ngram: runs of so many tokens come only once in what is written; 0 for no such
            rule
        columns: of the files, by part, where their names do not tell
    """

    kind: ClassVar[str] = "generation"
    together: ClassVar[bool] = False

    name: str
    tokenizer: WritingTokenizer
    decoder: DecoderName = "cross"
    tied: bool = False
    max_length: int = 128
    target_length: int = 64
    main_metric: str = "bleu"
    beams: int = 4
    length_penalty: float = 1.0
    min_length: int = 0
    no_repeat_ngram: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check choices and lengths.

        Raises:
            ConfigError: one breaks a rule.
        """
        for part, choices in (("decoder", get_args(DecoderName)), ("main_metric", _METRICS)):
            if getattr(self, part) not in choices:
                raise ConfigError(
                    f"`{part}` must be one of {', '.join(choices)}."
                    f" Received: {getattr(self, part)!r}."
                )
        least = {"max_length": _LEAST_SOURCE, "target_length": _LEAST_TARGET, "beams": 1}
        for part, low in least.items():
            if getattr(self, part) < low:
                raise ConfigError(
                    f"`{part}` must be at least {low}. Received: {getattr(self, part)}."
                )

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[SourceRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = _USUAL,
    ) -> GenerationTask:
        """Make a task for training records; how it writes may be replaced afterwards.

        Raises:
            ConfigError: an option that this kind has no use for.
            LabelError: a record has no text that is to be written.
        """
        options.refuse_others(cls.kind, "metric", cuts=False)
        if options.format not in ("", _FORMAT):
            raise ConfigError(
                f"The format of texts with texts for them must be {_FORMAT}."
                f" Received: {options.format!r}. Leave it out."
            )
        task = cls(
            name,
            _writing(tokenizer),
            max_length=options.max_length,
            main_metric=chosen_metric(options.metric, _METRICS),
            columns=dict(options.columns),
        )
        task.check(records)
        return task

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """None: words come from the masked-word head."""
        return {}

    @property
    def never(self) -> tuple[int, ...]:
        """The ids that are not written: the specials but for the end."""
        reader = self.tokenizer
        return tuple(sorted({reader.pad_id, reader.unk_id, reader.cls_id, reader.mask_id}))

    # === What the model reads ===

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[SourceRecord]:
        """Read the records of a table with a source and, where there is one, a target."""
        return read_records(path, _FORMAT, {**self.columns, **columns})

    def record(self, given: Given) -> SourceRecord:
        """Make a record of a text; of a pair, the second is what should be written.

        Raises:
            DataError: it is neither, and has no `source`; or a part is no text.
        """
        if isinstance(given, str):
            return SourceRecord(given)
        if isinstance(given, tuple) and given and isinstance(given[0], str):
            return SourceRecord(given[0], _references(given[1:]))
        if isinstance(given, Mapping) and isinstance(given.get("source"), str):
            return SourceRecord(given["source"], _references(given.get("references")))
        raise DataError(
            "A text is written for a text: give one, or a `source` with its `references`."
            f" Received: {type(given).__name__}."
        )

    def features(self, record: SourceRecord) -> list[Example]:
        """Return one example; with the first reference as its target, if there is one."""
        example = self.source(record)
        if not record.references:
            return [example]
        target = self.tokenizer.encode(record.references[0])[: self.target_length - 1]
        target.append(self.tokenizer.sep_id)
        if self.decoder == "cross":
            ids = np.array([self.tokenizer.cls_id, *target], dtype=np.int64)
            written = Example(ids, np.zeros(len(ids), dtype=np.int64))
            return [Example(example.input_ids, example.token_type_ids, target=written)]
        ids = np.concatenate([example.input_ids, np.array(target, dtype=np.int64)])
        types = np.repeat(np.array([0, 1], dtype=np.int64), [len(example.input_ids), len(target)])
        return [Example(ids, types)]

    def source(self, record: SourceRecord) -> Example:
        """Return what the model reads before it writes: [CLS] source [SEP]."""
        reader = self.tokenizer
        text = reader.encode(record.source)[: self.max_length - 2]
        ids = np.array([reader.cls_id, *text, reader.sep_id], dtype=np.int64)
        return Example(ids, np.zeros(len(ids), dtype=np.int64))

    # === What it says, and how good that is ===

    def answer(
        self, outputs: Outputs, record: SourceRecord, examples: Sequence[Example]
    ) -> TextAnswer:
        """Turn the texts that a search has found, the best first, into an answer.

        Args:
            outputs: `generation.ids` (texts, longest), -1 behind a text's end, and
                `generation.scores` (texts,)
            record: not looked at.
            examples: not looked at.
        """
        rows = np.asarray(outputs["generation.ids"], dtype=np.int64)
        texts = [self.tokenizer.decode(row[row >= 0].tolist()).strip() for row in rows]
        scores = [float(score) for score in outputs["generation.scores"]]
        candidates: dict[str, float] = {}
        for text, score in zip(texts, scores, strict=True):
            candidates.setdefault(text, score)  # two ways to cut a text may both be found
        return TextAnswer(texts[0], scores[0], candidates)

    def check(self, records: Sequence[SourceRecord]) -> None:
        """Refuse records without a text that should be written.

        Raises:
            LabelError: there is none, or an empty one.
        """
        for record in records:
            if not record.references or not all(text.strip() for text in record.references):
                raise LabelError(
                    "A record must have a text that is to be written. Received:"
                    f" none{in_place(record.place)}. Fill the column `target`, or leave it out."
                )

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[SourceRecord]
    ) -> NDArray[np.float64]:
        """Return (records, columns): ROUGE's figures, whether it is equal, and what BLEU counts.

        Of several references ROUGE takes the one that it likes best.

        Raises:
            LabelError: a record has no reference.
        """
        self.check(records)
        rows = []
        for answer, record in zip(answers, records, strict=True):
            assert isinstance(answer, TextAnswer)
            given, wanted = answer.text.strip(), record.references
            exact = float(given in {text.strip() for text in wanted})
            several = [rouge_scores(given, text) for text in wanted]
            rouge = [max(scores[name] for scores in several) for name in ROUGES]
            rows.append([*rouge, exact, *bleu_counts(given, wanted)])
        return np.array(rows, dtype=np.float64)

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return BLEU over all records, mean ROUGE, and the share of exact answers."""
        means = judged[:, : len(ROUGES) + 1].mean(0)
        named = dict(zip((*ROUGES, "exact"), map(float, means), strict=True))
        return {"bleu": bleu_of(judged[:, len(ROUGES) + 1 :].sum(0)), **named}

    # === In files ===

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer
    ) -> GenerationTask:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: a part is missing or of another type, or the tokenizer makes no text.
        """
        others = ("kind", "format", "metric")
        kept = {key: value for key, value in values.items() if key not in others}
        if "metric" in values:  # folders of earlier versions say `main_metric`
            kept["main_metric"] = values["metric"]
        with read_back(cls.kind, name):
            return cls(name, _writing(tokenizer), **kept)

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "format": _FORMAT,
            "decoder": self.decoder,
            "tied": self.tied,
            "max_length": self.max_length,
            "target_length": self.target_length,
            "metric": self.main_metric,
            "beams": self.beams,
            "length_penalty": self.length_penalty,
            "min_length": self.min_length,
            "no_repeat_ngram": self.no_repeat_ngram,
            "columns": dict(self.columns),
        }

    def transformers_keys(self) -> dict[str, Any]:
        """Return the class that opens the model; transformers has none for it."""
        return {"architectures": ["AlbertForGeneration"]}


def _references(given: object) -> tuple[str, ...]:
    """Return what should be written, of a text, of several or of none.

    Raises:
        DataError: it is none of these.
    """
    several = (given,) if isinstance(given, str) else () if given is None else given
    if isinstance(several, list | tuple) and all(isinstance(text, str) for text in several):
        return tuple(several)
    raise DataError(
        "`references` must be a text or a list of texts. Received:"
        f" {repr(given)[:60]}. Give texts, or leave them out."
    )


def _writing(tokenizer: Tokenizer) -> WritingTokenizer:
    """Return a tokenizer that makes text of ids, too.

    Raises:
        ConfigError: it does not.
    """
    if isinstance(tokenizer, WritingTokenizer):
        return tokenizer
    raise ConfigError(
        "To write, a task needs a tokenizer that makes text of ids. Received:"
        f" {type(tokenizer).__name__} without one of `decode`, `pad_id`, `unk_id` and"
        " `vocab_size`."
    )
