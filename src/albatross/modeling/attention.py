"""Self-attention over packed rows.

Rows are laid into a block only for the attention itself; every product with a weight works on real
tokens alone. On CUDA in half precision even that block is not made: see `attend`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.modeling.adapters import Addition, adapted, with_added
from albatross.modeling.packed import PackedLayout, WantedRows


class AlbertAttention(nn.Module):
    """Multi-head self-attention with projection, residual and post-norm (Vaswani et al., 2017)."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make the four projections, named as in Hugging Face's files."""
        super().__init__()
        hidden = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.attention_dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.dense = nn.Linear(hidden, hidden)
        self.output_dropout = nn.Dropout(config.hidden_dropout_prob)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)

    def forward(
        self,
        rows: Tensor,
        layout: PackedLayout,
        residual: Addition | None = None,
        fused: FusedProjection | None = None,
        wanted: WantedRows | None = None,
    ) -> Tensor:
        """Return attended rows `(total_tokens, hidden)`, or with `wanted` `(wanted, hidden)`.

        Args:
            rows: (total_tokens, hidden)
            layout: where the sequences lie.
            residual: what is added to the weights.
            fused: the three projections as one, of `fuse`; without it each is applied alone.
            wanted: the rows that are needed; all of them by default.
        """
        asked, of_asked = (rows, layout) if wanted is None else (rows[wanted.rows], wanted.layout)
        if fused is None:
            query = adapted(self, "query", asked, residual)
            key = adapted(self, "key", rows, residual)
            value = adapted(self, "value", rows, residual)
        else:
            query, key, value = fused.apply(asked, rows, residual)
        dropout = self.attention_dropout if self.training else 0.0
        attended = attend(query, key, value, of_asked, layout, self.num_heads, dropout)
        projected = self.output_dropout(adapted(self, "dense", attended, residual))
        return adapted(self, "LayerNorm", asked + projected, residual)

    def fuse(self) -> FusedProjection | None:
        """Return the three projections as one, or None where one of them is no plain map.

        Such as an adapter of PEFT, or one with hooks. Under autocast in its precision: torch itself
        would cast what is no parameter once for every use.
        """
        parts = self.query, self.key, self.value
        if any(type(p) is not nn.Linear or p._forward_hooks or p._forward_pre_hooks for p in parts):
            return None
        weight = torch.cat([part.weight for part in parts])
        bias = torch.cat([part.bias for part in parts])
        kind = weight.device.type
        if torch.is_autocast_enabled(kind):
            precision = torch.get_autocast_dtype(kind)
            return FusedProjection(weight.to(precision), bias.to(precision))
        return FusedProjection(weight, bias)

    def probabilities(
        self, rows: Tensor, layout: PackedLayout, residual: Addition | None = None
    ) -> Tensor:
        """Return attention probabilities `(sequences, heads, max_seqlen, max_seqlen)`.

        For looking at them: SDPA does not give them out, so they are computed plainly; no dropout,
        zeros in the rows of pads.
        """
        query = _to_heads(adapted(self, "query", rows, residual), layout, self.num_heads)
        key = _to_heads(adapted(self, "key", rows, residual), layout, self.num_heads)
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        if layout.key_mask is not None:
            scores = scores.masked_fill(~layout.key_mask, -torch.inf)
        weights: Tensor = scores.softmax(-1)
        if layout.key_mask is not None:
            weights = weights * layout.key_mask.transpose(2, 3)
        return weights


@dataclass(frozen=True)
class FusedProjection:
    """Query, key and value as one product: weight `(3 * hidden, hidden)`, bias `(3 * hidden,)`.

    Made once for a forward pass however often its layer is applied, while files and parameters
    keep the three apart, as Hugging Face's do.
    """

    weight: Tensor
    bias: Tensor

    def apply(
        self, asked: Tensor, rows: Tensor, residual: Addition | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries of `asked`, the keys and the values of `rows`, all `(..., hidden)`."""
        hidden = rows.shape[-1]
        if asked is rows:
            query, key, value = functional.linear(rows, self.weight, self.bias).split(hidden, -1)
        else:
            query = functional.linear(asked, self.weight[:hidden], self.bias[:hidden])
            both = functional.linear(rows, self.weight[hidden:], self.bias[hidden:])
            key, value = both.split(hidden, -1)
        return (
            with_added(query, "query", asked, residual),
            with_added(key, "key", rows, residual),
            with_added(value, "value", rows, residual),
        )


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    of_query: PackedLayout,
    of_key: PackedLayout,
    num_heads: int,
    dropout: float,
) -> Tensor:
    """Let every query attend to the keys of its own sequence.

    On CUDA in half precision and without dropout by the kernel for sequences of any length, which
    has no dropout; on a processor in bfloat16 by plain products; else by SDPA over a block with
    pads.

    Args:
        query: (queries, hidden)
        key: (total_tokens, hidden)
        value: (total_tokens, hidden)
        of_query: where the queries lie, by sequence.
        of_key: where keys and values lie, by sequence.
        num_heads: how many heads share the width.
        dropout: probability of leaving out an attention weight.

    Returns:
        (queries, hidden)
    """
    if dropout == 0 and takes_any_length(query, num_heads):
        return _attend_packed(query, key, value, of_query, of_key, num_heads)
    if of_key.parts:
        parts = zip(of_query.parts, of_key.parts, strict=True)
        return torch.cat(
            [
                attend(query[a], key[b], value[b], part_a, part_b, num_heads, dropout)
                for (a, part_a), (b, part_b) in parts
            ]
        )
    heads = (
        _to_heads(query, of_query, num_heads),
        _to_heads(key, of_key, num_heads),
        _to_heads(value, of_key, num_heads),
    )
    if query.dtype == torch.bfloat16 and query.device.type == "cpu":
        attended = attend_by_products(*heads, of_key.key_mask, dropout)
    else:
        attended = functional.scaled_dot_product_attention(
            *heads, attn_mask=of_key.key_mask, dropout_p=dropout
        )
    return of_query.to_rows(attended.transpose(1, 2))


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, dropout: float
) -> Tensor:
    """Attend as SDPA does, by plain products: all `(sequences, heads, length, head_size)`.

    A processor's SDPA, forward and back, takes one and a half to four times as long in bfloat16 up
    to 256 tokens (`docs/log.md`, 29), for its kernel multiplies in float32.
    """
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(2, 3)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask, -torch.inf)
    return functional.dropout(scores.softmax(-1), dropout) @ value


def takes_any_length(query: Tensor, num_heads: int) -> bool:
    """Whether the kernel for sequences of any length can run over these `(queries, hidden)`."""
    if not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    head_size = query.shape[-1] // num_heads
    return _kernel_of(query.device) is not None and head_size % 8 == 0 and head_size <= 256


def _attend_packed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    of_query: PackedLayout,
    of_key: PackedLayout,
    num_heads: int,
) -> Tensor:
    """Attend without any block; arguments as in `attend`."""
    kernel = _kernel_of(query.device)
    assert kernel is not None
    heads = [part.unflatten(-1, (num_heads, -1)) for part in (query, key, value)]
    bounds = of_query.cu_seqlens, of_key.cu_seqlens, of_query.max_seqlen, of_key.max_seqlen
    attended: Tensor = kernel(*heads, *bounds).flatten(-2)
    return attended


@cache
def _kernel_of(device: torch.device) -> Callable[..., Any] | None:
    """Return the kernel for sequences of any length, where torch and the card have it."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch before 2.10
        return None
    return varlen_attn if torch.cuda.get_device_capability(device) >= (8, 0) else None


def _to_heads(rows: Tensor, layout: PackedLayout, num_heads: int) -> Tensor:
    """Lay rows into `(sequences, heads, max_seqlen, head_size)`."""
    block = layout.to_block(rows)
    return block.view(*block.shape[:2], num_heads, -1).transpose(1, 2)
