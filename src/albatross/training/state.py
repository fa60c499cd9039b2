"""What a run needs to go on exactly, beside the weights: moments, averages, and how far it is.

Tensors lie in one safetensors file by parameter name, numbers in JSON beside it. Where weights are
parted over processes they are gathered here, so a run may go on with another number of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from albatross.checkpoints.safetensors_file import write_arrays
from albatross.errors import FolderError
from albatross.report import file_digest
from albatross.training.distributed import put, whole
from albatross.training.trainer import Progression, Trainer

TENSORS, NUMBERS = "optimizer.safetensors", "state.json"
# Whatever reading a damaged state, or that of another model, raises.
_STATE_ERRORS = (
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


def gather_state(trainer: Trainer) -> dict[str, Tensor]:
    """Return all tensors of a run, whole and on the processor; every process must call it."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trainer.objective.named_parameters():
        tensors[f"parameter:{name}"] = _kept(parameter)
    for name, average in trainer.averages.tensors.items():
        tensors[f"average:{name}"] = _kept(average)
    for name, best in trainer.stopping.tensors.items():
        tensors[f"best:{name}"] = _kept(best)
    for name, parameter in trainer.parameters.items():
        for key, value in _moments(trainer, parameter):
            tensors[f"{key}:{name}"] = _kept(value)
    return tensors


def write_state(folder: Path, trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    """Write what was gathered, with how far the run is."""
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / TENSORS, {name: tensor.numpy() for name, tensor in tensors.items()})
    gradients = trainer.gradients
    state = {
        "sha256": file_digest(folder / TENSORS)["sha256"],
        "loss_scale": gradients.loss_scale,
        "steps_at_scale": gradients.steps_at_scale,
        "stopping": trainer.stopping.to_dict(),
        **vars(trainer.progression),
    }
    (folder / NUMBERS).write_text(json.dumps(state), encoding="utf-8")


def read_state(folder: Path, trainer: Trainer) -> None:
    """Take a run back to where its state was written.

    Raises:
        FolderError: the state is damaged or belongs to another model.
    """
    try:
        values = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        if values.pop("sha256") != file_digest(folder / TENSORS)["sha256"]:
            raise ValueError(f"`{TENSORS}` has another checksum than `{NUMBERS}` says")
        tensors = load_file(folder / TENSORS)
        for name, parameter in trainer.objective.named_parameters():
            put(parameter, tensors[f"parameter:{name}"])
        for name, average in trainer.averages.tensors.items():
            put(average, tensors[f"average:{name}"])
        for name, parameter in trainer.parameters.items():
            _set_moments(trainer, name, parameter, tensors)
        trainer.gradients.loss_scale = values.pop("loss_scale")
        trainer.gradients.steps_at_scale = values.pop("steps_at_scale")
        best = {n.removeprefix("best:"): t for n, t in tensors.items() if n.startswith("best:")}
        trainer.stopping.restore(values.pop("stopping", {}), best)
        trainer.progression = Progression(**{**values, "position": tuple(values["position"])})
    except _STATE_ERRORS as error:
        raise FolderError(
            f"`{folder.name}` must hold the state of this run. Received: {str(folder)!r}:"
            f" {error!r}. Remove {str(folder.parent)!r} to start anew."
        ) from error


def _moments(trainer: Trainer, parameter: nn.Parameter) -> Iterator[tuple[str, Tensor]]:
    """Yield what an optimizer remembers of a parameter."""
    for optimizer in trainer.optimizers:
        for key, value in optimizer.state.get(parameter, {}).items():
            yield key, torch.as_tensor(value)


def _set_moments(
    trainer: Trainer, name: str, parameter: nn.Parameter, tensors: dict[str, Tensor]
) -> None:
    """Give the optimizer of a parameter its memory back; none before its first step."""
    found = {
        key.removesuffix(f":{name}"): value
        for key, value in tensors.items()
        if key.endswith(f":{name}") and not key.startswith(("parameter:", "average:", "best:"))
    }
    owner = next(
        optimizer
        for optimizer in trainer.optimizers
        if any(parameter is one for group in optimizer.param_groups for one in group["params"])
    )
    state = {}
    for key, value in found.items():
        if value.dim() == 0:
            state[key] = value.to(parameter.device)
        else:
            state[key] = torch.zeros_like(parameter.detach())
            put(state[key], value)
    if state:
        owner.state[parameter] = state


def _kept(tensor: Tensor) -> Tensor:
    """Return a tensor whole, on the processor, apart from what goes on changing."""
    return whole(tensor.detach()).to("cpu").contiguous()
