"""What learns a task: a model with its losses, opened from a source, and how it is looked at."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from albatross.atomic import read_json
from albatross.checkpoints.model_folder import TASKS, read_weights
from albatross.config import AlbertConfig
from albatross.data.packing import Example
from albatross.engine.generation import write_answers
from albatross.engine.torch_engine import TorchEngine
from albatross.engine.torch_generator import TorchGenerator
from albatross.head_spec import HeadSpec
from albatross.modeling.generation_model import AlbertForGeneration
from albatross.modeling.pretrained import draw_weights
from albatross.modeling.task_heads import POOLED, LossOptions
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.settings.training import FinetuneSettings
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Task
from albatross.training.collapse import spread_of
from albatross.training.dev_scores import DevScores
from albatross.training.generation_objective import generation_parts
from albatross.training.head_losses import HeadLosses
from albatross.training.layer_decay import apply_layer_decay
from albatross.training.objectives import Objective
from albatross.training.task_data import TaskData

# A word's probability that is asked for all words alike (Vaswani et al., 2017, section 5.4), and
# the tokens that are written for together.
_SMOOTHING_OF_WORDS, _WRITING_TOKENS = 0.1, 2_048


@dataclass(frozen=True)
class Learner:
    """A model with what it is trained for, and how it is looked at.

    Attributes:
        objective: a model with what it is trained for
        measure: returns its figures on the dev part
        spread: how far its answers to several texts differ
        measure_depths: returns the main figure of every depth
        rate_scales: what scales the rates of its parameters
    """

    objective: Objective
    measure: Callable[[], dict[str, float]]
    spread: Callable[[], float] = lambda: math.inf
    measure_depths: Callable[[], list[float]] = list
    rate_scales: Mapping[str, float] = field(default_factory=dict)


def answerer(
    source: Path,
    config: AlbertConfig,
    settings: FinetuneSettings,
    data: TaskData,
    *,
    heads: Mapping[str, HeadSpec],
    losses: Mapping[str, LossOptions],
    probed: Sequence[Example],
) -> Learner:
    """Open an encoder with heads, anew where their labels are others, and say so.

    Args:
        source: the model to start from.
        config: of the new one.
        settings: how it starts and learns.
        data: the task, and what it is measured on.
        heads: of the task.
        losses: how they learn beside their labels.
        probed: texts whose answers are to differ.
    """
    model = open_encoder(source, config, settings, heads)
    if not settings.from_scratch and _labels_differ(source, data.task):
        for name in heads:
            draw_weights(model.get_submodule(name), config.initializer_range, settings.seed)
        told = f"Starting anew: {', '.join(heads)}; {settings.model} has other labels."
        print(told, file=sys.stderr)
    engine, scores = TorchEngine(model), DevScores(data.task, data.dev)
    return Learner(
        HeadLosses(model, losses),
        partial(scores.measure, engine),
        spread=partial(spread_of, engine, probed, heads),
        measure_depths=partial(scores.measure_depths, engine),
        rate_scales=apply_layer_decay(model, settings.layer_decay),
    )


def writer(
    source: Path,
    config: AlbertConfig,
    settings: FinetuneSettings,
    task: GenerationTask,
    data: TaskData,
) -> Learner:
    """Open a model that writes; arguments as for `answerer`."""
    objective = generation_parts(
        source,
        config,
        task,
        data.train,
        smoothing=settings.label_smoothing or _SMOOTHING_OF_WORDS,
        from_scratch=settings.from_scratch,
        seed=settings.seed,
    ).objective
    model = objective.model
    assert isinstance(model, AlbertForGeneration)
    records = next(iter(data.dev.values()), [])

    def measure() -> dict[str, float]:
        answers = write_answers(TorchGenerator(model), task, records, _WRITING_TOKENS)
        return task.metrics(task.judge(answers, records))

    return Learner(objective, measure)


def open_encoder(
    source: Path, config: AlbertConfig, settings: FinetuneSettings, heads: Mapping[str, HeadSpec]
) -> AlbertWithHeads:
    """Open an encoder under the heads of a task, or make all of it anew when asked to.

    Heads and the pooler start anew where the source has none of that shape.
    """
    if settings.from_scratch:
        return AlbertWithHeads(config, heads=heads, seed=settings.seed)
    parts = [*heads, *(f"exits.{name}" for name in heads)]
    if not any(name.startswith("albert.pooler.") for name in read_weights(source)):
        parts.append("albert.pooler")
    model = AlbertWithHeads.from_pretrained(
        source, heads=heads, initialize=tuple(parts), config=config, seed=settings.seed
    )
    if settings.fresh_pooler and any(spec.kind in POOLED for spec in heads.values()):
        draw_weights(model.albert.pooler, config.initializer_range, settings.seed)
    return model


def _labels_differ(source: Path, task: Task[Any]) -> bool:
    """Whether the source answers a task with other labels under the same heads."""
    if not (source / TASKS).is_file():
        return False
    now = task.to_dict()
    for before in read_json(source / TASKS).values():
        if isinstance(before, dict) and before.get("head") == now.get("head"):
            return (before.get("kind"), before.get("labels")) != (now["kind"], now.get("labels"))
    return False
