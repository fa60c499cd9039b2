"""Several tasks on one encoder: whose batch a step takes, and a head of its own for each.

A step learns one task (MT-DNN, Liu et al., 2019, algorithm 1), drawn by the sizes of their data
with a temperature, so that small ones are not drowned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.data.sampling import Position, StepBatch
from albatross.engine.engine import Engine
from albatross.errors import ConfigError
from albatross.rng import stream
from albatross.tasks.task import Task
from albatross.training.trainer import StepSource

HEADS = "heads."
"""Stands before the names of the heads where there are several tasks."""


class MixedBatches:
    """Steps of several sources, each step of one of them.

    A position is the number of the step, by which its source is drawn, and after it the positions
    in all sources, end to end. So a run goes on exactly where it stopped.

    >>> shares([100, 10_000], temperature=2.0).round(3).tolist()
    [0.091, 0.909]
    """

    def __init__(
        self,
        sources: Sequence[StepSource],
        sizes: Sequence[float],
        seed: int,
        *,
        temperature: float = 2.0,
    ) -> None:
        """Keep the sources.

        Args:
            sources: one for each task.
            sizes: of what they have to learn, such as the number of their steps.
            seed: of the draws.
            temperature: 1 draws by size, 2 by its root, more the more alike.
        """
        self._sources, self._seed = list(sources), seed
        self._shares = shares(sizes, temperature)
        self._lengths = [len(source.start) for source in sources]

    @property
    def start(self) -> Position:
        """The first step, and the start of every source."""
        return (0, *(number for source in self._sources for number in source.start))

    def step(self, position: Position, fraction: float) -> StepBatch:
        """Return the batch of the source that is drawn, and where the next step starts."""
        number, places = position[0], self._places(position)
        drawn = self.source_of(number)
        batch = self._sources[drawn].step(places[drawn], fraction)
        places[drawn] = batch.position
        after = (number + 1, *(part for place in places for part in place))
        return replace(batch, position=after)

    def source_of(self, step: int) -> int:
        """Return the number of the source that a step learns from."""
        return int(stream(self._seed, "task", step).choice(len(self._shares), p=self._shares))

    def _places(self, position: Position) -> list[Position]:
        """Return the position in each source."""
        ends = np.cumsum([1, *self._lengths]).tolist()
        return [position[a:b] for a, b in pairwise(ends)]


def shares(sizes: Sequence[float], temperature: float) -> NDArray[np.float64]:
    """Return how often each source is drawn: by its size to the power of 1 / temperature.

    Raises:
        ConfigError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(
            f"The temperature of a mixture must be above 0. Received: {temperature}. 1 draws tasks"
            " by size, 2 by its root."
        )
    weights = np.asarray(sizes, np.float64) ** (1 / temperature)
    found: NDArray[np.float64] = weights / weights.sum()
    return found


def with_own_heads(tasks: Sequence[Task[Any]]) -> list[Task[Any]]:
    """Return the tasks with a head each, `heads.NAME`; one alone keeps Hugging Face's name.

    Raises:
        ConfigError: two of one name, or a task whose head cannot be named, such as generation.
    """
    names = [_head_name(task.name) for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError(
            "Tasks that are trained together need names of their own. Received:"
            f" {', '.join(names)}. Give each a `name`."
        )
    if len(tasks) == 1:
        return list(tasks)
    named = []
    for task in tasks:
        if not isinstance(getattr(task, "head", None), str):
            raise ConfigError(
                "Only tasks with one head of their own can be trained together. Received:"
                f" {task.name!r} of kind {task.kind}. Train it alone."
            )
        change: Callable[..., Any] = replace
        # The words of a gap are said by the one head that the encoder was trained with.
        own = {} if task.kind == "fill-mask" else {"head": HEADS + _head_name(task.name)}
        named.append(change(task, **own))
    return named


def _head_name(task: str) -> str:
    """Return the name of a task's head, which is that of a module.

    >>> _head_name("question-type")
    'question_type'
    """
    return task.replace("-", "_")


def heads_of(tasks: Sequence[Task[Any]]) -> dict[str, Any]:
    """Return the heads of all tasks by the prefix of their tensors."""
    return {name: spec for task in tasks for name, spec in task.heads.items()}


def score_tasks(
    engine: Engine,
    tasks: Sequence[Task[Any]],
    records: Mapping[str, Sequence[Any]],
    score: Callable[[Engine, Task[Any], Sequence[Any]], Mapping[str, float]],
) -> dict[str, float]:
    """Return the figures of every task with records, by `NAME.figure`; and their mean.

    Args:
        engine: of the model.
        tasks: what it answers.
        records: of each task, by its name.
        score: answers records of a task and compares.
    """
    figures: dict[str, float] = {}
    main = []
    for task in tasks:
        if records.get(task.name):
            found = score(engine, task, records[task.name])
            figures |= {f"{task.name}.{name}": value for name, value in found.items()}
            main.append(found[task.main_metric])
    return {"mean": float(np.mean(main)), **figures} if main else {}
