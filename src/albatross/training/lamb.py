"""LAMB: Adam's direction, with each tensor's step as long as the tensor (You et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from albatross.training.tensorwise import TensorwiseOptimizer


class Lamb(TensorwiseOptimizer):
    """LAMB, algorithm 2 of "Large Batch Optimization for Deep Learning".

    A group with `layer_adaptation` false takes Adam's own steps; Google does so for biases and
    norms. Without `bias_correction` the numerics are those of google-research/albert
    (`lamb_optimizer.py`), which leaves it out; warm-up covers for it there.

    Args:
        params: groups of parameters.
        lr: the rate; a tensor moves by this share of its own norm.
        betas: decay of both moments.
        eps: added to the root of the second moment.
        weight_decay: added to the direction as this share of the weights.
        bias_correction: whether young moments are scaled up, as in Adam.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]] | Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        bias_correction: bool = True,
    ) -> None:
        """Keep the options of every group."""
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "bias_correction": bias_correction,
            "layer_adaptation": True,
        }
        super().__init__(params, defaults)

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take one step with one tensor."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        first = state["exp_avg"].lerp_(gradient, 1 - beta1)
        second = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if group["bias_correction"]:
            count = float(state["step"])
            first, second = first / (1 - beta1**count), second / (1 - beta2**count)
        direction = first / second.sqrt().add_(group["eps"])
        direction.add_(parameter, alpha=group["weight_decay"])
        trust = _trust_ratio(parameter, direction) if group["layer_adaptation"] else 1.0
        parameter.sub_(direction * (group["lr"] * trust))


def _trust_ratio(parameter: Tensor, direction: Tensor) -> Tensor | float:
    """Return the norm of a tensor over that of its direction; 1 where either is zero."""
    weight, step = parameter.norm(), direction.norm()
    both = (weight > 0) & (step > 0)
    return torch.where(both, weight / step, torch.ones_like(weight))
