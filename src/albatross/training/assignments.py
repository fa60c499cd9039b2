"""The tasks of a run: each with its records, its batches, and what its heads learn by.

A run has one, or those of a file of `--tasks`, which share an encoder and have a head each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from albatross.config import AlbertConfig
from albatross.data.packing import Example
from albatross.errors import ConfigError
from albatross.head_spec import HeadSpec
from albatross.modeling.losses import LossOptions, class_counts
from albatross.settings.presets import preset_of
from albatross.settings.tasks_file import read_tasks_file
from albatross.settings.training import FinetuneSettings
from albatross.tasks.generation import GenerationTask
from albatross.tasks.labels import imbalance
from albatross.tasks.task import Task, Tokenizer
from albatross.training.collapse import ignorant_loss
from albatross.training.example_batches import ExampleBatches
from albatross.training.multi_task import with_own_heads
from albatross.training.task_data import TaskData, kind_of, read_task_data
from albatross.training.workspace import check_length

# Labels of which the most frequent comes so much more often than the rarest are called uneven.
_UNEVEN = 3
_LABELS_SHOWN = 6
# What a model that writes has no use for, and its usual value.
_OF_ENCODERS = {"adapt": "full", "layer_decay": 1.0, "fresh_pooler": False, "early_exit": False}


@dataclass(frozen=True)
class Assignment:
    """One task of a run.

    Attributes:
        settings: with nothing left open
        data: the task and its records
        heads: by the prefix of their tensors
        units: examples that a step takes together
        batches: of them
        losses: how heads learn beside their labels
    """

    settings: FinetuneSettings
    data: TaskData
    heads: dict[str, HeadSpec]
    units: Sequence[Sequence[Example]]
    batches: ExampleBatches
    losses: dict[str, LossOptions]

    @property
    def task(self) -> Task[Any]:
        """What is learned."""
        return self.data.task

    @property
    def steps(self) -> int:
        """Steps of all its passes."""
        return max(1, round(self.batches.steps_per_epoch * (self.settings.epochs or 1)))

    @property
    def ignorant_loss(self) -> float | None:
        """The loss of a model that only knows how frequent labels are."""
        weights = next((o.class_weights for o in self.losses.values()), None)
        counted = None if weights is None else weights.numpy()
        return ignorant_loss(self.heads, self.units, class_weights=counted)

    def announcement(self, of_run: FinetuneSettings) -> str:
        """Say in one line what is learned, and how; the run may have several tasks."""
        settings, data = self.settings, self.data
        name, kind = self.task.name, self.task.kind.replace("-", "_")
        plural = "" if self.steps == 1 else "s"
        marks = ", what both texts have marked" if data.mark_shared else ""
        parts = " and ".join(f"{len(part):,} of {name}" for name, part in data.dev.items())
        tuned = f", thresholds tuned on {len(data.tuning):,} more" if data.tuning else ""
        return (
            f"Learning {name if name == kind else f'{name} ({kind})'}"
            f" from {len(data.train):,} records,"
            f" measured on {parts or 'none'}{tuned}: rate {of_run.learning_rate:g},"
            f" {settings.epochs:g} epochs ({self.steps:,} step{plural}) of {settings.batch_size},"
            f" warm-up {of_run.warmup:g}, dropout {of_run.dropout:g}, at most"
            f" {settings.max_length} tokens{marks}, seed {settings.seed}."
        )

    def unevenness(self) -> str:
        """Say how uneven the labels are, with what may help; nothing where they are not."""
        if self.task.kind != "classification":
            return ""
        counts = imbalance(self.data.train)
        if len(counts) < 2 or max(counts.values()) < _UNEVEN * min(counts.values()):
            return ""
        told = [f"{label} {count:,}" for label, count in counts.items()]
        shown = told if len(told) <= _LABELS_SHOWN else [*told[:3], "...", *told[-2:]]
        balanced, metric = self.settings.class_weights == "balanced", self.task.main_metric
        helps = [] if metric == "macro_f1" else ["`--metric macro_f1` counts all alike"]
        helps += [] if balanced else ["`--class-weights balanced` learns them alike"]
        ending = f" {', '.join(helps)}." if helps else ""
        return f"Labels are uneven: {', '.join(shown)}.{ending}"


def assignments_of(
    settings: FinetuneSettings, config: AlbertConfig, tokenizer: Tokenizer
) -> list[Assignment]:
    """Read the records of every task, and refuse what does not go together.

    Raises:
        ConfigError: no such task, options that it has no use for, sequences longer than the
            model's positions, or tasks that cannot share an encoder.
        DataError: the files are not there, or cannot be read.
        LabelError: labels that cannot be learned, or that only the dev part has.
    """
    tables = [{}] if settings.tasks is None else read_tasks_file(settings.tasks)
    given = [
        replace(settings, tasks=None, temperature=FinetuneSettings.temperature, **table)
        for table in tables
    ]
    each = [effective(one, config) for one in given]
    for one in each:
        check_length(one.max_length or 0, config)
        _check_marks(one, config)
    read = [read_task_data(one, tokenizer) for one in each]
    for one, data in zip(given, read, strict=True):
        if one.mark_shared == "yes" and not data.mark_shared:
            raise ConfigError(
                "`--mark-shared` is for records with two texts that are read together. Received:"
                f" {data.task.name}, a task of the kind {data.task.kind}, without. Leave it out."
            )
    named = with_own_heads([data.task for data in read])
    return [
        _assignment(
            replace(
                effective(one, config, len(data.train)),
                mark_shared="yes" if data.mark_shared else "no",
            ),
            replace(data, task=task),
        )
        for one, data, task in zip(given, read, named, strict=True)
    ]


def effective(
    settings: FinetuneSettings, config: AlbertConfig, records: int | None = None
) -> FinetuneSettings:
    """Return the settings with those that were left open as the task and its preset have them.

    Args:
        settings: as they were given.
        config: of the model.
        records: how many there are to learn from, once they are read.
    """
    kind = kind_of(settings)
    preset = asdict(preset_of(settings.task, kind, config, settings.adapt, records))
    preset["name"] = settings.name or settings.task.replace("-", "_")
    open_ones = {k: v for k, v in preset.items() if getattr(settings, k) in (None, "")}
    return replace(settings, **open_ones)


def _check_marks(settings: FinetuneSettings, config: AlbertConfig) -> None:
    """Refuse marks that would not be learned."""
    if settings.mark_shared == "yes" and settings.adapt != "full" and not config.marks_shared:
        raise ConfigError(
            "`--mark-shared` adds two rows to the embeddings, so these must learn. Received:"
            f" --adapt {settings.adapt}. Leave one out, or start from a model that has learned"
            " with marks."
        )


def _assignment(settings: FinetuneSettings, data: TaskData) -> Assignment:
    """Make examples of the records, and batches of these."""
    task = data.task
    unused = [name for name, usual in _OF_ENCODERS.items() if getattr(settings, name) != usual]
    if isinstance(task, GenerationTask) and unused:
        raise ConfigError(
            "A model that writes learns with all its weights, at one rate, and without exits."
            f" Received: --{unused[0].replace('_', '-')}. Leave it out."
        )
    heads = _with_exits(task.heads) if settings.early_exit else dict(task.heads)
    features = [task.features(record) for record in data.train]
    units: Sequence[Sequence[Example]] = features
    if not task.together:
        units = [[example] for part in features for example in part]
    contrastive = any(spec.loss == "contrastive" for spec in heads.values())
    batches = ExampleBatches(
        units,
        settings.batch_size or 1,
        settings.seed,
        micro_tokens=None if contrastive else settings.micro_tokens,
    )
    return Assignment(settings, data, heads, units, batches, _losses(settings, heads, task, units))


def _with_exits(heads: Any) -> dict[str, HeadSpec]:
    """Return heads that answer after every depth.

    Raises:
        ConfigError: a kind of head that has no exits.
    """
    for spec in heads.values():
        if spec.kind != "sequence":
            raise ConfigError(
                "`--early-exit` is for tasks that answer for a whole sequence. Received: a head of"
                f" the kind {spec.kind}. Leave it out."
            )
    return {
        name: replace(spec, options={**spec.options, "exits": True}) for name, spec in heads.items()
    }


def _losses(
    settings: FinetuneSettings,
    heads: dict[str, HeadSpec],
    task: Task[Any],
    units: Sequence[Sequence[Example]],
) -> dict[str, LossOptions]:
    """Return how classes are weighed.

    Raises:
        ConfigError: a task without classes.
    """
    if settings.label_smoothing is not None and not isinstance(task, GenerationTask):
        raise ConfigError(
            "`--label-smoothing` is for generation; it brought classification nothing. Received: a"
            f" task of the kind {task.kind}. Leave it out."
        )
    if settings.class_weights == "none":
        return {}
    classes = [n for n, s in heads.items() if (s.kind, s.loss) == ("sequence", "cross_entropy")]
    if len(classes) != 1:
        raise ConfigError(
            "`--class-weights` are for classification. Received: a task of the kind"
            f" {task.kind}. Leave them out."
        )
    (name,) = classes
    labels = np.concatenate([np.atleast_1d(unit[0].labels[name]) for unit in units])
    counts = class_counts(labels, heads[name].size)
    balanced = len(labels) / (len(counts) * np.maximum(counts, 1))
    return {name: LossOptions(torch.from_numpy(balanced.astype(np.float32)))}
