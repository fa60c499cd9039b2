"""AdamW that shortens a tensor's step when its gradients outgrow their own history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from albatross.training.tensorwise import TensorwiseOptimizer


class StableAdamW(TensorwiseOptimizer):
    """StableAdamW, algorithm 2 of Wortsman et al., "Stable and low-precision training", 2023.

    The second moment lags behind when a gradient suddenly grows, and Adam's step is too long then;
    that is where losses spike. Here a tensor's rate is divided by the root mean square of its
    gradient over the second moment (Adafactor's update clipping), where that is above 1. No
    gradient needs to be clipped. Where nothing is shortened, the step is AdamW's.

    Args:
        params: groups of parameters.
        lr: the rate.
        betas: decay of both moments.
        eps: added to the root of the second moment.
        weight_decay: share of the weights that is taken away, times the rate.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]] | Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        """Keep the options of every group."""
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
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
        count = float(state["step"])
        first = state["exp_avg"].lerp_(gradient, 1 - beta1)
        second = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        second = second / (1 - beta2**count)
        surprise = gradient.square().div_(second.clamp(min=group["eps"] ** 2)).mean().sqrt()
        rate = group["lr"] / surprise.clamp(min=1.0)
        parameter.mul_(1 - rate * group["weight_decay"])
        direction = first / second.sqrt_().add_(group["eps"])
        parameter.sub_(direction.mul_(rate / (1 - beta1**count)))
