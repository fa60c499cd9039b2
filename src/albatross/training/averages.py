"""A running average of the weights, which often does better than the last ones (EMA)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverages:
    """Exponential averages of parameters.

    >>> parameter = nn.Parameter(torch.zeros(1))
    >>> averages = WeightAverages({"w": parameter}, decay=0.9)
    >>> parameter.data.fill_(1.0).item(), averages.update(step=1_000)
    (1.0, None)
    >>> round(averages.tensors["w"].item(), 3)
    0.1
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        """Start with the parameters as they are; a decay of 0 keeps no average at all."""
        self._parameters, self._decay = parameters, decay
        self.tensors: dict[str, Tensor] = {}
        if decay:
            self.tensors = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move a little towards the parameters; more in the first steps, to forget the start."""
        if self.tensors:
            keep = min(self._decay, (1 + step) / (10 + step))
            parameters: list[Tensor] = list(self._parameters.values())
            torch._foreach_lerp_(list(self.tensors.values()), parameters, 1 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averages in the place of the parameters for as long as the block lasts."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        """Exchange parameters and averages."""
        for name, average in self.tensors.items():
            kept = self._parameters[name].detach().clone()
            self._parameters[name].copy_(average)
            average.copy_(kept)
