"""The loss of words over the whole vocabulary, a chunk of rows at a time.

The logits of all masked words of a step are its largest tensors, and each pass over them goes to
the memory and back. A chunk stays in the cache: its logits, their probabilities and the gradients
of what made them are computed before the next one is, and nothing of it is kept, as in Liger Kernel
(Hsu et al., 2024), which does so for the memory of GPUs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Rows of a chunk: what stays in a processor's cache, and what keeps an accelerator busy.
_ROWS = {"cpu": 128, "cuda": 4_096}


def vocabulary_loss(hidden: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return the cross entropy of words, summed over rows, in float32.

    The products have autocast's precision where that is on.

    Args:
        hidden: (rows, embedding), what the words are told from
        table: (vocabulary, embedding), the word embeddings
        bias: (vocabulary,)
        targets: (rows,), the words
    """
    loss: Tensor = _VocabularyLoss.apply(hidden, table, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _VocabularyLoss(torch.autograd.Function):
    """Computes the gradients with the loss, while a chunk is at hand."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        """Return the sum, and keep its gradients."""
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        total = hidden.new_zeros((), dtype=torch.float32)
        learned = (hidden, table, bias)
        sums = [torch.zeros_like(each, dtype=torch.float32) for each in learned]
        to_hidden, to_table, to_bias = sums
        size = _ROWS.get(device, _ROWS["cuda"])
        with torch.autocast(device, enabled=False):
            rows, words, offsets = hidden.to(dtype), table.to(dtype), bias.to(dtype)
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                right = targets[start : start + size, None].long()
                logits = torch.addmm(offsets, chunk, words.t())
                logs = torch.log_softmax(logits, 1, dtype=torch.float32)
                total -= logs.gather(1, right).sum()
                wrong = logs.exp_()  # probabilities, less one where the word is right
                wrong.scatter_add_(1, right, wrong.new_full(right.shape, -1))
                to_bias += wrong.sum(0)
                wrong = wrong.to(dtype)
                to_hidden[start : start + size] = wrong @ words
                to_table += wrong.t() @ chunk
        kept = (part.to(each) for part, each in zip(sums, learned, strict=True))
        ctx.save_for_backward(*kept)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what was computed with the loss."""
        (gradient,) = gradients
        return (*(gradient * saved for saved in ctx.saved_tensors), None)
