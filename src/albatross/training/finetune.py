"""The verb finetune: tasks over labelled records, the encoder and its heads together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from albatross.atomic import made_by_one, read_json
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import (
    CONFIG,
    RUN,
    TRAINING_STATE,
    read_config,
    weight_files,
)
from albatross.config import AlbertConfig, without_labels
from albatross.engine.open import open_tokenizer
from albatross.errors import ConfigError, TrainingError
from albatross.report import file_digest
from albatross.settings.tasks_file import LEARNING_KEYS
from albatross.settings.training import FinetuneSettings
from albatross.tasks.task import Task
from albatross.training.assignments import assignments_of, effective
from albatross.training.collapse import CollapseError, CollapseWatch
from albatross.training.distributed import World, joined
from albatross.training.heap import tune_heap
from albatross.training.learners import Learner, learner_of
from albatross.training.multi_task import MixedBatches
from albatross.training.precision import on_devices
from albatross.training.schedules import Extent
from albatross.training.seeds import train_seeds
from albatross.training.trainer import StepSource, Trainer
from albatross.training.transfer import adaptation_of, base_of_run, with_marks
from albatross.training.workspace import Workspace, check_place, optimization_of, set_threads

# A collapsed run begins anew so often, at half the rate.
_MOST_RESTARTS, _SLOWER = 2, 0.5


def finetune(settings: FinetuneSettings) -> Path:
    """Fine-tune a model on labelled records and write a model folder.

    Raises:
        FolderError: no model folder, or the output's place is taken or worked at.
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
        settings = on_devices(settings, world)
        if settings.seeds > 1:
            data = _Run(settings, world).data  # refuses what any of them would
            return train_seeds(settings, lambda one: _trained(one, world), data)
        return _trained(settings, world)


def _trained(settings: FinetuneSettings, world: World) -> Path:
    """Refuse what does not go together, then train, and return the folder."""
    run = _Run(settings, world)
    with made_by_one(settings.out):
        return run.run()


class _Run:
    """Everything that a run is put together from."""

    def __init__(self, settings: FinetuneSettings, world: World) -> None:
        """Read model and records, and refuse what does not go together before anything is long."""
        self.world, self.source = world, find_model(settings.model)
        check_place(settings.out, [self.source])
        config = read_config(self.source)
        self.tokenizer = open_tokenizer(self.source, config)
        self.assignments = assignments_of(settings, config, self.tokenizer)
        self._check_dev(settings)
        alone = len(self.assignments) == 1
        marked = any(one.data.mark_shared for one in self.assignments)
        self.settings = self.assignments[0].settings
        if not alone:
            general = effective(settings, config)
            self.settings = replace(general, mark_shared="yes" if marked else "no")
        self.config = _for_tasks(with_marks(config) if marked else config, self.settings)
        self.steps = sum(one.steps for one in self.assignments)
        self.goal = self.assignments[0].task.main_metric if alone else "mean"

    def run(self) -> Path:
        """Train, at a lower rate if that collapses, measure, and write the folder."""
        out, restarts, anew = self.settings.out, [], False
        if (out / TRAINING_STATE).is_dir():
            restarts = list(read_json(out / RUN).get("restarts", []))
        for one in self.assignments:
            self.say(one.announcement(self.settings))
            self.say(one.unevenness())
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
        """Tell the user, if there is anything to tell."""
        if line:
            print(line, file=sys.stderr)

    def _check_dev(self, settings: FinetuneSettings) -> None:
        """Refuse to choose by a dev part where there is none."""
        chooses = settings.patience is not None or settings.keep == "best" or settings.seeds > 1
        if chooses and not any(one.data.dev for one in self.assignments):
            raise ConfigError(
                "`--patience`, `--keep best` and `--seeds` choose by a dev part. Received: none."
                " Give --dev, or a --hold-out above 0."
            )

    def _attempt(self, restarts: Sequence[Mapping[str, Any]], *, anew: bool) -> Path:
        """Take a model of its own through all steps, and write it."""
        settings, workspace = self.settings, self._workspace(restarts)
        learner = learner_of(self.source, self.config, settings, self.assignments)
        has_dev = any(one.data.dev for one in self.assignments)
        optimization = optimization_of(
            settings,
            Extent(steps=self.steps),
            learning_rate=(settings.learning_rate or 0) * _SLOWER ** len(restarts),
            evaluations=settings.evaluations,
            goal=self.goal,
            patience=settings.patience,
            keep=settings.keep,
            rate_scales=learner.rate_scales,
        )
        alone = len(self.assignments) == 1
        trainer = workspace.train(
            learner.objective,
            self._batches(),
            optimization,
            evaluate=lambda trainer: learner.measure() if has_dev else {},
            watch=CollapseWatch(
                ignorant_loss=self.assignments[0].ignorant_loss if alone else None,
                steps=self.steps,
                warmup=settings.warmup or 0,
                spread=learner.spread,
            ),
            anew=anew,
        )
        with trainer.averages.in_place():
            tasks = learner.tune()
        figures = self._figures(trainer, learner, tasks)
        return replace(workspace, tasks=tasks).finish(trainer, figures)

    def _figures(
        self, trainer: Trainer, learner: Learner, tasks: Sequence[Task[Any]]
    ) -> dict[str, Any]:
        """Return the figures of the weights and thresholds that are kept."""
        has_dev = any(one.data.dev for one in self.assignments)
        figures: dict[str, Any] = trainer.measure()
        tuned = [one.task for one in self.assignments] != list(tasks)
        with trainer.averages.in_place():
            if has_dev and (tuned or self.settings.keep == "best"):
                figures = learner.measure()
            if self.settings.early_exit and has_dev:
                by_depth = learner.measure_depths()
                figures |= {f"{self.goal}_depth_{d + 1}": v for d, v in enumerate(by_depth)}
                told = ", ".join(f"{value:.4f}" for value in by_depth)
                self.say(f"{self.goal} after each depth: {told}")
        if len(self.assignments) > 1:
            mains = [(o.task.name, f"{o.task.name}_{o.task.main_metric}") for o in self.assignments]
            told = ", ".join(f"{name} {figures[key]:.4f}" for name, key in mains if key in figures)
            self.say(f"{told}; mean {figures['mean']:.4f}" if told else "")
        elif self.goal in figures:
            self.say(f"{self.goal} {figures[self.goal]:.4f}")
        return figures

    def _batches(self) -> StepSource:
        """Return what steps learn from."""
        sources = [one.batches for one in self.assignments]
        if len(sources) == 1:
            return sources[0]
        sizes = [one.steps for one in self.assignments]
        seed, temperature = self.settings.seed, self.settings.temperature
        return MixedBatches(sources, sizes, seed, temperature=temperature)

    @property
    def data(self) -> dict[str, Any]:
        """What is learned from, with checksums."""
        files, fresh = weight_files(self.source), self.settings.from_scratch
        data: dict[str, Any] = {"model": file_digest(self.source / CONFIG if fresh else files[0])}
        base = base_of_run(self.source, adaptation_of(self.settings))
        if base is not None:
            data["base"] = file_digest(weight_files(base)[0])
        for one in self.assignments:
            prefix = f"{one.task.name} " if len(self.assignments) > 1 else ""
            data |= {prefix + name: digest for name, digest in one.data.digests.items()}
            if prefix:  # what the file of tasks says, wherever it is
                of_task = one.settings.to_dict()
                data[f"{prefix}settings"] = {key: of_task[key] for key in LEARNING_KEYS}
        return data

    def _workspace(self, restarts: Sequence[Mapping[str, Any]]) -> Workspace:
        """Return the run's place."""
        settings, tasks = self.settings, [one.task for one in self.assignments]
        base = base_of_run(self.source, adaptation_of(settings))
        return Workspace(
            "finetune",
            settings,
            self.data,
            self.tokenizer,
            _transformers_keys(tasks),
            tasks,
            world=self.world,
            base=base,
            notes={"restarts": list(restarts)} if restarts else {},
        )


def _for_tasks(config: AlbertConfig, settings: FinetuneSettings) -> AlbertConfig:
    """Set both dropouts, and forget what an earlier head left behind."""
    dropout = settings.dropout or 0.0
    return replace(
        without_labels(config),
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def _transformers_keys(tasks: Sequence[Task[Any]]) -> dict[str, Any]:
    """Return what `config.json` tells transformers: the one head, or that it knows none of them."""
    return tasks[0].transformers_keys() if len(tasks) == 1 else {"architectures": ["AlbertModel"]}
