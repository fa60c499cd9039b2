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
from albatross.checkpoints.huggingface import WORD_EMBEDDINGS
from albatross.modeling.heads import MaskedLMHead


class RoundedLinear(nn.Linear):
    """A map whose weight and rows are rounded on their way; the weight itself stays as it is."""

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the rounded map: (..., inputs) to (..., outputs)."""
        return functional.linear(rounded(rows, LARGEST_ACTIVATION), matrix_of(self), self.bias)


class RoundedTable(nn.Embedding):
    """A table whose rows are rounded when they are looked up."""

    largest = LARGEST_ENTRY

    def forward(self, ids: Tensor) -> Tensor:
        """Return rounded rows, (..., width) for ids (...)."""
        return rounded(super().forward(ids), self.largest)


class RoundedMaskedLMHead(MaskedLMHead):
    """Words told from a table in 8 bits, which is one for looking up, too."""

    def forward(self, rows: Tensor, word_embeddings: Tensor) -> Tensor:
        """Return logits `(rows, vocab)` for rows `(rows, hidden)`."""
        told = rounded(self.transformed(rows), LARGEST_ACTIVATION)
        return functional.linear(told, rounded(word_embeddings, LARGEST_WEIGHT), self.bias)


def matrix_of(part: nn.Linear) -> Tensor:
    """Return the matrix that a map multiplies with: rounded where it learns in 8 bits."""
    return rounded(part.weight, LARGEST_WEIGHT) if isinstance(part, RoundedLinear) else part.weight


def round_weights(model: nn.Module) -> list[str]:
    """Let a model compute from now on with what its export has in 8 bits; return what that is.

    Parameters, their names and all that points to them stay.
    """
    found = []
    parts = dict(model.named_modules())
    head = parts.get("predictions")
    for name, part in parts.items():
        if not isinstance(part, nn.Linear | nn.Embedding):
            continue
        weight, shape = f"{name}.weight", tuple(part.weight.shape)
        if is_multiplied(weight, shape):
            _turn(part, RoundedLinear)
        elif is_table(weight) and is_large(weight, shape):
            _turn(part, RoundedTable)
            if weight == WORD_EMBEDDINGS and head is not None:
                assert isinstance(part, RoundedTable)
                part.largest = LARGEST_WEIGHT  # as what is multiplied with
                _turn(head, RoundedMaskedLMHead)
        else:
            continue
        found.append(weight)
    return found


def _turn(part: nn.Module, into: type[nn.Module]) -> None:
    """Let a part compute as a class says that stands over its own, or beside it."""
    kind = type(part)
    is_plain = kind is into.__base__
    part.__class__ = into if is_plain else type(f"Rounded{kind.__name__}", (kind, into), {})


def rounded(values: Tensor, largest: int) -> Tensor:
    """Return values (..., width) in whole steps, so many of which make the largest of each row.

    >>> import torch
    >>> rounded(torch.tensor([[1.0, -0.26]]), 2).tolist()
    [[1.0, -0.5]]
    """
    scales = values.detach().abs().amax(-1, keepdim=True).clamp_min(LEAST) / largest
    whole = (values.detach() / scales).round() * scales
    return values + (whole - values.detach())
