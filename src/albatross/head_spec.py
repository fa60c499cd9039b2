"""What a task asks a model for, without weights: kinds of heads, their sizes and losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from albatross.errors import ConfigError


@dataclass(frozen=True)
class HeadSpec:
    """What a task asks a model for: a kind of head, its outputs, and the head's own options.

    | kind | reads | gives |
    |---|---|---|
    | sequence | the pooled first row | (sequences, size) |
    | choice | the pooled first row | (sequences, 1), compared over a record's choices |
    | token | every row | (total_tokens, size) |
    | span | every row | (total_tokens, 2), starts and ends |
    | beam_span | every row | the best starts, their best ends, and whether there is no answer |
    | embedding | every row | (sequences, hidden), of unit length |
    | words | the row that is asked about | (sequences, vocab): the masked-word head |

    Raises:
        ConfigError: a kind or a loss that is not in the table.
    """

    kind: str
    """One of the table."""
    size: int
    """Number of outputs."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings that only this kind knows: `loss` of sequences (cross_entropy, binary, ordinal,
    squared) and of embeddings (cosine, contrastive); `exits`, whether every depth has a head."""

    def __post_init__(self) -> None:
        """Look kind and loss up."""
        if self.kind not in HEAD_LOSSES:
            kinds = ", ".join(HEAD_LOSSES)
            raise ConfigError(f"A head's kind must be one of {kinds}. Received: {self.kind!r}.")
        if self.loss not in HEAD_LOSSES[self.kind]:
            losses = ", ".join(HEAD_LOSSES[self.kind])
            raise ConfigError(
                f"The loss of a head for {self.kind} must be one of {losses}."
                f" Received: {self.loss!r}."
            )

    @property
    def loss(self) -> str:
        """What the head learns by; its kind's first loss unless the options name another."""
        return str(self.options.get("loss", HEAD_LOSSES.get(self.kind, ("",))[0]))


HEAD_LOSSES: dict[str, tuple[str, ...]] = {
    "sequence": ("cross_entropy", "binary", "ordinal", "squared"),
    "choice": ("cross_entropy",),
    "token": ("cross_entropy",),
    "span": ("cross_entropy",),
    "beam_span": ("cross_entropy",),
    "embedding": ("cosine", "contrastive"),
    "words": ("cross_entropy",),
}
"""The losses of every kind of head, the usual one first."""
POOLED = {"sequence", "choice"}
"""The kinds of head that read the pooled first row alone."""
