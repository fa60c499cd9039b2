"""Factorised embeddings: V x E tables; the encoder projects to H (ALBERT, section 3.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from albatross.config import AlbertConfig
from albatross.errors import DataError
from albatross.modeling.packed import PackedInputs


class AlbertEmbeddings(nn.Module):
    """Word, position and token-type embeddings, summed and normalised on E.

    The pad row is trained as in Google's code; packed batches never look it up.
    """

    def __init__(self, config: AlbertConfig) -> None:
        """Make the three tables."""
        super().__init__()
        size = config.embedding_size
        self.config = config
        self.word_embeddings = nn.Embedding(config.vocab_size, size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, inputs: PackedInputs) -> Tensor:
        """Return embeddings `(total_tokens, embedding)`.

        Raises:
            DataError: a sequence is longer than the table of positions.
        """
        positions = self.config.max_position_embeddings
        if inputs.layout.max_seqlen > positions:
            raise DataError(
                f"A sequence must have at most {positions} tokens (`max_position_embeddings`)."
                f" Received: {inputs.layout.max_seqlen}. Cut the text into windows."
            )
        words = inputs.inputs_embeds
        if words is None:
            words = self.word_embeddings(inputs.input_ids)
        summed = words + self.token_type_embeddings(inputs.token_type_ids)
        summed = summed + self.position_embeddings(inputs.position_ids)
        embedded: Tensor = self.dropout(self.LayerNorm(summed))
        return embedded

    def check(self, inputs: PackedInputs) -> None:
        """Refuse ids outside the tables, which a GPU would only answer with a broken context.

        Raises:
            DataError: an id, a token type or a position that has no row.
        """
        for name, rows, ids in (
            ("vocab_size", self.config.vocab_size, inputs.input_ids),
            ("type_vocab_size", self.config.type_vocab_size, inputs.token_type_ids),
            ("max_position_embeddings", self.config.max_position_embeddings, inputs.position_ids),
        ):
            if ids is not None and (int(ids.min()) < 0 or int(ids.max()) >= rows):
                raise DataError(
                    f"Ids must be from 0 to {rows - 1:,} (`{name}` is {rows:,})."
                    f" Received: {int(ids.min()):,} to {int(ids.max()):,}. Use the tokenizer of"
                    " this model, and cut long texts into windows."
                )


def sinusoidal_positions(positions: int, size: int) -> Tensor:
    """Return a position table (positions, size) of sines and cosines with variance one half.

    Vaswani et al., 2017, section 3.5. As the start of a learned table it lets attention find
    neighbours from the first steps on (Cramming, 2022, keeps it throughout).
    """
    rates = torch.exp(-torch.arange(0, size, 2) / size * math.log(10_000.0))
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size]
