"""What learns the tasks of a run: a model with its losses, and how it is looked at meanwhile."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from albatross.atomic import read_json
from albatross.checkpoints.model_folder import TASKS, read_config
from albatross.config import AlbertConfig
from albatross.engine.open import open_tokenizer
from albatross.engine.torch_engine import TorchEngine
from albatross.engine.torch_generator import TorchGenerator
from albatross.errors import FolderError
from albatross.head_spec import POOLED, HeadSpec
from albatross.modeling.generation_model import AlbertForGeneration
from albatross.modeling.pretrained import draw_weights
from albatross.modeling.rounding import round_weights
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import answer_records
from albatross.settings.training import FinetuneSettings
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Task, Tunable
from albatross.tasks.task_file import read_tasks
from albatross.training.assignments import Assignment
from albatross.training.collapse import spread_of
from albatross.training.dev_scores import SCORING_TOKENS, DevScores
from albatross.training.generation_objective import generation_parts
from albatross.training.head_losses import HeadLosses
from albatross.training.layer_decay import apply_layer_decay
from albatross.training.objectives import Objective
from albatross.training.stopping import goodness
from albatross.training.transfer import adaptation_of, freeze, starting_point

# A word's probability that is asked for all words alike (Vaswani et al., 2017, section 5.4), and
# the tokens that are written for together.
_SMOOTHING_OF_WORDS, _WRITING_TOKENS = 0.1, 2_048
# Texts whose answers tell whether a run has collapsed.
_PROBED = 32


class Learner(Protocol):
    """A model with what it is trained for."""

    @property
    def objective(self) -> Objective:
        """What is trained."""
        ...

    @property
    def rate_scales(self) -> Mapping[str, float]:
        """What scales the rates of its parameters."""
        ...

    def measure(self) -> dict[str, float]:
        """Return its figures on the dev parts."""
        ...

    def measure_depths(self) -> list[float]:
        """Return the main figure after every depth, of a model with exits."""
        ...

    def spread(self) -> float:
        """Return how far its answers to several texts differ."""
        ...

    def tune(self) -> list[Task[Any]]:
        """Choose thresholds, and return the tasks with them; measured with them from then on."""
        ...


def learner_of(
    source: Path, config: AlbertConfig, settings: FinetuneSettings, assignments: list[Assignment]
) -> Learner:
    """Open what learns the tasks of a run.

    Args:
        source: the model to start from.
        config: of the new one.
        settings: how it starts and learns.
        assignments: the tasks; one that writes stands alone.
    """
    task = assignments[0].task
    if isinstance(task, GenerationTask):
        return Writer(source, config, settings, assignments[0], task)
    return Answerer(source, config, settings, assignments)


class Answerer:
    """An encoder with a head for each task."""

    def __init__(
        self,
        source: Path,
        config: AlbertConfig,
        settings: FinetuneSettings,
        assignments: Sequence[Assignment],
    ) -> None:
        """Open the encoder; heads start anew where their labels are others, which is said."""
        self.heads = {name: spec for one in assignments for name, spec in one.heads.items()}
        self.model = open_encoder(source, config, settings, self.heads)
        self._assignments = assignments
        self._begin_anew(source, config, settings)
        self.rate_scales = apply_layer_decay(self.model, settings.layer_decay)
        losses = {name: options for one in assignments for name, options in one.losses.items()}
        self.objective = HeadLosses(self.model, losses)
        self._engine = TorchEngine(self.model)
        self._tasks = [one.task for one in assignments]
        self._scores = [DevScores(one.task, one.data.dev) for one in assignments]

    def measure(self) -> dict[str, float]:
        """Return figures by their names; of several tasks by the task's name, and the mean.

        In the mean, errors such as `mse` count below zero, so that more of it is better.
        """
        found = [scores.measure(self._engine) for scores in self._scores]
        if len(found) == 1:
            return found[0]
        mains = [
            goodness(task.main_metric, figures[task.main_metric])
            for task, figures in zip(self._tasks, found, strict=True)
            if figures
        ]
        mean = {"mean": float(np.mean(mains))} if mains else {}
        return mean | {
            f"{task.name}_{name}": value
            for task, figures in zip(self._tasks, found, strict=True)
            for name, value in figures.items()
        }

    def measure_depths(self) -> list[float]:
        """Return the main figure after every depth; of several tasks the mean, as above."""
        measured = [
            (task.main_metric, scores.measure_depths(self._engine))
            for task, scores in zip(self._tasks, self._scores, strict=True)
            if not scores.is_empty
        ]
        if len(self._tasks) == 1:
            return measured[0][1]
        good = [[goodness(metric, value) for value in values] for metric, values in measured]
        means: list[float] = np.mean(good, axis=0).tolist()
        return means

    def spread(self) -> float:
        """Return how far the answers to texts of the first task differ."""
        first = self._assignments[0]
        distinct = {unit[0].input_ids.tobytes(): unit[0] for unit in first.units}
        texts = list(distinct.values())
        probed = texts[:: max(1, len(texts) // _PROBED)][:_PROBED]
        return spread_of(self._engine, probed, first.heads)

    def tune(self) -> list[Task[Any]]:
        """Choose thresholds by records that are neither learned nor measured."""
        for number, one in enumerate(self._assignments):
            task = self._tasks[number]
            if isinstance(task, Tunable) and one.data.tuning:
                answers = answer_records(self._engine, task, one.data.tuning, SCORING_TOKENS)
                self._tasks[number] = task.tuned(answers, one.data.tuning)
                self._scores[number] = DevScores(self._tasks[number], one.data.dev)
        return self._tasks

    def _begin_anew(self, source: Path, config: AlbertConfig, settings: FinetuneSettings) -> None:
        """Draw heads anew whose labels are others than those that the source has for them."""
        modules = dict(self.model.named_modules())
        for one in self._assignments:
            if settings.from_scratch or not _labels_differ(source, one.task):
                continue
            for name in one.heads:
                for part in (name, f"exits.{name}"):
                    if part in modules:
                        draw_weights(modules[part], config.initializer_range, settings.seed)
            told = f"Starting anew: {', '.join(one.heads)}; {settings.model} has other labels."
            print(told, file=sys.stderr)


class Writer:
    """A model that writes texts."""

    def __init__(
        self,
        source: Path,
        config: AlbertConfig,
        settings: FinetuneSettings,
        assignment: Assignment,
        task: GenerationTask,
    ) -> None:
        """Open the model."""
        smoothing = settings.label_smoothing
        self.objective = generation_parts(
            source,
            config,
            task,
            assignment.data.train,
            smoothing=_SMOOTHING_OF_WORDS if smoothing is None else smoothing,
            from_scratch=settings.from_scratch,
            fresh_decoder=settings.fresh_decoder,
            seed=settings.seed,
        ).objective
        if settings.quantization_aware:
            round_weights(self.objective.model)
        self.rate_scales: Mapping[str, float] = {}
        self._task = task
        self._records = next(iter(assignment.data.dev.values()), [])

    def measure(self) -> dict[str, float]:
        """Write a text for every record of the dev part, and compare."""
        model = self.objective.model
        assert isinstance(model, AlbertForGeneration)
        answers = answer_records(TorchGenerator(model), self._task, self._records, _WRITING_TOKENS)
        return self._task.metrics(self._task.judge(answers, self._records))

    def measure_depths(self) -> list[float]:
        """Return nothing: texts are written after the last depth alone."""
        return []

    def spread(self) -> float:
        """Return infinity: what is written is not judged."""
        return math.inf

    def tune(self) -> list[Task[Any]]:
        """Return the task as it is."""
        return [self._task]


def open_encoder(
    source: Path, config: AlbertConfig, settings: FinetuneSettings, heads: Mapping[str, HeadSpec]
) -> AlbertWithHeads:
    """Open an encoder under the heads of its tasks, or make all of it anew when asked to.

    Heads and the pooler start anew where the source has none of that shape. What does not learn is
    frozen.
    """
    adaptation = adaptation_of(settings)
    if settings.from_scratch:
        model = AlbertWithHeads(config, heads=heads, seed=settings.seed)
    else:
        start = starting_point(source, adaptation, config=config, keep_heads=True)
        lacks_pooler = not any(name.startswith("albert.pooler.") for name in start.arrays)
        model = start.model(
            heads, initialize=("albert.pooler",) if lacks_pooler else (), seed=settings.seed
        )
        if settings.fresh_pooler and any(spec.kind in POOLED for spec in heads.values()):
            draw_weights(model.albert.pooler, config.initializer_range, settings.seed)
        freeze(model, adaptation)
    if settings.quantization_aware:
        round_weights(model)
    return model


def _labels_differ(source: Path, task: Task[Any]) -> bool:
    """Whether the source answers a task with other labels under the same heads."""
    now = task.to_dict()
    for before in _tasks_before(source):
        if isinstance(before, dict) and before.get("head") == now.get("head"):
            return (before.get("kind"), before.get("labels")) != (now["kind"], now.get("labels"))
    return False


def _tasks_before(source: Path) -> list[Any]:
    """Return what the source answers, as `task.json` has it.

    Nothing for a pre-trained model, nor for one of transformers whose labels nobody named.
    """
    if (source / TASKS).is_file():
        return list(read_json(source / TASKS).values())
    config = read_config(source)
    tokenizer = open_tokenizer(source, config)
    try:
        found = read_tasks(source, config.extra, tokenizer, config.max_position_embeddings)
    except FolderError:
        return []
    told = [one.to_dict() for one in found.values()]
    return [one for one in told if "LABEL_0" not in one.get("labels", ())]
