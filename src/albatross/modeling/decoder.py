"""Making one sequence of another with shared layers: what attends to what, and what is kept for it.

The same walk over the depths serves training, where all tokens are there at once, and generating,
where one token comes after the other and keys and values of the earlier ones are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.modeling.adapters import Addition, LayerAddition, adapted, part_of
from albatross.modeling.attention import AlbertAttention, FusedProjection
from albatross.modeling.encoder import AlbertLayer, AlbertLayerGroup, AlbertTransformer
from albatross.modeling.packed import PackedInputs, PackedLayout


class AlbertDecoderLayer(AlbertLayer):
    """A layer that also attends to the encoder's rows; tied, it owns that block alone."""

    def __init__(self, config: AlbertConfig, group: int, *, tied: bool) -> None:
        """Make the blocks that a group owns, shared as the encoder's are."""
        has_attention = group < config.num_attention_groups
        super().__init__(
            config,
            attention=has_attention and not tied,
            feed_forward=group < config.num_ffn_groups and not tied,
        )
        if has_attention:
            self.cross_attention = AlbertAttention(config)


class AlbertDecoderGroup(nn.Module):
    """The inner layers of one group."""

    def __init__(self, config: AlbertConfig, group: int, *, tied: bool) -> None:
        """Make `inner_group_num` layers."""
        super().__init__()
        self.albert_layers = nn.ModuleList(
            AlbertDecoderLayer(config, group, tied=tied) for _ in range(config.inner_group_num)
        )


class AlbertDecoder(nn.Module):
    """Each distinct decoder layer once; they are applied as often as the encoder's."""

    def __init__(self, config: AlbertConfig, *, tied: bool = False) -> None:
        """Make the layers; tied ones leave self-attention and feed-forward to the encoder."""
        super().__init__()
        self.tied = tied
        num_groups = max(config.num_attention_groups, config.num_ffn_groups)
        self.albert_layer_groups = nn.ModuleList(
            AlbertDecoderGroup(config, group, tied=tied) for group in range(num_groups)
        )


@dataclass(frozen=True)
class DepthBlocks:
    """The blocks that one depth applies, in this order."""

    attention: AlbertAttention
    cross_attention: AlbertAttention | None
    feed_forward: AlbertLayer
    residual: LayerAddition | None = None


def blocks_of(
    encoder: AlbertTransformer, decoder: AlbertDecoder | None = None
) -> tuple[DepthBlocks, ...]:
    """Return the blocks of every depth: the encoder's own, or those of a decoder on it."""
    config = encoder.config
    own = encoder if decoder is None or decoder.tied else decoder
    blocks = []
    for depth in range(config.depth):
        repeat, inner = divmod(depth, config.inner_group_num)
        attending, feeding = config.attention_group_of(repeat), config.ffn_group_of(repeat)
        crossing = None if decoder is None else _layer(decoder, attending, inner)
        blocks.append(
            DepthBlocks(
                _layer(own, attending, inner).attention,
                crossing.cross_attention if isinstance(crossing, AlbertDecoderLayer) else None,
                _layer(own, feeding, inner),
                encoder.addition_of(depth),
            )
        )
    return tuple(blocks)


@dataclass(frozen=True)
class KeysValues:
    """Keys and values of some tokens, both (sequences, heads, tokens, head_size)."""

    keys: Tensor
    values: Tensor

    def then(self, later: KeysValues) -> KeysValues:
        """Return these with later tokens' after them."""
        keys = torch.cat([self.keys, later.keys], dim=2)
        return KeysValues(keys, torch.cat([self.values, later.values], dim=2))

    def select(self, sequences: Tensor) -> KeysValues:
        """Return those of some sequences `(selected,)`."""
        return KeysValues(self.keys[sequences], self.values[sequences])


@dataclass(frozen=True)
class Memory:
    """What cross-attention looks at: the encoder's rows, as each distinct block projects them.

    All depths that share a block share its keys and values, which so are computed and kept once.

    Attributes:
        of_block: by block
        mask: (sequences, 1, 1, tokens), True where there is a token; None where all cells have one
    """

    of_block: Mapping[AlbertAttention, KeysValues]
    mask: Tensor | None

    @classmethod
    def of_rows(
        cls, blocks: Sequence[DepthBlocks], rows: Tensor, layout: PackedLayout
    ) -> Memory | None:
        """Project an encoder's last rows `(total_tokens, hidden)`; None without cross-attention."""
        distinct = dict.fromkeys(b.cross_attention for b in blocks if b.cross_attention is not None)
        if not distinct:
            return None
        found = {block: _keys_values(block, rows, layout) for block in distinct}
        return cls(found, layout.key_mask)

    def select(self, sequences: Tensor) -> Memory:
        """Return that of some sequences `(selected,)`."""
        chosen = {block: kept.select(sequences) for block, kept in self.of_block.items()}
        return Memory(chosen, None if self.mask is None else self.mask[sequences])


@dataclass(frozen=True)
class DecoderState:
    """What is kept of the tokens so far, one sequence a row.

    Attributes:
        kept: of every depth
        mask: (sequences, 1, 1, tokens), True where there is a token; None where all cells have one
        positions: (sequences,), of the token that comes next
        memory: the encoder's side, where the decoder attends to it
    """

    kept: tuple[KeysValues, ...]
    mask: Tensor | None
    positions: Tensor
    memory: Memory | None

    def select(self, sequences: Tensor) -> DecoderState:
        """Return the state of some sequences `(selected,)`, which may come several times."""
        return DecoderState(
            tuple(kept.select(sequences) for kept in self.kept),
            None if self.mask is None else self.mask[sequences],
            self.positions[sequences],
            None if self.memory is None else self.memory.select(sequences),
        )


@dataclass(frozen=True)
class Walked:
    """Rows after the last depth, (total_tokens, hidden), and the keys and values of every depth."""

    rows: Tensor
    kept: tuple[KeysValues, ...]


def walk(
    blocks: Sequence[DepthBlocks],
    rows: Tensor,
    layout: PackedLayout,
    mask: Tensor | None,
    memory: Memory | None = None,
    past: Sequence[KeysValues] = (),
) -> Walked:
    """Take rows through all depths.

    Args:
        blocks: of every depth.
        rows: (total_tokens, hidden), before the first depth
        layout: where the sequences lie.
        mask: what a token may attend to, as scaled dot-product attention reads it; see `sight`.
        memory: what cross-attention looks at.
        past: keys and values of earlier tokens, which stand before these.
    """
    training = torch.is_grad_enabled()
    distinct = dict.fromkeys(block.attention for block in blocks) if training else {}
    fused = {attention: attention.fuse() for attention in distinct}
    kept = []
    for depth, block in enumerate(blocks):
        residual = part_of(block.residual, "attention")
        query, own = _projected(block.attention, rows, layout, fused.get(block.attention), residual)
        whole = past[depth].then(own) if past else own
        attended = _attended(block.attention, query, whole, layout, mask)
        rows = _joined(block.attention, rows, attended, residual)
        if block.cross_attention is not None and memory is not None:
            cross = block.cross_attention
            query = _to_heads(cross.query(rows), layout, cross.num_heads)
            looked = _attended(cross, query, memory.of_block[cross], layout, memory.mask)
            rows = _joined(cross, rows, looked, None)
        rows = block.feed_forward.feed_forward(rows, block.residual)
        kept.append(whole)
    return Walked(rows, tuple(kept))


def visible_keys(inputs: PackedInputs, *, prefix: bool) -> Tensor:
    """Return how many tokens of its sequence each token sees, from the first on: (total_tokens,).

    Those up to itself. With `prefix` (UniLM's mask for sequence to sequence, Dong et al., 2019)
    the tokens of type 0 see one another, too, and those after them see them all.
    """
    upto = inputs.position_ids + 1
    if not prefix:
        return upto
    layout = inputs.layout
    lengths = layout.cu_seqlens.diff()
    number = torch.arange(layout.num_sequences, device=upto.device)
    owner = number.repeat_interleave(lengths, output_size=len(upto))
    of_source = (inputs.token_type_ids == 0).to(upto.dtype)
    sources = upto.new_zeros(layout.num_sequences).index_add(0, owner, of_source)
    return torch.maximum(upto, sources[owner])


def sight(visible: Tensor, layout: PackedLayout) -> Tensor:
    """Return the attention mask of tokens that see so many of the first tokens of their sequence.

    Args:
        visible: (total_tokens,)
        layout: where the sequences lie.

    Returns:
        (sequences, 1, max_seqlen, max_seqlen), True where a query may attend to a key
    """
    block = layout.to_block(visible[:, None])[..., 0].clamp(min=1)  # a pad sees something: no NaN
    keys = torch.arange(layout.max_seqlen, device=visible.device)
    return (keys < block[..., None])[:, None]


def _layer(owner: AlbertTransformer | AlbertDecoder, group: int, inner: int) -> AlbertLayer:
    """Return a layer of an encoder or a decoder by group and inner index."""
    layers = owner.albert_layer_groups[group]
    assert isinstance(layers, AlbertLayerGroup | AlbertDecoderGroup)
    layer = layers.albert_layers[inner]
    assert isinstance(layer, AlbertLayer)
    return layer


def _projected(
    attention: AlbertAttention,
    rows: Tensor,
    layout: PackedLayout,
    fused: FusedProjection | None,
    residual: Addition | None,
) -> tuple[Tensor, KeysValues]:
    """Return queries, keys and values of rows, (sequences, heads, tokens, head_size) each."""
    if fused is not None:
        parts = fused.apply(rows, rows, residual)
    else:
        query, key, value = (
            adapted(attention, part, rows, residual) for part in ("query", "key", "value")
        )
        parts = query, key, value
    query, key, value = (_to_heads(part, layout, attention.num_heads) for part in parts)
    return query, KeysValues(key, value)


def _keys_values(attention: AlbertAttention, rows: Tensor, layout: PackedLayout) -> KeysValues:
    """Return keys and values of rows `(total_tokens, hidden)`."""
    parts = attention.key(rows), attention.value(rows)
    key, value = (_to_heads(part, layout, attention.num_heads) for part in parts)
    return KeysValues(key, value)


def _attended(
    attention: AlbertAttention,
    query: Tensor,
    looked_at: KeysValues,
    layout: PackedLayout,
    mask: Tensor | None,
) -> Tensor:
    """Let queries `(sequences, heads, tokens, head_size)` attend; returns (total_tokens, hidden).

    Always over a block with pads: the kernel for sequences of any length knows no such masks.
    """
    dropout = attention.attention_dropout if attention.training else 0.0
    block = functional.scaled_dot_product_attention(
        query, looked_at.keys, looked_at.values, attn_mask=mask, dropout_p=dropout
    )
    return layout.to_rows(block.transpose(1, 2))


def _joined(
    attention: AlbertAttention, rows: Tensor, attended: Tensor, residual: Addition | None
) -> Tensor:
    """Project what was attended to, add it to the rows, and normalise; (total_tokens, hidden)."""
    projected = attention.output_dropout(adapted(attention, "dense", attended, residual))
    return adapted(attention, "LayerNorm", rows + projected, residual)


def _to_heads(rows: Tensor, layout: PackedLayout, num_heads: int) -> Tensor:
    """Lay rows into `(sequences, heads, max_seqlen, head_size)`."""
    block = layout.to_block(rows)
    return block.view(*block.shape[:2], num_heads, -1).transpose(1, 2)
