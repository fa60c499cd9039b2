"""How fast a run is: tokens a second, and the share of the machine's matrix products it uses."""

from __future__ import annotations

import torch

from albatross.config import AlbertConfig
from albatross.costs import model_cost
from albatross.training.matrix_peak import matrix_peak
from albatross.training.trainer import Trainer

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Speedometer:
    """Tells the speed of a run since it was last asked; at first, over the whole run."""

    def __init__(self, config: AlbertConfig, *, length: int, masking_rate: float) -> None:
        """Keep what a token costs; nothing is measured yet."""
        cost = model_cost(config, sequence_length=length, masking_rate=masking_rate)
        self._flops_per_token = cost.training_flops_per_token
        self._peak: float | None = None
        self._before = 0, 0.0

    def figures(self, trainer: Trainer) -> dict[str, float]:
        """Return tokens per second, the share of the measured peak that they take, and the energy.

        All depths are counted, as if none were left out: with fewer, the share is of what a whole
        pass would take.
        """
        done = trainer.progression
        tokens, seconds = self._before
        self._before = done.tokens, done.seconds
        figures = {"energy_wh": done.watt_hours}
        if done.seconds > seconds:
            speed = (done.tokens - tokens) / (done.seconds - seconds)
            if self._peak is None:
                world, dtype = trainer.world, _DTYPES[trainer.optimization.precision]
                self._peak = matrix_peak(world.device, dtype) * world.size
            used = speed * self._flops_per_token / self._peak
            figures |= {"tokens_per_second": speed, "flops_utilisation": used}
        return figures
