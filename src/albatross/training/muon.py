"""Muon: matrices move along orthogonal directions, as far as AdamW would move them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from albatross.training.tensorwise import TensorwiseOptimizer

# Of the polynomial that is applied again and again, and how often (Jordan, "Muon", 2024): it pulls
# singular values between 0 and 1 up to near 1 soonest, and leaves them between 0.7 and 1.2.
_COEFFICIENTS, _ROUNDS = (3.4445, -4.7750, 2.0315), 5
_EPS = 1e-7


class Muon(TensorwiseOptimizer):
    """Muon (Jordan, 2024) with Nesterov's momentum and AdamW's decay.

    A step's root mean square is that of AdamW (Liu et al., "Muon is scalable", 2025, section 2.2).
    It is `torch.optim.Muon`, whose state it reads, but for the precision on processors: there the
    other computes in bfloat16, too, which without instructions for it takes ten to fifty times as
    long (`docs/log.md`, 55), and this one in the gradient's own.

    Args:
        params: groups of matrices.
        lr: the rate.
        weight_decay: share of the weights that is taken away, times the rate.
        momentum: decay of the mean of the gradients.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]] | Iterable[Tensor],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
    ) -> None:
        """Keep the options of every group."""
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take one step with one matrix."""
        state, momentum = self.state[parameter], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        direction = orthogonal(gradient.lerp(mean, momentum))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        size = 0.2 * max(parameter.shape) ** 0.5
        parameter.add_(direction, alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return the nearest matrix with orthogonal rows or columns, by Newton and Schulz, roughly.

    On a processor in the matrix's own precision, elsewhere in bfloat16, which suffices.
    """
    rows = matrix if matrix.device.type == "cpu" else matrix.bfloat16()
    is_tall = matrix.shape[0] > matrix.shape[1]
    rows = rows.T if is_tall else rows
    # Then no singular value is above 1.
    rows = rows / rows.norm().clamp(min=_EPS)
    first, third, fifth = _COEFFICIENTS
    for _ in range(_ROUNDS):
        gram = rows @ rows.T
        update = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        rows = torch.addmm(rows, update, rows, beta=first)
    return rows.T if is_tall else rows
