"""Self-attention over packed rows.

Rows are laid into a block only for the attention itself; every product with a weight works on real
tokens alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.modeling.adapters import AttentionResidual, adapted
from albatross.modeling.packed import PackedLayout


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
        self, rows: Tensor, layout: PackedLayout, residual: AttentionResidual | None = None
    ) -> Tensor:
        """Return attended rows `(total_tokens, hidden)`; `residual` is what a depth adds."""
        attended = functional.scaled_dot_product_attention(
            self._heads(adapted(self, "query", rows, residual), layout),
            self._heads(adapted(self, "key", rows, residual), layout),
            self._heads(adapted(self, "value", rows, residual), layout),
            attn_mask=layout.key_mask,
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        rows_attended = layout.to_rows(attended.transpose(1, 2))
        projected = self.output_dropout(adapted(self, "dense", rows_attended, residual))
        return adapted(self, "LayerNorm", rows + projected, residual)

    def probabilities(
        self, rows: Tensor, layout: PackedLayout, residual: AttentionResidual | None = None
    ) -> Tensor:
        """Return attention probabilities `(sequences, heads, max_seqlen, max_seqlen)`.

        For looking at them: SDPA does not give them out, so they are computed plainly; no dropout,
        zeros in the rows of pads.
        """
        query = self._heads(adapted(self, "query", rows, residual), layout)
        key = self._heads(adapted(self, "key", rows, residual), layout)
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        if layout.key_mask is not None:
            scores = scores.masked_fill(~layout.key_mask, -torch.inf)
        weights: Tensor = scores.softmax(-1)
        if layout.key_mask is not None:
            weights = weights * layout.key_mask.transpose(2, 3)
        return weights

    def _heads(self, rows: Tensor, layout: PackedLayout) -> Tensor:
        """Lay rows into `(sequences, heads, max_seqlen, head_size)`."""
        block = layout.to_block(rows)
        return block.view(*block.shape[:2], self.num_heads, -1).transpose(1, 2)
