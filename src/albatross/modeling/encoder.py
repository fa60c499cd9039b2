"""The shared encoder: few layers, applied many times (ALBERT, section 3.1).

One flat depth index `repeat * inner_group_num + inner` numbers every application of a layer; hidden
states, attentions, exits, learning-rate decay and adapters all count by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from albatross.config import AlbertConfig
from albatross.modeling.adapters import (
    Addition,
    DepthResidual,
    LayerAdapter,
    LayerAddition,
    Stacked,
    adapted,
    part_of,
)
from albatross.modeling.attention import AlbertAttention, FusedProjection
from albatross.modeling.packed import PackedLayout, WantedRows


def gelu_new(values: Tensor) -> Tensor:
    """Gaussian error linear unit by tanh, the one all published ALBERTs were trained with."""
    return functional.gelu(values, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": gelu_new,
    "gelu": functional.gelu,
    "relu": functional.relu,
    "tanh": functional.tanh,
}


class BlockScales(NamedTuple):
    """By what the gradients that one depth sends to the weights of its two blocks are multiplied.

    Such as for rates that fall with the depth (`training/layer_decay.py`). Gradients of rows stay
    as they are.
    """

    attention: float
    feed_forward: float


class AlbertLayer(nn.Module):
    """The weights of one layer: an attention block, a feed-forward block, or both.

    A layer lacks a block only where `cross_layer_sharing` shares that block with another group.
    """

    def __init__(self, config: AlbertConfig, *, attention: bool, feed_forward: bool) -> None:
        """Make the blocks that this layer owns."""
        super().__init__()
        if attention:
            self.attention = AlbertAttention(config)
        if feed_forward:
            self.ffn = nn.Linear(config.hidden_size, config.intermediate_size)
            self.ffn_output = nn.Linear(config.intermediate_size, config.hidden_size)
            self.activation = ACTIVATIONS[config.hidden_act]
            # Google applies this dropout; transformers makes it and never calls it.
            self.dropout = nn.Dropout(config.hidden_dropout_prob)
            self.full_layer_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def feed_forward(self, rows: Tensor, residual: Addition | None = None) -> Tensor:
        """Apply feed-forward block, skip connection and post-norm.

        Args:
            rows: (total_tokens, hidden), as the result is
            residual: what is added to the weights.
        """
        inside = self.activation(adapted(self, "ffn", rows, residual))
        output = self.dropout(adapted(self, "ffn_output", inside, residual))
        return adapted(self, "full_layer_layer_norm", rows + output, residual)


class AlbertLayerGroup(nn.Module):
    """The inner layers of one group."""

    def __init__(self, config: AlbertConfig, group: int) -> None:
        """Make `inner_group_num` layers with the blocks that this group owns."""
        super().__init__()
        self.albert_layers = nn.ModuleList(
            AlbertLayer(
                config,
                attention=group < config.num_attention_groups,
                feed_forward=group < config.num_ffn_groups,
            )
            for _ in range(config.inner_group_num)
        )


class AlbertTransformer(nn.Module):
    """Projection from E to H and the layers, applied `depth` times."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make each distinct layer once."""
        super().__init__()
        self.config = config
        self.activation_checkpointing = False
        self.compiled = False
        self.gradient_scales: tuple[BlockScales, ...] | None = None
        if config.embedding_projection:
            self.embedding_hidden_mapping_in = nn.Linear(config.embedding_size, config.hidden_size)
        num_groups = max(config.num_attention_groups, config.num_ffn_groups)
        self.albert_layer_groups = nn.ModuleList(
            AlbertLayerGroup(config, group) for group in range(num_groups)
        )
        if config.depth_lora_rank:
            self.depth_residuals = nn.ModuleList(DepthResidual(config) for _ in range(config.depth))
        if config.adapter is not None:
            count = config.depth if config.adapter.per_depth else 1
            self.adapters = nn.ModuleList(
                LayerAdapter(config, config.adapter) for _ in range(count)
            )

    def project(self, embeddings: Tensor) -> Tensor:
        """Take embeddings `(total_tokens, embedding)` to rows `(total_tokens, hidden)`.

        Under autocast the rows stay in full precision, and so do all sums and norms after them.
        """
        if not self.config.embedding_projection:
            return embeddings
        rows: Tensor = self.embedding_hidden_mapping_in(embeddings)
        return rows.to(embeddings.dtype)

    def layer(
        self,
        rows: Tensor,
        layout: PackedLayout,
        depth: int,
        fused: FusedProjection | None = None,
        wanted: WantedRows | None = None,
    ) -> Tensor:
        """Apply the layer of one flat depth index.

        Args:
            rows: (total_tokens, hidden)
            layout: where the sequences lie.
            depth: the flat depth index.
            fused: the projections of the depth's attention as one; see `AlbertAttention`.
            wanted: the rows that are needed afterwards; all of them by default.

        Returns:
            (total_tokens, hidden), or (wanted, hidden)
        """
        repeat, inner = divmod(depth, self.config.inner_group_num)
        owner = self._layer_of(self.config.ffn_group_of(repeat), inner)
        blocks = self.attention_of(depth), owner, self.addition_of(depth)
        scales = None if self.gradient_scales is None else self.gradient_scales[depth]
        apply = _compiled_layer() if self.compiled else apply_layer
        return apply(*blocks, rows, layout, fused, wanted, scales)

    def probabilities(self, rows: Tensor, layout: PackedLayout, depth: int) -> Tensor:
        """Return the attention probabilities of one depth; see `AlbertAttention`."""
        added = part_of(self.addition_of(depth), "attention")
        return self.attention_of(depth).probabilities(rows, layout, added)

    def attention_of(self, depth: int) -> AlbertAttention:
        """Return the attention block that a depth uses."""
        repeat, inner = divmod(depth, self.config.inner_group_num)
        return self._layer_of(self.config.attention_group_of(repeat), inner).attention

    def addition_of(self, depth: int) -> LayerAddition | None:
        """Return what is added to the shared weights at a depth, if anything."""
        spec = self.config.adapter
        residual = self.depth_residuals[depth] if self.config.depth_lora_rank else None
        adapter = self.adapters[spec.number_of(depth)] if spec is not None else None
        if residual is not None and adapter is not None:
            return Stacked(residual, adapter)
        found = residual if adapter is None else adapter
        assert found is None or isinstance(found, DepthResidual | LayerAdapter)
        return found

    def states(
        self,
        embeddings: Tensor,
        layout: PackedLayout,
        depths: Sequence[int] | None = None,
        wanted: WantedRows | None = None,
    ) -> Iterator[Tensor]:
        """Yield the rows `(total_tokens, hidden)` before the first depth and after every one.

        Args:
            embeddings: (total_tokens, embedding)
            layout: where the sequences lie.
            depths: the flat depth indices to be applied, in order; all of them by default.
            wanted: the rows that the last depth is to give; all of them by default.
        """
        applied = tuple(range(self.config.depth) if depths is None else depths)
        fused = self._fused(applied) if torch.is_grad_enabled() else {}
        rows = self.project(embeddings)
        if wanted is not None and not applied:
            rows = rows[wanted.rows]
        yield rows
        for number, depth in enumerate(applied, start=1):
            ends = wanted if number == len(applied) else None
            extras = fused.get(self.attention_of(depth)), ends
            if self.activation_checkpointing and self.training:
                rows = checkpoint(self.layer, rows, layout, depth, *extras, use_reentrant=False)
            else:
                rows = self.layer(rows, layout, depth, *extras)
            yield rows

    def forward(
        self,
        embeddings: Tensor,
        layout: PackedLayout,
        depths: Sequence[int] | None = None,
        wanted: WantedRows | None = None,
    ) -> Tensor:
        """Return the rows after the last depth; the others are let go. Arguments: see `states`."""
        (last,) = deque(self.states(embeddings, layout, depths, wanted), maxlen=1)
        return last

    def _fused(self, depths: Sequence[int]) -> dict[AlbertAttention, FusedProjection | None]:
        """Return the fused projections of every attention block that some depths use."""
        blocks = dict.fromkeys(self.attention_of(depth) for depth in depths)
        return {block: block.fuse() for block in blocks}

    def _layer_of(self, group: int, inner: int) -> AlbertLayer:
        """Return a layer by group and inner index."""
        layer = self.get_submodule(f"albert_layer_groups.{group}.albert_layers.{inner}")
        assert isinstance(layer, AlbertLayer)
        return layer


def apply_layer(
    attention: AlbertAttention,
    owner: AlbertLayer,
    residual: LayerAddition | None,
    rows: Tensor,
    layout: PackedLayout,
    fused: FusedProjection | None,
    wanted: WantedRows | None,
    scales: BlockScales | None = None,
) -> Tensor:
    """Apply an attention block and a feed-forward block; the rest as in `AlbertTransformer.layer`.

    A function of its own, so that it is compiled once whatever the number of depths and models.
    """
    added = part_of(residual, "attention")
    if scales is None:
        return owner.feed_forward(attention(rows, layout, added, fused, wanted), residual)
    # What comes back is scaled where it enters a block and set right where it leaves it: the sum is
    # linear, so the block's weights alone feel it.
    inside = scale_gradient(rows, 1 / scales.attention)
    attended = attention(inside, layout, added, fused, wanted)
    attended = scale_gradient(attended, scales.attention)
    output = owner.feed_forward(scale_gradient(attended, 1 / scales.feed_forward), residual)
    return scale_gradient(output, scales.feed_forward)


def scale_gradient(rows: Tensor, factor: float) -> Tensor:
    """Return rows as they are, whose gradient is multiplied on its way back.

    >>> rows = torch.ones(1, requires_grad=True)
    >>> scale_gradient(rows, 3.0).sum().backward()
    >>> rows.grad
    tensor([3.])
    """
    if factor == 1 or not rows.requires_grad:
        return rows
    same = rows.view_as(rows)
    same.register_hook(lambda gradient: gradient * factor)
    return same


@cache
def _compiled_layer() -> Callable[..., Tensor]:
    """Return `apply_layer` compiled for any number of tokens and sequences."""
    compiled: Callable[..., Tensor] = torch.compile(apply_layer, dynamic=True)
    return compiled
