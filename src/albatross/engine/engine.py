"""What an engine is: embed, apply a layer once per depth, answer with heads.

The rows between two depths are opaque: a torch tensor or a numpy array, whatever the backend likes.
All depths share their weights, so a scheduler may regroup sequences between depths with `select`
and `concat`. An engine knows no text and no task, and does nothing asynchronous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from albatross.config import AlbertConfig
from albatross.data.packing import IntArray, PackedBatch

Rows = Any
"""Hidden rows `(total_tokens, hidden)` in the backend's own array type."""
Outputs = dict[str, NDArray[np.float32]]


class Engine(Protocol):
    """One backend with one model's weights."""

    config: AlbertConfig
    batch_tokens: int
    """How many tokens are best computed together: more of them only take more memory."""

    @property
    def exit_names(self) -> tuple[str, ...]:
        """The heads that answer after every depth; none of a model without exits."""
        ...

    def embed(self, batch: PackedBatch) -> Rows:
        """Return the rows `(total_tokens, hidden)` that enter depth 0."""
        ...

    def layer(self, rows: Rows, cu_seqlens: IntArray, depth: int) -> Rows:
        """Apply the layer of a flat depth index `repeat * inner_group_num + inner`."""
        ...

    def heads(self, rows: Rows, batch: PackedBatch, depth: int | None = None) -> Outputs:
        """Return every head's outputs by name; `HeadSpec` has their shapes.

        Args:
            rows: (total_tokens, hidden)
            batch: the sequences that the rows stand for.
            depth: the flat depth index that the rows come from, for a model with exits; the last by
                default.
        """
        ...

    def select(self, rows: Rows, indices: IntArray) -> Rows:
        """Return the rows at these token indices, in this order."""
        ...

    def concat(self, parts: Sequence[Rows]) -> Rows:
        """Lay rows of several batches end to end."""
        ...


def run(engine: Engine, batch: PackedBatch) -> Outputs:
    """Take a batch through all depths and return the heads' outputs by name."""
    rows = engine.embed(batch)
    for depth in range(engine.config.depth):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
    return engine.heads(rows, batch)


def run_depths(engine: Engine, batch: PackedBatch) -> list[Outputs]:
    """Take a batch through all depths and return what the exits say after each of them."""
    rows = engine.embed(batch)
    found = []
    for depth in range(engine.config.depth):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
        found.append(engine.heads(rows, batch, depth))
    return found


def split_outputs(outputs: Outputs, batch: PackedBatch) -> list[Outputs]:
    """Return the outputs of each sequence, (1, ...) or (tokens, ...) by what they are made of."""
    total = int(batch.cu_seqlens[-1])
    of_tokens = {name for name, rows in outputs.items() if len(rows) == total}
    bounds = batch.cu_seqlens
    parts = []
    for at in range(batch.num_sequences):
        tokens, one = slice(bounds[at], bounds[at + 1]), slice(at, at + 1)
        parts.append(
            {name: rows[tokens if name in of_tokens else one] for name, rows in outputs.items()}
        )
    return parts


def join_outputs(parts: Sequence[Mapping[str, NDArray[np.float32]]]) -> Outputs:
    """Concatenate the outputs of several sequences, name by name."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
