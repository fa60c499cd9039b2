"""What the models return: results by name, absent ones left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """Results by name; indexing skips what is absent, as in transformers.

    Unpacking gives the results themselves, where transformers gives their names.
    """

    def __getitem__(self, key: int | str) -> Any:
        """Return a result by name or by position among those present."""
        return getattr(self, key) if isinstance(key, str) else tuple(self)[key]

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the results that are present."""
        values = (getattr(self, f.name) for f in fields(self))
        return (value for value in values if value is not None)

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the results that are present."""
        return tuple(self)


@dataclass(frozen=True, eq=False)
class AlbertModelOutput(ModelOutput):
    """Encoder results.

    Attributes:
        last_hidden_state: (batch, tokens, hidden), zeros where the mask hid a token
        pooler_output: (batch, hidden)
        hidden_states: depth + 1 times (batch, tokens, hidden), by flat depth index
        attentions: depth times (batch, heads, tokens, tokens)
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True, eq=False)
class AlbertForPreTrainingOutput(ModelOutput):
    """Pre-training results: `prediction_logits` (batch, tokens, vocab), `sop_logits` (batch, 2)."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    sop_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True, eq=False)
class AlbertHeadOutput(ModelOutput):
    """Results of one head: `logits` (batch, tokens, vocab) or (batch, tokens, classes).

    Without tokens where the head answers for a sequence: (batch, classes), (batch, choices).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True, eq=False)
class AlbertForQuestionAnsweringOutput(ModelOutput):
    """Results over a text with its question: two logits (batch, tokens), closed where hidden."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True, eq=False)
class AlbertForBeamQuestionAnsweringOutput(ModelOutput):
    """Results of the beam head: a loss when positions were given, else the best spans.

    Attributes:
        start_top_log_probs: (batch, starts), falling
        start_top_index: (batch, starts), columns of the padded batch
        end_top_log_probs: (batch, starts * ends); `i * ends + j` is the j-th best end of start i
        end_top_index: (batch, starts * ends), likewise
        cls_logits: (batch,), above zero where there rather is no answer
    """

    loss: Tensor | None = None
    start_top_log_probs: Tensor | None = None
    start_top_index: Tensor | None = None
    end_top_log_probs: Tensor | None = None
    end_top_index: Tensor | None = None
    cls_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
