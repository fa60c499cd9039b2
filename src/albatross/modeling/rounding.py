"""Maps and tables that compute in training as they will in 8 bits: quantization-aware fine-tuning.

Weights are rounded for each output and rows each by itself, as `export/quantization.py` and its
graphs do it; gradients pass as if nothing had been rounded (Jacob et al., 2018, section 3).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from albatross.checkpoints.eight_bits import (
    LARGEST_ACTIVATION,
    LARGEST_ENTRY,
    LARGEST_WEIGHT,
    LEAST,
    is_large,
    is_multiplied,
    is_table,
)


class RoundedLinear(nn.Linear):
    """A map whose weight and rows are rounded on their way; the weight itself stays as it is."""

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the rounded map: (..., inputs) to (..., outputs)."""
        weight = rounded(self.weight, LARGEST_WEIGHT)
        return functional.linear(rounded(rows, LARGEST_ACTIVATION), weight, self.bias)


class RoundedTable(nn.Embedding):
    """A table whose rows are rounded when they are looked up."""

    def forward(self, ids: Tensor) -> Tensor:
        """Return rounded rows, (..., width) for ids (...)."""
        return rounded(super().forward(ids), LARGEST_ENTRY)


def round_weights(model: nn.Module) -> list[str]:
    """Let a model compute from now on with what its export has in 8 bits; return what that is.

    Parameters, their names and all that points to them stay.
    """
    found = []
    for name, part in model.named_modules():
        if type(part) not in (nn.Linear, nn.Embedding):
            continue
        weight, shape = f"{name}.weight", tuple(part.weight.shape)
        if is_multiplied(weight, shape):
            part.__class__ = RoundedLinear
        elif is_table(weight) and is_large(weight, shape):
            part.__class__ = RoundedTable
        else:
            continue
        found.append(weight)
    return found


def rounded(values: Tensor, largest: int) -> Tensor:
    """Return values (..., width) in whole steps, so many of which make the largest of each row.

    >>> import torch
    >>> rounded(torch.tensor([[1.0, -0.26]]), 2).tolist()
    [[1.0, -0.5]]
    """
    scales = values.detach().abs().amax(-1, keepdim=True).clamp_min(LEAST) / largest
    whole = (values.detach() / scales).round() * scales
    return values + (whole - values.detach())
