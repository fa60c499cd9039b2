"""When a run stops before its end, and which of its weights are kept: by a figure of the dev part.

Keeping the best of several measurements chooses by the dev part, so its figure is a little too
good; the last weights are the honest headline, and the default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from albatross.training.averages import WeightAverages

Keep = Literal["last", "best"]
# Figures of which less is better; of all others more is.
_LESS_IS_BETTER = ("loss", "mse", "mae", "rmse")


def goodness(metric: str, value: float) -> float:
    """Return a figure of which more is better: errors below zero, others as they are."""
    return -value if metric.rpartition("_")[2] in _LESS_IS_BETTER else value


class Stopping:
    """Follows one figure over the measurements of a run.

    Attributes:
        tensors: the best weights so far by name, where they are to be kept
        best: the figures of the best measurement; none before the first
        without_gain: measurements since
    """

    def __init__(self, metric: str = "", *, patience: int | None = None, keep: Keep = "last"):
        """Name the figure.

        Args:
            metric: its name; without one nothing is followed.
            patience: measurements without gain after which the run stops; None for no end.
            keep: which weights the run ends with.
        """
        self._metric, self._patience, self._keep = metric, patience, keep
        self.tensors: dict[str, Tensor] = {}
        self.best: dict[str, float] = {}
        self.without_gain = 0

    @property
    def is_over(self) -> bool:
        """Whether the run has gone on for long enough without a gain."""
        return self._patience is not None and self.without_gain >= self._patience

    def see(
        self,
        figures: Mapping[str, float],
        step: int,
        parameters: Mapping[str, nn.Parameter],
        averages: WeightAverages,
    ) -> None:
        """Take note of a measurement, and of the weights if it is the best so far."""
        if self._metric not in figures:
            return
        if not self._is_better(figures[self._metric]):
            self.without_gain += 1
            return
        self.best, self.without_gain = {"step": step, **figures}, 0
        if self._keep == "best":
            with averages.in_place():
                self.tensors = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def put_back(self, parameters: Mapping[str, nn.Parameter], averages: WeightAverages) -> None:
        """Put the best weights in the place of the last ones, if they were kept."""
        for name, tensor in self.tensors.items():
            parameters[name].copy_(tensor)
            if name in averages.tensors:
                averages.tensors[name].copy_(tensor)

    def to_dict(self) -> dict[str, Any]:
        """Return what a saved state holds beside the tensors."""
        return {"best": self.best, "without_gain": self.without_gain}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from what was saved."""
        self.best = dict(values.get("best", {}))
        self.without_gain = int(values.get("without_gain", 0))
        self.tensors = dict(tensors)

    def _is_better(self, value: float) -> bool:
        """Whether a value is better than the best so far; what is no number never is."""
        if not math.isfinite(value):
            return False
        if not self.best:
            return True
        return goodness(self._metric, value) > goodness(self._metric, self.best[self._metric])
