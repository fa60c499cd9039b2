"""What stands on the encoder: masked words, sentence order, classes; and the losses of all heads.

A loss may be absent: labels that are all ignored give a loss of exactly zero, never NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.data.packing import IGNORED_LABEL
from albatross.modeling.encoder import ACTIVATIONS


class MaskedLMHead(nn.Module):
    """Predict words: H to E, activation, norm, then the word embeddings as the output matrix."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make the transform; the output matrix is the embedding table and is passed in."""
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, rows: Tensor, word_embeddings: Tensor) -> Tensor:
        """Return logits `(rows, vocab)` for rows `(rows, hidden)`."""
        return functional.linear(self.transformed(rows), word_embeddings, self.bias)

    def transformed(self, rows: Tensor) -> Tensor:
        """Return what the words are told from, `(rows, embedding)`."""
        told: Tensor = self.LayerNorm(self.activation(self.dense(rows)))
        return told


class SentenceOrderHead(nn.Module):
    """Tell whether two segments stand in their order (ALBERT, section 3.1).

    For BERT: whether they follow each other at all (NSP). Two classes whatever the number of task
    labels, and no dropout, as in Google's code.
    """

    def __init__(self, config: AlbertConfig) -> None:
        """Make the classifier over the pooled output."""
        super().__init__()
        self.classifier = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return logits `(sequences, 2)`; class 0 is the original order."""
        logits: Tensor = self.classifier(pooled)
        return logits


class ClassHead(nn.Linear):
    """Classes or scores of sequences or of tokens: dropout, then a linear map."""

    def __init__(self, config: AlbertConfig, size: int) -> None:
        """Make a head with `size` outputs."""
        super().__init__(config.hidden_size, size)
        self.dropout = config.classifier_dropout_prob

    def forward(self, rows: Tensor) -> Tensor:
        """Return logits `(..., size)` for pooled outputs or states `(..., hidden)`."""
        return super().forward(functional.dropout(rows, self.dropout, self.training))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy over labels that are not ignored; zero when all are.

    Args:
        logits: (rows, classes)
        labels: (rows,)
    """
    labels = labels.long()
    total = functional.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum")
    return total / (labels != IGNORED_LABEL).sum().clamp(min=1)


def close(logits: Tensor, closed: Tensor) -> Tensor:
    """Return logits that a softmax takes for impossible where `closed` is True."""
    return logits.masked_fill(closed, max(-1e30, torch.finfo(logits.dtype).min))


def position_loss(logits: Tensor, positions: Tensor, closed: Tensor) -> Tensor:
    """Return the mean cross entropy of positions; those that cannot be chosen are ignored.

    Args:
        logits: (batch, tokens)
        positions: (batch,); beyond the tokens or closed means ignored; a negative one is the first
            token, as in transformers
        closed: (batch, tokens), True where no position may lie
    """
    positions = positions.long().reshape(-1).clamp(min=0)
    columns = positions.clamp(max=logits.shape[1] - 1)
    possible = (columns == positions) & ~closed.take_along_dim(columns[:, None], dim=1)[:, 0]
    return cross_entropy(logits, columns.where(possible, IGNORED_LABEL))
