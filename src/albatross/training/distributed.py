"""One run in several processes: who this one is, sums over all, and how the weights are spread.

`torchrun` starts the processes and tells each its place by environment variables; without them
there is one process and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from albatross.energy import EnergyMeter
from albatross.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: which one this is; 0 alone writes
        size: how many there are
        device: where this one computes
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a device is a value)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums of each number over all processes; all must call it."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers)
        return numbers.tolist()

    def first(self, values: Sequence[float]) -> list[float]:
        """Return the first process's numbers; all must call it with as many."""
        return self.sum([value if self.is_first else 0.0 for value in values])

    def largest(self, value: int) -> int:
        """Return the largest of a number over all processes; all must call it."""
        if self.size == 1:
            return value
        number = torch.tensor(value, device=self.device)
        dist.all_reduce(number, op=dist.ReduceOp.MAX)
        return int(number)

    def energy_meter(self) -> EnergyMeter:
        """Return a meter of this process's share, with its GPU's power where that is told."""
        if self.device.type != "cuda" or find_spec("pynvml") is None:
            return EnergyMeter()
        return EnergyMeter(accelerator_watts=lambda: torch.cuda.power_draw(self.device) / 1_000)


@contextmanager
def joined(device: Device = "auto") -> Iterator[World]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    kind = device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "`--device` must be one that torch sees here. Received: cuda, and torch"
            f" {torch.__version__} sees no GPU. Leave it out, or install torch with CUDA."
        )
    place = torch.device("cpu")
    if kind == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if "WORLD_SIZE" not in os.environ or "MASTER_ADDR" not in os.environ:
        yield World(device=place)
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), place)
        dist.barrier()  # one that leaves while the first still writes would end the others' threads
    finally:
        dist.destroy_process_group()


def spread(
    objective: nn.Module,
    encoder: nn.Module,
    world: World,
    parallel: Parallel,
    *,
    leaves_out: bool = False,
) -> nn.Module:
    """Return the module whose forward pass is to be called, with gradients averaged over all.

    `ddp` keeps all weights in every process. `fsdp` (FSDP2) parts weights, gradients and moments;
    the encoder is one unit, so that weights that all depths share are gathered once a pass, not
    once a depth.

    Args:
        objective: the model with what it is trained for.
        encoder: the part of it that all depths share.
        world: all processes.
        parallel: `ddp` or `fsdp`.
        leaves_out: whether steps may leave depths out, and with them weights that a depth has for
            itself; `ddp` must look for these, or it waits for their gradients.
    """
    objective.to(world.device)
    if world.size == 1:
        return objective
    if parallel == "fsdp":
        fully_shard(encoder)
        fully_shard(objective)
        return objective
    return DistributedDataParallel(objective, find_unused_parameters=leaves_out)


def without_sync(module: nn.Module, *, last: bool) -> AbstractContextManager[object]:
    """Return a context in which gradients only add up; those of the `last` micro-batch are sent."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
        return nullcontext()
    if isinstance(module, DistributedDataParallel) and not last:
        return module.no_sync()
    return nullcontext()


@contextmanager
def gathered(*modules: nn.Module) -> Iterator[None]:
    """Hold the weights of parted modules whole, for passes that processes make unequally often."""
    parted = [module for module in modules if isinstance(module, FSDPModule)]
    for module in parted:
        module.unshard()
        module.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for module in parted:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor as one, gathered from all processes where it is parted; all must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def put(tensor: Tensor, value: Tensor) -> None:
    """Copy a whole value into a tensor, into this process's part of it where it is parted."""
    if isinstance(tensor, DTensor):
        value = distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
    tensor.detach().copy_(value)
