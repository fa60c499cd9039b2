"""Models on the way to another one: trained by the one loop, in memory, without a folder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from albatross.errors import TrainingError
from albatross.training.distributed import World
from albatross.training.objectives import Objective
from albatross.training.run_log import LOG, RunLog
from albatross.training.schedules import Extent
from albatross.training.trainer import Hooks, Optimization, StepSource, Trainer


@dataclass(frozen=True)
class ShortRun:
    """How models learn that are not kept.

    Attributes:
        world: the process
        optimization: how each learns, but for its length and seed
    """

    world: World
    optimization: Optimization

    def train(
        self, objective: Objective, source: StepSource, steps: int, *, title: str, seed: int
    ) -> None:
        """Train a model where it is, and leave it in evaluation mode.

        Raises:
            TrainingError: it was interrupted, and nothing of it is kept; or it has diverged.
        """

        def refuse(trainer: Trainer) -> None:
            raise TrainingError(
                f"A run goes on to its end unless it is interrupted. Received: a signal at"
                f" {title!r}, step {trainer.progression.step:,}, of which nothing is kept. Run the"
                " same command again; it begins anew."
            )

        own: dict[str, Any] = {
            "extent": Extent(steps=steps),
            "seed": seed,
            "save_every_seconds": math.inf,
        }
        with TemporaryDirectory() as folder:
            Trainer(
                objective,
                source,
                replace(self.optimization, **own),
                RunLog(Path(folder) / LOG),
                Hooks(refuse),
                title=title,
                world=self.world,
            ).run()
        objective.eval()
