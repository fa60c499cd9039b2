"""From settings to a task with its records: what is learned, and what it is measured on.

Files are given one by one, or found for a benchmark. Without a dev file some of the records are
held out; none of them is learned from.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator

from albatross.data.columns import check_labels_given, columns_of
from albatross.data.formats import read_records
from albatross.data.records import (
    ChoiceRecord,
    SourceRecord,
    SpanRecord,
    TextRecord,
    WordsRecord,
)
from albatross.errors import AlbatrossWarning, ConfigError, DataError
from albatross.report import data_digest
from albatross.rng import stream
from albatross.settings.training import FinetuneSettings
from albatross.tasks.benchmarks import BENCHMARKS, Benchmark, find_files
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.fill_mask import FillMaskTask
from albatross.tasks.generation import GenerationTask
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task import Task, Tokenizer, Tunable

Record = TypeVar("Record")
_MAKERS: Mapping[str, Callable[..., Any]] = {
    "classification": ClassificationTask.from_records,
    "multi-label": MultiLabelTask.from_records,
    "ordinal": OrdinalTask.from_records,
    "regression": RegressionTask.from_records,
    "choice": ChoiceTask.from_records,
    "spans": SpansTask.from_records,
    "tagging": TaggingTask.from_records,
    "similarity": SimilarityTask.from_records,
    "generation": GenerationTask.from_records,
    "fill-mask": FillMaskTask.from_records,
}
# Of a kind's records where no other layout is named.
_FORMATS = {"choice": "choice", "spans": "span", "tagging": "words", "generation": "source"}
# Kinds that read both texts of a pair at once.
_READ_TOGETHER = ("classification", "multi-label", "ordinal", "regression", "choice", "spans")
# Kinds whose dev part has as much of each label as the records.
_WITH_CLASSES = ("classification", "ordinal")


@dataclass(frozen=True)
class TaskData:
    """A task with its records.

    Attributes:
        task: what is learned
        train: what it is learned from
        dev: what it is measured on, by the name of the part; empty for nothing
        tuning: what thresholds are chosen by, of a task that has any; neither learned nor measured
        held_out: how many of the records of the training file are among these
        digests: of the files, as `run.json` names them
        mark_shared: whether what stands in both texts of a pair is marked
    """

    task: Task[Any]
    train: list[Any]
    dev: dict[str, list[Any]]
    tuning: list[Any]
    held_out: int
    digests: dict[str, Any]
    mark_shared: bool


def kind_of(settings: FinetuneSettings) -> str:
    """Return the kind of task that the settings name, itself or by a benchmark.

    Raises:
        ConfigError: they name neither.
    """
    if settings.task in BENCHMARKS:
        return BENCHMARKS[settings.task].kind
    if settings.task in _MAKERS:
        return settings.task
    raise ConfigError(
        f"`--task` must be a kind, one of {', '.join(_MAKERS)}; or a benchmark, one of"
        f" {', '.join(BENCHMARKS)}. Received: {settings.task!r}. Choose one."
    )


def read_task_data(settings: FinetuneSettings, tokenizer: Tokenizer) -> TaskData:
    """Read the records and make the task that they ask for.

    Args:
        settings: with a name and a length; see `presets`.
        tokenizer: of the model.

    Raises:
        ConfigError: no such task, or options that it has no use for.
        DataError: the files are not there, or cannot be read.
        LabelError: labels that cannot be learned, or that only the dev part has.
    """
    kind, benchmark = kind_of(settings), BENCHMARKS.get(settings.task)
    train_path, dev_paths = _files(settings, benchmark)
    layout = settings.format or (benchmark.format if benchmark else _FORMATS.get(kind, "text"))
    columns = columns_of(settings.columns)
    records = read_records(train_path, layout, columns)
    check_labels_given(train_path, columns)
    _tell_of_empty(records)
    dev = {name: read_records(path, layout, columns) for name, path in dev_paths.items()}
    if kind != "classification" and any(getattr(one, "shares", None) for one in records):
        raise DataError(
            "Shares of labels are for the kind classification. Received: some of the first, in"
            f" {train_path.name!r}, for {kind}. Give each record its label."
        )
    mark_shared = settings.mark_shared == "yes" and kind in _READ_TOGETHER and _are_pairs(records)
    options = _options_of(settings, benchmark, format=layout, mark_shared=mark_shared)
    task = _MAKERS[kind](settings.name, records, tokenizer, options)
    # Pairs without numbers are enough to learn from, and not to be measured on.
    unlabeled = isinstance(task, SimilarityTask) and task.loss == "contrastive"
    for part in dev.values() if unlabeled else (records, *dev.values()):
        task.check(part)
    held_out: list[Any] = []
    if not dev and settings.hold_out and not unlabeled:
        records, held_out = hold_out(records, settings.hold_out, by_label=kind in _WITH_CLASSES)
        dev = {"held_out": held_out} if held_out else {}
    tuning: list[Any] = []
    if isinstance(task, Tunable) and task.has_thresholds and settings.hold_out:
        by_label = kind in _WITH_CLASSES
        records, tuning = hold_out(records, settings.hold_out, by_label=by_label)
    if (settings.calibrate or settings.otherwise) and not tuning:
        raise ConfigError(
            "`--calibrate` and `--otherwise` choose by records that are held out. Received: none,"
            f" of {len(records):,} and a --hold-out of {settings.hold_out:g}. Give more, or leave"
            " the option out."
        )
    is_written = isinstance(task, GenerationTask)
    settings.refuse_unused(
        **dict.fromkeys(("decoder", "target_length"), (is_written, "a task that writes")),
        fresh_decoder=(
            is_written and settings.decoder == "cross",
            "`--decoder cross` of a task that writes",
        ),
    )
    if isinstance(task, GenerationTask):
        task = replace(task, decoder=settings.decoder, target_length=settings.target_length)
    train = limit_records(records, settings.limit, settings.seed)
    digests = {"train": data_digest(train_path), "train_records": len(train)}
    digests |= {name: data_digest(path) for name, path in dev_paths.items()}
    return TaskData(task, train, dev, tuning, len(held_out), digests, mark_shared)


def _options_of(
    settings: FinetuneSettings, benchmark: Benchmark | None, **more: Any
) -> TaskOptions:
    """Return what settings and benchmark say of a task."""
    return TaskOptions(
        labels=settings.labels or (benchmark.names or benchmark.labels if benchmark else ()),
        max_length=settings.max_length or TaskOptions().max_length,
        stride=settings.stride,
        columns=columns_of(settings.columns),
        no_answer=settings.no_answer or None,
        beam=settings.beam,
        metric=settings.metric or (benchmark.metric if benchmark else ""),
        positive=settings.positive,
        calibrate=settings.calibrate,
        otherwise=settings.otherwise,
        word_share=settings.word_share or 0.0,
        **more,
    )


def limit_records(records: Sequence[Record], limit: int | None, seed: int) -> list[Record]:
    """Draw so many records that the limit allows, classes in proportion, in the file's order."""
    if limit is None or limit >= len(records):
        return list(records)
    labels = [getattr(record, "label", None) for record in records]
    return [records[i] for i in _drawn(labels, limit, stream(seed, "limit"))]


def hold_out(
    records: Sequence[Record], share: float, *, by_label: bool
) -> tuple[list[Record], list[Record]]:
    """Part records into those to learn from and those to be measured on, in the file's order.

    The parts do not depend on the seed of a run, so that runs can be compared. Questions about one
    text stay together, and so do records of equal text: none is measured on what is learned by
    heart. A label that comes once is learned.

    Args:
        records: all of them.
        share: how many are held out.
        by_label: take as much of every label.
    """
    rng = stream(0, "hold-out")
    contexts = [getattr(record, "context", None) for record in records]
    if any(contexts):
        # A question without a text belongs to no other.
        texts = [context or number for number, context in enumerate(contexts)]
        names = list(dict.fromkeys(texts))
        chosen = {names[i] for i in rng.permutation(len(names))[: int(share * len(names))]}
        held = [text in chosen for text in texts]
    else:
        asked = [_asked(record, number) for number, record in enumerate(records)]
        # Equal texts have the label of the first here.
        first = dict(zip(reversed(asked), reversed(records), strict=True))
        labels = {
            key: getattr(one, "label", None) if by_label else None for key, one in first.items()
        }
        times = Counter(labels.values())
        several = [key for key in dict.fromkeys(asked) if times[labels[key]] > 1]
        among = _drawn([labels[key] for key in several], int(share * len(several)), rng)
        drawn = {several[i] for i in among}
        held = [key in drawn for key in asked]
    parted = list(zip(records, held, strict=True))
    return [one for one, out in parted if not out], [one for one, out in parted if out]


def _tell_of_empty(records: Sequence[Any]) -> None:
    """Warn of records that miss a text."""
    empty = [one for number, one in enumerate(records) if not _has_texts(one, number)]
    if empty:
        warnings.warn(
            f"A record should have text to learn from. Received: {len(empty):,} of"
            f" {len(records):,} with none, or with one of a pair, the first at {empty[0].place}."
            " They are learned from as they are; leave them out unless that is meant.",
            AlbatrossWarning,
            stacklevel=3,
        )


def _has_texts(record: Any, number: int) -> bool:
    """Whether no text of a record is empty."""
    asked = _asked(record, number)
    if not isinstance(asked, tuple):
        return True
    is_single = isinstance(record, TextRecord) and record.text_pair is None
    return all(asked[:1] if is_single else asked)


def _asked(record: Any, number: int) -> Hashable:
    """Return what a model reads of a record, without white space; its number where that is no text.

    >>> _asked(TextRecord("A  gull.", label="bird"), 0)
    ('A gull.', '')
    """
    texts: tuple[str, ...]
    if isinstance(record, TextRecord):
        texts = (record.text, record.text_pair or "")
    elif isinstance(record, WordsRecord):
        texts = record.words
    elif isinstance(record, SourceRecord):
        texts = (record.source,)
    else:
        return number
    return tuple(" ".join(text.split()) for text in texts)


def _files(settings: FinetuneSettings, benchmark: Benchmark | None) -> tuple[Path, dict[str, Path]]:
    """Return the training file, and the dev files by the names of their parts.

    Raises:
        ConfigError: a folder is given for what is no benchmark.
        DataError: the benchmark's training file is not there.
    """
    train, dev = settings.train, {} if settings.dev is None else {"dev": settings.dev}
    if settings.data is not None:
        if benchmark is None:
            raise ConfigError(
                f"`--data` goes with a benchmark: {', '.join(BENCHMARKS)}. Received: --task"
                f" {settings.task}. Give its files by --train and --dev."
            )
        found = find_files(benchmark, settings.data)
        train, dev = train or found.train, dev or found.dev
    if train is None:
        names = " or ".join(benchmark.train) if benchmark else ""
        raise DataError(
            f"A benchmark's training file must be in the folder of `--data`: {names or 'none'}."
            f" Received: {str(settings.data)!r} for {settings.task}. Give it by --train, or"
            " fine-tune on another task."
        )
    return train, dev


def _are_pairs(records: Sequence[Any]) -> bool:
    """Whether records have two texts each, or some of them."""
    kinds = (ChoiceRecord, SpanRecord)
    return any(isinstance(r, kinds) or getattr(r, "text_pair", None) is not None for r in records)


def _drawn(labels: Sequence[Any], count: int, rng: Generator) -> list[int]:
    """Draw so many places, labels in proportion, and return them in order."""
    by_label: dict[Any, list[int]] = {}
    for index, label in enumerate(labels):
        by_label.setdefault(label, []).append(index)
    # Largest remainders: the shares of the classes add up to the count exactly.
    exact = {k: count * len(v) / len(labels) for k, v in by_label.items()}
    counts = {k: int(share) for k, share in exact.items()}
    by_remainder = sorted(exact, key=lambda k: (counts[k] - exact[k], str(k)))
    for label in by_remainder[: count - sum(counts.values())]:
        counts[label] += 1
    chosen = [rng.choice(by_label[k], counts[k], replace=False) for k in sorted(by_label, key=str)]
    return [int(i) for i in np.sort(np.concatenate(chosen))] if chosen else []
