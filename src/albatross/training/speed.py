"""How fast a run is: tokens a second, and the share of the machine's matrix products it uses."""

from __future__ import annotations

import time
from functools import cache

import torch

from albatross.config import AlbertConfig
from albatross.costs import model_cost
from albatross.training.distributed import World
from albatross.training.precision import Precision
from albatross.training.trainer import Trainer

# Matrices of this side: large enough to reach the peak, done in a tenth of a second.
_SIDE = {"cpu": 1_024, "cuda": 8_192}
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
                self._peak = matrix_peak(trainer.world, trainer.optimization.precision)
            used = speed * self._flops_per_token / self._peak
            figures |= {"tokens_per_second": speed, "flops_utilisation": used}
        return figures


def matrix_peak(world: World, precision: Precision) -> float:
    """Return the operations per second of plain matrix products here, times all processes."""
    return _peak(world.device, _DTYPES[precision], torch.get_num_threads()) * world.size


@cache
def _peak(device: torch.device, dtype: torch.dtype, _threads: int) -> float:
    """Return that of one process, measured once for each number of threads.

    A processor's nominal peak says little: it is that of the best of five products.
    """
    side = _SIDE[device.type]
    left, right = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
    times = []
    for _ in range(5):
        started = _now(device)
        torch.mm(left, right)
        times.append(_now(device) - started)
    return 2 * side**3 / min(times)


def _now(device: torch.device) -> float:
    """Return the time when all that was asked of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
