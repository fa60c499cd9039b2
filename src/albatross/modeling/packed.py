"""The border of the model: batches become packed rows, and rows become padded again.

Inside the model there is one form only, rows `(total_tokens, hidden)` with a `PackedLayout`.
Padding exists in two places: here, for callers with Hugging Face's padded tensors, and inside
attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albatross.data.packing import IntArray, PackedBatch, padded_indices
from albatross.errors import DataError

# A block of its own must have so many tokens, for its own calls cost time, too; it ends where it
# would have so many cells a token; and all blocks together must cost at most such a share of one.
_LEAST_TOKENS, _MOST_CELLS, _LEAST_SAVING = 192, 1.2, 0.75


@dataclass(frozen=True)
class PackedLayout:
    """Where each sequence lies among the rows.

    Attributes:
        first: (sequences,), the row of each sequence's first token
        num_sequences: how many sequences there are
        max_seqlen: tokens of the longest
        block_to_rows: (total_tokens,), the cell of each row in a flattened `(sequences,
            max_seqlen)` block; None when all sequences are equally long and the block is the rows
        key_mask: (sequences, 1, 1, max_seqlen), True where a cell holds a token; None likewise
        cu_seqlens: (sequences + 1,) in 32 bits, as the variable-length kernels of CUDA read it;
            sequence s is the rows from cu_seqlens[s] to cu_seqlens[s + 1]
        parts: neighbours of like length, that attend in blocks of their own, with their rows; none
            where one block has few pads or the device takes sequences of any length
    """

    first: Tensor
    num_sequences: int
    max_seqlen: int
    block_to_rows: Tensor | None
    key_mask: Tensor | None
    cu_seqlens: Tensor
    parts: tuple[tuple[slice, PackedLayout], ...] = ()

    @classmethod
    def from_cu_seqlens(
        cls,
        cu_seqlens: IntArray,
        device: torch.device | str,
        ranges: Sequence[tuple[int, int]] = (),
    ) -> PackedLayout:
        """Build the layout of packed sequences.

        Args:
            cu_seqlens: (sequences + 1,)
            device: where it is used.
            ranges: first and end of the sequences that attend together; see `like_lengths`.
        """
        lengths = np.diff(cu_seqlens)
        max_seqlen = int(lengths.max())
        block_to_rows = key_mask = None
        if int(lengths.min()) != max_seqlen:
            cells = padded_indices(cu_seqlens)[1]
            mask = np.zeros(len(lengths) * max_seqlen, dtype=np.bool_)
            mask[cells] = True
            block_to_rows = _moved(cells, device)
            key_mask = _moved(mask.reshape(len(lengths), 1, 1, max_seqlen), device)
        first = _moved(cu_seqlens[:-1].copy(), device)
        bounds = _moved(cu_seqlens.astype(np.int32), device)
        parts = tuple(
            (
                slice(int(cu_seqlens[start]), int(cu_seqlens[end])),
                cls.from_cu_seqlens(cu_seqlens[start : end + 1] - cu_seqlens[start], device),
            )
            for start, end in ranges
        )
        return cls(first, len(lengths), max_seqlen, block_to_rows, key_mask, bounds, parts)

    def to_block(self, rows: Tensor) -> Tensor:
        """Lay rows `(total_tokens, width)` into `(sequences, max_seqlen, width)`, zeros at pads."""
        if self.block_to_rows is not None:
            cells = rows.new_zeros(self.num_sequences * self.max_seqlen, rows.shape[-1])
            rows = cells.index_copy(0, self.block_to_rows, rows)
        return rows.view(self.num_sequences, self.max_seqlen, -1)

    def to_rows(self, block: Tensor) -> Tensor:
        """Take the rows `(total_tokens, width)` out of a block `(sequences, max_seqlen, width)`."""
        cells = block.reshape(self.num_sequences * self.max_seqlen, -1)
        return cells if self.block_to_rows is None else cells.index_select(0, self.block_to_rows)


@dataclass(frozen=True)
class WantedRows:
    """The rows that a loss looks at: the last depth computes no others.

    Those that were asked for, and the first of each sequence, which the pooler reads; in order.

    Attributes:
        rows: (wanted,), their places among all rows
        asked: (asked,), the places among `rows` of those that were asked for
        layout: how `rows` lie, by sequence
    """

    rows: Tensor
    asked: Tensor
    layout: PackedLayout

    @classmethod
    def from_rows(
        cls, rows: IntArray, cu_seqlens: IntArray, device: torch.device | str
    ) -> WantedRows:
        """Ask for rows `(asked,)`, rising, of packed sequences."""
        wanted = np.union1d(cu_seqlens[:-1], rows)
        bounds = np.searchsorted(wanted, cu_seqlens)
        asked = np.searchsorted(wanted, rows)
        layout = PackedLayout.from_cu_seqlens(bounds, device, like_lengths(cu_seqlens, device))
        return cls(_moved(wanted, device), _moved(asked, device), layout)


@dataclass(frozen=True)
class PackedInputs:
    """What the model reads: ids `(total_tokens,)` and the layout of the sequences.

    `inputs_embeds` (total_tokens, embedding) takes the place of the word embeddings when given.
    With `wanted` the encoder returns these rows alone.
    """

    input_ids: Tensor | None
    token_type_ids: Tensor
    position_ids: Tensor
    layout: PackedLayout
    inputs_embeds: Tensor | None = None
    wanted: WantedRows | None = None

    @classmethod
    def from_batch(
        cls,
        batch: PackedBatch,
        device: torch.device | str = "cpu",
        wanted: IntArray | None = None,
    ) -> PackedInputs:
        """Move a numpy batch to a device; to CUDA without waiting, from pinned memory.

        Args:
            batch: the sequences.
            device: where to.
            wanted: (asked,), the rows that a loss looks at, rising; all of them by default.
        """
        return cls(
            _moved(batch.input_ids, device),
            _moved(batch.token_type_ids, device),
            _moved(batch.position_ids, device),
            PackedLayout.from_cu_seqlens(
                batch.cu_seqlens, device, like_lengths(batch.cu_seqlens, device)
            ),
            None,
            None if wanted is None else WantedRows.from_rows(wanted, batch.cu_seqlens, device),
        )


@dataclass(frozen=True)
class PaddedInputs:
    """Hugging Face's padded call, packed, with what is needed to pad the results again.

    Attributes:
        packed: the real tokens alone
        kept: (total_tokens,), the cell of each in the caller's flattened `(batch, tokens)`
        shape: the caller's (batch, tokens)
    """

    packed: PackedInputs
    kept: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_tensors(
        cls,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> PaddedInputs:
        """Drop the cells that the attention mask hides; a token keeps its column as its position.

        Raises:
            DataError: neither or both of ids and embeddings, no batch, a mask of another shape, or
                a sequence without tokens.
        """
        given = input_ids if input_ids is not None else inputs_embeds
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise DataError("Give exactly one of `input_ids` and `inputs_embeds`.")
        if given.dim() != (3 if input_ids is None else 2) or given.shape[0] == 0:
            raise DataError(
                "`input_ids` must be (batch, tokens), `inputs_embeds` (batch, tokens, embedding),"
                f" with at least one sequence. Received: {tuple(given.shape)}."
            )
        batch, tokens = given.shape[:2]
        device = given.device
        if attention_mask is None:
            attention_mask = torch.ones(batch, tokens, dtype=torch.bool, device=device)
        _check_mask(attention_mask, (batch, tokens))
        mask = attention_mask.bool()
        kept = mask.flatten().nonzero().squeeze(1)
        if position_ids is None:
            position_ids = torch.arange(tokens, device=device).expand(batch, tokens)
        if token_type_ids is None:
            token_type_ids = torch.zeros(batch, tokens, dtype=torch.long, device=device)
        cu_seqlens = np.concatenate([[0], np.cumsum(mask.sum(1).cpu().numpy())]).astype(np.int64)
        packed = PackedInputs(
            None if input_ids is None else input_ids.flatten()[kept],
            token_type_ids.expand(batch, tokens).flatten()[kept],
            position_ids.expand(batch, tokens).flatten()[kept],
            PackedLayout.from_cu_seqlens(cu_seqlens, device),
            None if inputs_embeds is None else inputs_embeds.flatten(0, 1)[kept],
        )
        return cls(packed, kept, (batch, tokens))

    def pad(self, rows: Tensor) -> Tensor:
        """Lay rows `(total_tokens, width)` into `(batch, tokens, width)`, zeros where hidden."""
        batch, tokens = self.shape
        if len(self.kept) == batch * tokens:
            return rows.view(batch, tokens, -1)
        cells = rows.new_zeros(batch * tokens, rows.shape[-1])
        return cells.index_copy(0, self.kept, rows).view(batch, tokens, -1)

    def pad_attention(self, block: Tensor) -> Tensor:
        """Lay attention `(sequences, heads, max_seqlen, max_seqlen)` back, zeros where hidden.

        Returns:
            (batch, heads, tokens, tokens), by the caller's columns.
        """
        batch, tokens = self.shape
        if len(self.kept) == batch * tokens:
            return block
        shown = torch.zeros(batch * tokens, dtype=torch.long, device=block.device)
        shown[self.kept] = 1
        shown = shown.view(batch, tokens)
        place = (shown.cumsum(1) - 1).clamp(min=0)
        rows = torch.take_along_dim(block, place[:, None, :, None], dim=2)
        cells = torch.take_along_dim(rows, place[:, None, None, :], dim=3)
        return cells * shown[:, None, :, None] * shown[:, None, None, :]


def like_lengths(cu_seqlens: IntArray, device: torch.device | str) -> list[tuple[int, int]]:
    """Part sequences into neighbours of like length; no parts where that saves little.

    A block has as many columns as its longest sequence, and attention costs their square. Only of
    sequences in order of their lengths neighbours are alike.

    Returns:
        The first and the end of each part.

    >>> like_lengths(np.cumsum([0] + [10] * 40 + [100] * 10), "cpu")
    [(0, 40), (40, 50)]
    """
    lengths = np.diff(cu_seqlens)
    steps = np.diff(lengths)
    if torch.device(device).type != "cpu" or not ((steps >= 0).all() or (steps <= 0).all()):
        return []
    bounds, tokens, cells = [0], 0, 0
    for at, length in enumerate(lengths.tolist()):
        longest = max(length, int(lengths[bounds[-1]]))
        cells = (at + 1 - bounds[-1]) * longest
        if tokens >= _LEAST_TOKENS and cells > _MOST_CELLS * (tokens + length):
            bounds.append(at)
            tokens = 0
        tokens += length
    ranges = list(pairwise([*bounds, len(lengths)]))
    parted = sum((end - start) * int(lengths[start:end].max()) ** 2 for start, end in ranges)
    whole = len(lengths) * int(lengths.max()) ** 2
    return ranges if parted < _LEAST_SAVING * whole else []


def _moved(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """Return an array on a device; CUDA reads pinned memory while the processor goes on."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _check_mask(mask: Tensor, shape: tuple[int, int]) -> None:
    """Refuse a mask that does not fit the ids, or that leaves a sequence empty."""
    if tuple(mask.shape) != shape:
        raise DataError(
            "`attention_mask` must have the shape (batch, tokens) of the ids."
            f" Received: {tuple(mask.shape)} for ids of {shape}."
        )
    if not bool(mask.bool().any(1).all()):
        raise DataError(
            "Every sequence needs at least one token that `attention_mask` shows."
            f" Received: an empty one in a batch of {shape[0]}."
        )
