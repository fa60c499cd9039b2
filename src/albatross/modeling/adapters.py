"""What is added to the weights of a layer: residuals of single depths, and adapters to a task.

By residuals a depth may differ a little from the others; at full rank it differs as if it were not
shared. Relaxed Recursive Transformers (Bae et al., 2024) name the idea; residuals of biases and
norms are ours, for without them full rank would not reach every un-shared layer.

Adapters learn a task while all that they are added to stays as it is: LoRA (Hu et al., 2021) and
bottlenecks (Houlsby et al., 2019). In a shared layer one adapter acts at every depth alike, unless
each depth has its own. Whatever is added does nothing at first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.adapter_spec import AdapterSpec
from albatross.config import AlbertConfig

Map = Callable[[Tensor], Tensor]
"""A map of a layer, alone or with something already added."""


class LinearResidual(nn.Module):
    """Adds B A to a shared matrix and a vector to its bias."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        """Make A `[rank, inputs]`, B `[outputs, rank]` and the bias; with B at zero none acts."""
        super().__init__()
        self.lora_A = nn.Linear(inputs, rank, bias=False)
        self.lora_B = nn.Linear(rank, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, shared: Map, rows: Tensor) -> Tensor:
        """Apply the sum of both maps: (total_tokens, inputs) to (total_tokens, outputs)."""
        return shared(rows) + self.added(rows)

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


class LoraAdapter(nn.Module):
    """Adds scale B A to a map; the bias stays as it is."""

    def __init__(self, inputs: int, outputs: int, spec: AdapterSpec) -> None:
        """Make A `[rank, inputs]` and B `[outputs, rank]`; with B at zero none acts."""
        super().__init__()
        self.scale = spec.scale
        self.lora_A = nn.Linear(inputs, spec.rank, bias=False)
        self.lora_B = nn.Linear(spec.rank, outputs, bias=False)

    def forward(self, shared: Map, rows: Tensor) -> Tensor:
        """Apply the sum of both maps: (total_tokens, inputs) to (total_tokens, outputs)."""
        return shared(rows) + self.added(rows)

    def added(self, rows: Tensor) -> Tensor:
        """Return what the adapter alone adds, (total_tokens, outputs)."""
        added: Tensor = self.lora_B(self.lora_A(rows))
        return added * self.scale


class BottleneckAdapter(nn.Module):
    """Two narrow maps with a ReLU between them, added to what a map gives."""

    def __init__(self, hidden: int, spec: AdapterSpec) -> None:
        """Make both maps; with the second at zero none acts."""
        super().__init__()
        self.down = nn.Linear(hidden, spec.rank)
        self.up = nn.Linear(spec.rank, hidden)

    def forward(self, shared: Map, rows: Tensor) -> Tensor:
        """Apply the map and what follows it: (total_tokens, inputs) to (total_tokens, hidden)."""
        mapped = shared(rows)
        added: Tensor = self.up(functional.relu(self.down(mapped)))
        return mapped + added


class LayerAdapter(nn.Module):
    """The adapters of a layer's maps, by the names of an `AlbertLayer`."""

    def __init__(self, config: AlbertConfig, spec: AdapterSpec) -> None:
        """Make one for each part that is named."""
        super().__init__()
        self.attention = nn.Module()
        hidden, wide = config.hidden_size, config.intermediate_size
        for part in spec.parts:
            block, _, name = part.rpartition(".")
            inputs = wide if part == "ffn_output" else hidden
            outputs = wide if part == "ffn" else hidden
            is_lora = spec.kind == "lora"
            made = (
                LoraAdapter(inputs, outputs, spec) if is_lora else BottleneckAdapter(hidden, spec)
            )
            self.get_submodule(block).add_module(name, made)


@dataclass(frozen=True)
class Stacked:
    """What a depth has to itself with an adapter over it; of a layer, a block or a single map."""

    lower: nn.Module
    upper: nn.Module

    def __call__(self, shared: Map, rows: Tensor) -> Tensor:
        """Apply a single map with both."""
        applied: Tensor = self.upper(lambda inside: self.lower(shared, inside), rows)
        return applied

    def added(self, rows: Tensor) -> Tensor:
        """Return what both add to a single map, (total_tokens, outputs)."""
        return _added(self.lower, rows) + _added(self.upper, rows)


LayerAddition = DepthResidual | LayerAdapter | Stacked
"""All that is added to a layer at one depth."""
Addition = nn.Module | Stacked
"""What is added to a layer, to a block of it, or to a single map."""


def part_of(addition: Addition | None, part: str) -> Any:
    """Return what is added to a block or a map by its name, or None where nothing is."""
    if not isinstance(addition, Stacked):
        return getattr(addition, part, None)
    lower, upper = part_of(addition.lower, part), part_of(addition.upper, part)
    return lower if upper is None else Stacked(lower, upper)


def adapted(block: nn.Module, part: str, rows: Tensor, addition: Addition | None) -> Tensor:
    """Apply a part of a shared block, with what is added to the part of that name, if anything.

    >>> layer, rows = nn.ModuleDict({"ffn": nn.Linear(4, 6)}), torch.ones(2, 4)
    >>> torch.equal(adapted(layer, "ffn", rows, None), layer["ffn"](rows))
    True
    """
    shared, added = getattr(block, part), part_of(addition, part)
    applied: Tensor = shared(rows) if added is None else added(shared, rows)
    return applied


def with_added(mapped: Tensor, part: str, rows: Tensor, addition: Addition | None) -> Tensor:
    """Return what a map gave for some rows with what is added to it, for maps computed elsewhere.

    Args:
        mapped: (total_tokens, outputs)
        part: the map's name in its block.
        rows: (total_tokens, inputs)
        addition: to the block.
    """
    added = part_of(addition, part)
    return mapped if added is None else mapped + _added(added, rows)


def starts_at_zero(name: str) -> bool:
    """Whether a new tensor starts at zero: a bias, or what must not act at first."""
    is_end = "adapters." in name and (".lora_B." in name or ".up." in name)
    is_residual = "depth_residuals." in name and "lora_A" not in name
    return name.endswith("bias") or is_residual or is_end


def _added(addition: Any, rows: Tensor) -> Tensor:
    """Return what is added to a single map, (total_tokens, outputs)."""
    added: Tensor = addition.added(rows)
    return added
