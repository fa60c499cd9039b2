"""The gradients of one step: micro-batches, processes, precision, and the largest norm allowed.

Losses are divided by the labels of the whole step, over all micro-batches and processes, so a step
gives the same gradients however it is cut up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from albatross.data.sampling import StepBatch
from albatross.rng import stream
from albatross.training.distributed import World, whole, without_sync
from albatross.training.objectives import Draw, Objective
from albatross.training.precision import Precision

# Float16 holds little below 1, so losses are scaled up (Micikevicius et al., 2018, section 3.2).
FIRST_SCALE = 2.0**16
_STEPS_PER_DOUBLING = 2_000


class Gradients:
    """Computes the gradients of steps and leaves them in the parameters.

    Attributes:
        loss_scale: what losses are multiplied by; 1 unless in float16
        steps_at_scale: steps since it changed
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        world: World,
        *,
        precision: Precision,
        clip_norm: float,
        seed: int,
    ) -> None:
        """Keep the objective and the module by which it is called in this process."""
        self._module, self._objective, self._world = module, objective, world
        self._precision, self._clip_norm, self._seed = precision, clip_norm, seed
        self.loss_scale = FIRST_SCALE if precision == "float16" else 1.0
        self.steps_at_scale = 0

    def compute(
        self, batch: StepBatch, step: int, depths: tuple[int, ...] | None
    ) -> dict[str, float]:
        """Leave the gradients of a whole step in the parameters; return its mean losses."""
        world, weights = self._world, self._objective.weights
        counted = [self._objective.counts(micro) for micro in batch.batches]
        counts = self._over_all({name: sum(c[name] for c in counted) for name in weights})
        # Every process goes through its module equally often: a parted one gathers weights then.
        rounds = world.largest(len(batch.batches))
        sums = {name: torch.zeros((), device=world.device) for name in weights}
        self._module.train()
        for index in range(rounds):
            is_own = index < len(batch.batches)
            micro = batch.batches[min(index, len(batch.batches) - 1)]
            with (
                without_sync(self._module, last=index + 1 == rounds),
                self._drawing(step, index) as seed,
            ):
                with self.autocast():
                    found = self._module(micro, Draw(seed, depths))
                terms = [w * found[name] / (counts[name] or 1) for name, w in weights.items()]
                # Processes' gradients are averaged, where the sum is wanted.
                share = world.size * self.loss_scale if is_own else 0.0
                (torch.stack(terms).sum() * share).backward()
            if is_own:
                sums = {name: sums[name] + found[name].detach() for name in weights}
        totals = self._over_all({name: float(total) for name, total in sums.items()})
        means = {name: total / counts[name] for name, total in totals.items() if counts[name]}
        return {"loss": sum(weights[name] * mean for name, mean in means.items()), **means}

    def clip(self, parameters: Mapping[str, nn.Parameter]) -> float:
        """Scale the gradients to the largest norm allowed, and return the norm they had."""
        gradients = [p.grad for p in parameters.values() if p.grad is not None]
        norm = float(whole(nn.utils.get_total_norm(gradients))) / self.loss_scale
        factor = min(1.0, self._clip_norm / (norm + 1e-6)) / self.loss_scale
        if math.isfinite(norm) and factor != 1:
            torch._foreach_mul_(gradients, factor)
        return norm

    def autocast(self) -> torch.autocast:
        """Return the context of the run's precision."""
        dtype = torch.float16 if self._precision == "float16" else torch.bfloat16
        enabled = self._precision != "float32"
        return torch.autocast(self._world.device.type, dtype, enabled=enabled)

    def rescale(self, *, overflowed: bool) -> None:
        """After a step, lower the loss scale if it was too high; raise it after many good ones."""
        if self._precision != "float16":
            return
        self.steps_at_scale = 0 if overflowed else self.steps_at_scale + 1
        if overflowed:
            self.loss_scale = max(1.0, self.loss_scale / 2)
        elif self.steps_at_scale == _STEPS_PER_DOUBLING:
            self.loss_scale, self.steps_at_scale = self.loss_scale * 2, 0

    @contextmanager
    def _drawing(self, step: int, index: int) -> Iterator[int]:
        """Draw what is random in a micro-batch from (seed, step); torch's own stays as it was."""
        key = self._seed, "dropout", step, index, self._world.rank
        seed = int(stream(*key).integers(2**62))
        devices = [self._world.device] if self._world.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield seed

    def _over_all(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the sums over all processes."""
        return dict(zip(values, self._world.sum(list(values.values())), strict=True))
