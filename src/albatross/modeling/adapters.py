"""What one depth adds to the weights that it shares: low-rank matrices, biases and norms.

A depth may so differ a little from the others; at full rank it differs as if it were not shared.
Relaxed Recursive Transformers (Bae et al., 2024) name the idea; residuals of biases
and norms are ours, for without them full rank would not reach every un-shared layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig


class LinearResidual(nn.Module):
    """Adds B A to a shared matrix and a vector to its bias."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        """Make A `[rank, inputs]`, B `[outputs, rank]` and the bias; with B at zero none acts."""
        super().__init__()
        self.lora_A = nn.Linear(inputs, rank, bias=False)
        self.lora_B = nn.Linear(rank, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, shared: nn.Linear, rows: Tensor) -> Tensor:
        """Apply the sum of both maps: (total_tokens, inputs) to (total_tokens, outputs)."""
        mapped: Tensor = shared(rows)
        return mapped + self.added(rows)

    def added(self, rows: Tensor) -> Tensor:
        """Return what the residual alone adds, (total_tokens, outputs)."""
        return functional.linear(self.lora_A(rows), self.lora_B.weight, self.bias)


class NormResidual(nn.Module):
    """Adds to the weight and the bias of a shared layer norm."""

    def __init__(self, size: int) -> None:
        """Make both of zeros."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, shared: nn.LayerNorm, rows: Tensor) -> Tensor:
        """Apply the norm with the summed weights. Shapes: (total_tokens, hidden)."""
        weight, bias = shared.weight + self.weight, shared.bias + self.bias
        return functional.layer_norm(rows, shared.normalized_shape, weight, bias, shared.eps)


class AttentionResidual(nn.Module):
    """The residuals of an attention block, by the names of its parts."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make one for each projection and for the norm."""
        super().__init__()
        hidden, rank = config.hidden_size, config.depth_lora_rank
        self.query = LinearResidual(hidden, hidden, rank)
        self.key = LinearResidual(hidden, hidden, rank)
        self.value = LinearResidual(hidden, hidden, rank)
        self.dense = LinearResidual(hidden, hidden, rank)
        self.LayerNorm = NormResidual(hidden)


class DepthResidual(nn.Module):
    """All that one flat depth index has to itself, by the names of an `AlbertLayer`."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make the residuals of the attention and of the feed-forward block."""
        super().__init__()
        hidden, wide, rank = config.hidden_size, config.intermediate_size, config.depth_lora_rank
        self.attention = AttentionResidual(config)
        self.ffn = LinearResidual(hidden, wide, rank)
        self.ffn_output = LinearResidual(wide, hidden, rank)
        self.full_layer_layer_norm = NormResidual(hidden)


def adapted(block: nn.Module, part: str, rows: Tensor, residual: nn.Module | None) -> Tensor:
    """Apply a part of a shared block, with the residual of the same name where a depth has one.

    >>> layer, rows = nn.ModuleDict({"ffn": nn.Linear(4, 6)}), torch.ones(2, 4)
    >>> torch.equal(adapted(layer, "ffn", rows, None), layer["ffn"](rows))
    True
    """
    shared = getattr(block, part)
    applied: Tensor = shared(rows) if residual is None else getattr(residual, part)(shared, rows)
    return applied


def starts_at_zero(name: str) -> bool:
    """Whether a new tensor starts at zero: a bias, or a residual, which must not act at first."""
    return name.endswith("bias") or ("depth_residuals." in name and "lora_A" not in name)
