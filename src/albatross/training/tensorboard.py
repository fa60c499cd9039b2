"""The log of a run for TensorBoard, beside the log in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albatross.errors import MissingDependencyError

# What tells where a line stands, and is no figure of its own.
_PLACES = {"step", "evaluation", "skipped"}


class TensorboardLog:
    """Writes the lines of a run's log as TensorBoard's events.

    Figures of steps stand under `training`, those of evaluations under `held_out`, so that a run
    has two groups of charts. `training/skipped` is 1 at the steps that were not learned from.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """Open the folder of events.

        Args:
            folder: where TensorBoard looks; several runs may stand side by side in folders of
                their own.
            step: at which the run begins or goes on; what was written of later ones is hidden.

        Raises:
            MissingDependencyError: tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError("tensorboard", "tensorboard") from error
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write a line; one of an evaluation is on the disk when this returns, and all before."""
        step = entry["step"]
        self._add("training", {k: v for k, v in entry.items() if k not in _PLACES}, step)
        if "skipped" in entry:
            self._add("training", {"skipped": 1.0}, step)
        if "evaluation" in entry:
            self._add("held_out", entry["evaluation"], step)
            self._writer.flush()

    def close(self) -> None:
        """Write what is not yet on the disk, and let the file go."""
        self._writer.close()

    def _add(self, group: str, figures: Mapping[str, Any], step: int) -> None:
        """Write those of the figures that are numbers."""
        for name, value in figures.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(f"{group}/{name}", value, step)
