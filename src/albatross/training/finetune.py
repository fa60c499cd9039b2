"""The verb finetune: a task over labelled records, the encoder and its heads together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from albatross.atomic import read_json
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import (
    CONFIG,
    RUN,
    TRAINING_STATE,
    read_config,
    weight_files,
)
from albatross.config import AlbertConfig
from albatross.data.packing import Example
from albatross.engine.open import open_tokenizer
from albatross.errors import ConfigError, TrainingError
from albatross.head_spec import HeadSpec
from albatross.modeling.task_heads import LossOptions
from albatross.report import file_digest
from albatross.settings.presets import preset_of
from albatross.settings.training import FinetuneSettings
from albatross.tasks.generation import GenerationTask
from albatross.training.collapse import CollapseError, CollapseWatch, ignorant_loss
from albatross.training.distributed import World, joined
from albatross.training.example_batches import ExampleBatches
from albatross.training.heap import tune_heap
from albatross.training.learners import Learner, answerer, writer
from albatross.training.schedules import Extent
from albatross.training.seeds import train_seeds
from albatross.training.task_data import TaskData, kind_of, read_task_data
from albatross.training.trainer import Trainer
from albatross.training.workspace import (
    Workspace,
    check_length,
    check_place,
    optimization_of,
    set_threads,
)

# Texts whose answers tell whether a run has collapsed.
_PROBED = 32
# A collapsed run begins anew so often, at half the rate.
_MOST_RESTARTS, _SLOWER = 2, 0.5


def finetune(settings: FinetuneSettings) -> Path:
    """Fine-tune a model on labelled records and write a model folder.

    Raises:
        FolderError: no model folder, or the output's place is taken.
        DataError: the records cannot be used.
        ConfigError: sequences longer than the model's positions, options that do not go together,
            or an interrupted run of other settings in the output's place.
        TrainingError: the run was interrupted (its state is saved) or has diverged.
    """
    set_threads(settings.threads)
    tune_heap("speed")
    with joined(settings.device) as world:
        if world.size > 1:
            raise ConfigError(
                "Fine-tuning runs in one process. Received: a group of"
                f" {world.size}. Start it without torchrun."
            )
        if settings.seeds > 1:
            return train_seeds(settings, lambda one: _Run(one, world).run())
        return _Run(settings, world).run()


class _Run:
    """Everything that a run is put together from."""

    def __init__(self, settings: FinetuneSettings, world: World) -> None:
        """Read model and records, and refuse what does not go together before anything is long."""
        self.world, self.source = world, find_model(settings.model)
        check_place(settings.out, [self.source])
        config = read_config(self.source)
        self.settings = _effective(settings, config)
        self.config = _for_task(config, self.settings)
        check_length(self.settings.max_length or 0, config)
        self.tokenizer = open_tokenizer(self.source, config)
        self.data: TaskData = read_task_data(self.settings, self.tokenizer)
        self.task = self.data.task
        self.heads = _with_exits(self.task.heads) if settings.early_exit else dict(self.task.heads)
        features = [self.task.features(record) for record in self.data.train]
        together = self.task.together
        self.units: Sequence[Sequence[Example]] = (
            features if together else [[example] for part in features for example in part]
        )
        contrastive = any(spec.loss == "contrastive" for spec in self.heads.values())
        self.batches = ExampleBatches(
            self.units,
            self.settings.batch_size or 1,
            settings.seed,
            micro_tokens=None if contrastive else settings.micro_tokens,
        )
        epochs = self.settings.epochs or 1
        self.steps = max(1, round(self.batches.steps_per_epoch * epochs))
        self.losses = self._loss_options()

    def run(self) -> Path:
        """Train, at a lower rate if that collapses, measure, and write the folder."""
        out, restarts, anew = self.settings.out, [], False
        if (out / TRAINING_STATE).is_dir():
            restarts = list(read_json(out / RUN).get("restarts", []))
        self.say(self._announcement())
        while True:
            try:
                return self._attempt(restarts, anew=anew)
            except CollapseError as error:
                rate = (self.settings.learning_rate or 0) * _SLOWER ** len(restarts)
                if len(restarts) == _MOST_RESTARTS:
                    raise TrainingError(
                        f"{error} It did so {_MOST_RESTARTS + 1} times, last at {rate:.2g}."
                    ) from error
                restarts, anew = [*restarts, {"learning_rate": rate, "reason": str(error)}], True
                self.say(f"{error} Beginning anew at {rate * _SLOWER:.2g}.")

    def say(self, line: str) -> None:
        """Tell the user."""
        print(line, file=sys.stderr)

    def _attempt(self, restarts: Sequence[Mapping[str, Any]], *, anew: bool) -> Path:
        """Take a model of its own through all steps, and write it."""
        settings, workspace = self.settings, self._workspace(restarts)
        learner = self._learner()
        optimization = optimization_of(
            settings,
            Extent(steps=self.steps),
            learning_rate=(settings.learning_rate or 0) * _SLOWER ** len(restarts),
            evaluations=settings.evaluations,
            goal=self.task.main_metric,
            patience=settings.patience,
            keep=settings.keep,
            rate_scales=learner.rate_scales,
        )
        trainer = workspace.train(
            learner.objective,
            self.batches,
            optimization,
            evaluate=lambda trainer: learner.measure() if self.data.dev else {},
            watch=CollapseWatch(
                ignorant_loss=self._ignorant_loss(),
                steps=self.steps,
                warmup=settings.warmup or 0,
                spread=learner.spread,
            ),
            anew=anew,
        )
        return workspace.finish(trainer, self._figures(trainer, learner))

    def _figures(self, trainer: Trainer, learner: Learner) -> dict[str, Any]:
        """Return the figures of the weights that are kept."""
        best, name = trainer.stopping.best, self.task.main_metric
        figures: dict[str, Any] = trainer.measure()
        if self.settings.keep == "best" and best:
            figures = {figure: value for figure, value in best.items() if figure != "step"}
        if self.settings.early_exit and self.data.dev:
            with trainer.averages.in_place():
                by_depth = learner.measure_depths()
            figures |= {f"{name}_depth_{d + 1}": value for d, value in enumerate(by_depth)}
            told = ", ".join(f"{value:.4f}" for value in by_depth)
            self.say(f"{name} after each depth: {told}")
        elif name in figures:
            self.say(f"{name} {figures[name]:.4f}")
        return figures

    # === Parts ===

    def _learner(self) -> Learner:
        """Return what learns the task."""
        source, config, settings, data = self.source, self.config, self.settings, self.data
        if isinstance(self.task, GenerationTask):
            return writer(source, config, settings, self.task, data)
        probed = [unit[0] for unit in self.units[:_PROBED]]
        return answerer(
            source, config, settings, data, heads=self.heads, losses=self.losses, probed=probed
        )

    def _loss_options(self) -> dict[str, LossOptions]:
        """Return how classes are weighed and smoothed.

        Raises:
            ConfigError: a task without classes.
        """
        settings = self.settings
        if settings.class_weights == "none" and not settings.label_smoothing:
            return {}
        ((name, spec),) = self.heads.items()
        if spec.kind != "sequence" or spec.loss != "cross_entropy":
            raise ConfigError(
                "`--class-weights` and `--label-smoothing` are for classification. Received: a"
                f" task of the kind {self.task.kind}. Leave them out."
            )
        weights = None
        if settings.class_weights == "balanced":
            labels = np.array([unit[0].labels[name] for unit in self.units], dtype=np.int64)
            counts = np.bincount(labels, minlength=spec.size)
            balanced = len(labels) / (spec.size * np.maximum(counts, 1))
            weights = torch.from_numpy(balanced.astype(np.float32))
        return {name: LossOptions(weights, settings.label_smoothing)}

    def _ignorant_loss(self) -> float | None:
        """Return the loss of a model that only knows how frequent labels are."""
        weights = next((o.class_weights for o in self.losses.values()), None)
        return ignorant_loss(
            self.task.heads,
            self.units,
            class_weights=None if weights is None else weights.numpy(),
            label_smoothing=self.settings.label_smoothing,
        )

    def _workspace(self, restarts: Sequence[Mapping[str, Any]]) -> Workspace:
        """Return the run's place."""
        files = weight_files(self.source)
        data: dict[str, Any] = {
            "model": file_digest(self.source / CONFIG if self.settings.from_scratch else files[0]),
            **self.data.digests,
        }
        return Workspace(
            "finetune",
            self.settings,
            data,
            self.tokenizer,
            self.task.transformers_keys(),
            [self.task],
            world=self.world,
            notes={"restarts": list(restarts)} if restarts else {},
        )

    def _announcement(self) -> str:
        """Say in one line what is learned, and how."""
        settings, data = self.settings, self.data
        parts = " and ".join(f"{len(part):,} of {name}" for name, part in data.dev.items())
        return (
            f"Learning {self.task.name} ({self.task.kind}) from {len(data.train):,} records,"
            f" measured on {parts or 'none'}: rate {settings.learning_rate:g},"
            f" {settings.epochs:g} epochs ({self.steps:,} steps) of {settings.batch_size},"
            f" warm-up {settings.warmup:g}, dropout {settings.dropout:g}, at most"
            f" {settings.max_length} tokens, seed {settings.seed}."
        )


def _effective(settings: FinetuneSettings, config: AlbertConfig) -> FinetuneSettings:
    """Return the settings with those that were left open as the task and its preset have them."""
    preset = asdict(preset_of(settings.task, kind_of(settings), config))
    preset["name"] = settings.name or settings.task.replace("-", "_")
    open_ones = {k: v for k, v in preset.items() if getattr(settings, k) in (None, "")}
    return replace(settings, **open_ones)


def _for_task(config: AlbertConfig, settings: FinetuneSettings) -> AlbertConfig:
    """Set both dropouts, and forget what an earlier head left behind."""
    # transformers would believe it before the new labels.
    left = ("num_labels", "id2label", "label2id", "problem_type")
    dropout = settings.dropout or 0.0
    return replace(
        config,
        extra={key: value for key, value in config.extra.items() if key not in left},
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def _with_exits(heads: Mapping[str, HeadSpec]) -> dict[str, HeadSpec]:
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
