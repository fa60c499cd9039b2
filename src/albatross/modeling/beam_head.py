"""Google's head for SQuAD 2.0: starts, ends that know their start, and whether there is an answer.

The one of XLNet (Yang et al., 2019) as ALBERT's `squad_utils.py` builds it. It never hears of text.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.modeling.heads import close
from albatross.modeling.rounding import matrix_of

# What TensorFlow's contrib library adds to a variance, whatever the encoder's norms do.
_NORM_EPSILON = 1e-12


@dataclass(frozen=True)
class AnswerBeams:
    """The best spans; end `i * ends + j` is the j-th best one of the i-th best start.

    Attributes:
        start_top_log_probs: (batch, starts), falling
        start_top_index: (batch, starts)
        end_top_log_probs: (batch, starts * ends), falling within a start; given that start
        end_top_index: (batch, starts * ends)
    """

    start_top_log_probs: Tensor
    start_top_index: Tensor
    end_top_log_probs: Tensor
    end_top_index: Tensor


class BeamQuestionHead(nn.Module):
    """Start logits, end logits for a given start, and the logit of there being no answer."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make the maps; only the last has no bias, as in Google's code."""
        super().__init__()
        hidden = config.hidden_size
        self.start = nn.Linear(hidden, 1)
        self.end_dense = nn.Linear(2 * hidden, hidden)
        self.end_LayerNorm = nn.LayerNorm(hidden, eps=_NORM_EPSILON)
        self.end_output = nn.Linear(hidden, 1)
        self.answer_dense = nn.Linear(2 * hidden, hidden)
        self.answer_output = nn.Linear(hidden, 1, bias=False)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)

    def start_logits(self, states: Tensor, closed: Tensor) -> Tensor:
        """Return logits `(batch, tokens)`.

        Args:
            states: (batch, tokens, hidden)
            closed: (batch, tokens), True where no answer may lie
        """
        return close(self.start(states).squeeze(-1), closed)

    def end_logits(self, states: Tensor, starts: Tensor, closed: Tensor) -> Tensor:
        """Return logits `(batch, starts, tokens)` of the ends, given each start.

        Args:
            states: (batch, tokens, hidden)
            starts: (batch, starts), columns of the start tokens
            closed: (batch, tokens), True where no answer may lie
        """
        # A matrix over [row; start row] is one over rows plus one over start rows: so each row is
        # multiplied once and not once for each start.
        of_row, of_start = matrix_of(self.end_dense).split(states.shape[-1], dim=1)
        chosen = functional.linear(take_rows(states, starts), of_start, self.end_dense.bias)
        inside = functional.linear(states, of_row)[:, None] + chosen[:, :, None]
        logits = self.end_output(self.end_LayerNorm(inside.tanh())).squeeze(-1)
        return close(logits, closed[:, None])

    def answer_logits(self, states: Tensor, start_logits: Tensor, first: Tensor) -> Tensor:
        """Return logits `(batch,)`; above zero means that there is no answer.

        Args:
            states: (batch, tokens, hidden)
            start_logits: (batch, tokens)
            first: (batch,), the column of each sequence's first token
        """
        expected = torch.einsum("bt,bth->bh", start_logits.softmax(-1), states)
        features = torch.cat([expected, take_rows(states, first[:, None]).squeeze(1)], dim=-1)
        features = self.dropout(self.answer_dense(features).tanh())
        logits: Tensor = self.answer_output(features).squeeze(-1)
        return logits

    def beams(
        self, states: Tensor, start_logits: Tensor, closed: Tensor, *, starts: int, ends: int
    ) -> AnswerBeams:
        """Return the best starts and the best ends of each; fewer where there are fewer tokens."""
        starts, ends = (min(count, states.shape[1]) for count in (starts, ends))
        start_best = start_logits.log_softmax(-1).topk(starts)
        end_logits = self.end_logits(states, start_best.indices, closed)
        end_best = end_logits.log_softmax(-1).topk(ends)
        return AnswerBeams(
            start_best.values,
            start_best.indices,
            end_best.values.flatten(1),
            end_best.indices.flatten(1),
        )


def take_rows(states: Tensor, columns: Tensor) -> Tensor:
    """Return the rows `(batch, count, hidden)` at the columns `(batch, count)` of each sequence."""
    return states.take_along_dim(columns[:, :, None], dim=1)
