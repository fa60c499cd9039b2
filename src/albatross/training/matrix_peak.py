"""How fast matrices are multiplied here, measured."""

from __future__ import annotations

import time
from functools import cache

import torch

# Matrices of this side: large enough to reach the peak, done in a tenth of a second.
_SIDE = {"cpu": 1_024, "cuda": 8_192}


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of plain matrix products in this process.

    A processor's nominal peak says little: this is that of the best of five products, measured once
    for each number of threads.
    """
    return _peak(device, dtype, torch.get_num_threads())


@cache
def _peak(device: torch.device, dtype: torch.dtype, _threads: int) -> float:
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
