"""The one batch of the house: sequences of any length in one flat run of tokens, without padding.

The field's words for packing are used throughout: `cu_seqlens`, `max_seqlen`. What a token means is
not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
SHARED_TYPE = 2
"""What the token type of a text is raised by where a token stands in the other text of a pair, too;
see `albatross.tasks.inputs.Inputs.pair`."""
IGNORED_LABEL = -100
"""Label of a token or sequence that no loss looks at, as in PyTorch's cross entropy."""


@dataclass(frozen=True)
class Example:
    """One sequence as a model reads it, specials included.

    Attributes:
        input_ids: (tokens,)
        token_type_ids: (tokens,)
        labels: by name, each one number, or an array whose first axis is tokens or one
        origin: what the task needs to read an answer back, such as where the tokens stood in the
            text; no model sees it
        target: the sequence that is to be made of this one, if any
        asked: the token that a head reads which reads one of any place, such as a gap
    """

    input_ids: IntArray
    token_type_ids: IntArray
    labels: Mapping[str, float | NDArray[Any]] = field(default_factory=dict)
    origin: Any = None
    target: Example | None = None
    asked: int = 0

    def bare(self) -> Example:
        """Return what a model reads of it when it answers."""
        return Example(self.input_ids, self.token_type_ids, asked=self.asked)


@dataclass(frozen=True)
class PackedBatch:
    """Sequences laid end to end.

    Attributes:
        input_ids: (total_tokens,)
        token_type_ids: (total_tokens,)
        position_ids: (total_tokens,), counted from 0 in every sequence
        cu_seqlens: (sequences + 1,); sequence s is the tokens from cu_seqlens[s] to cu_seqlens[s +
            1]
        max_seqlen: tokens of the longest sequence
        labels: by name, (sequences,) or (total_tokens,), or wider rows of these
        example_to_record: (sequences,), the record that each sequence was made from
        asked: (sequences,), the token of each that a head may be asked about, among all tokens
        target: the sequences that are to be made of these, if any
    """

    input_ids: IntArray
    token_type_ids: IntArray
    position_ids: IntArray
    cu_seqlens: IntArray
    max_seqlen: int
    labels: Mapping[str, NDArray[np.generic]]
    example_to_record: IntArray
    asked: IntArray
    target: PackedBatch | None = None

    @property
    def num_sequences(self) -> int:
        """Number of sequences in the batch."""
        return len(self.cu_seqlens) - 1

    def __repr__(self) -> str:
        """Say how many sequences and tokens there are."""
        return (
            f"PackedBatch(sequences={self.num_sequences}, tokens={len(self.input_ids)},"
            f" max_seqlen={self.max_seqlen}, labels={sorted(self.labels)})"
        )


def pack(examples: Sequence[Example], records: Sequence[int] | None = None) -> PackedBatch:
    """Lay examples end to end, in the order given.

    Args:
        examples: at least one, each with at least one token and all with the same label names.
        records: the record of each example; by default its own position.
    """
    targets = [example.target for example in examples if example.target is not None]
    lengths = np.array([len(example.input_ids) for example in examples], dtype=np.int64)
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return PackedBatch(
        input_ids=np.concatenate([example.input_ids for example in examples]).astype(np.int64),
        token_type_ids=np.concatenate([e.token_type_ids for e in examples]).astype(np.int64),
        position_ids=np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths),
        cu_seqlens=cu_seqlens,
        max_seqlen=int(lengths.max()),
        labels={name: _join(examples, name) for name in examples[0].labels},
        example_to_record=np.asarray(
            range(len(examples)) if records is None else records, dtype=np.int64
        ),
        asked=cu_seqlens[:-1] + np.array([example.asked for example in examples], dtype=np.int64),
        target=pack(targets, records) if targets else None,
    )


def padded_indices(cu_seqlens: IntArray) -> tuple[IntArray, IntArray]:
    """Return the two gathers between packed rows and a padded `(sequences, max_seqlen)` block.

    Returns:
        `rows_to_block` (sequences, max_seqlen): the packed row of each cell; a pad cell repeats the
        sequence's first row. `block_to_rows` (total_tokens,): the cell of each packed row in the
        flattened block.
    """
    lengths = np.diff(cu_seqlens)
    columns = np.arange(int(lengths.max()))
    inside = columns < lengths[:, None]
    rows_to_block = np.where(inside, cu_seqlens[:-1, None] + columns, cu_seqlens[:-1, None])
    return rows_to_block, np.flatnonzero(inside.ravel())


def batches_by_tokens(
    lengths: Sequence[int] | IntArray, max_tokens: int, *, sort: bool = True
) -> Iterator[IntArray]:
    """Yield the indices of each batch: as many sequences as fit into `max_tokens`, at least one.

    Sorted (longest first), neighbours are of like length, so that attention pads little on devices
    without a variable-length kernel, and the batch that needs most memory comes first.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable") if sort else np.arange(len(sizes))
    start, total = 0, 0
    for position, index in enumerate(order):
        if position > start and total + sizes[index] > max_tokens:
            yield order[start:position]
            start, total = position, 0
        total += int(sizes[index])
    if start < len(order):
        yield order[start:]


def _join(examples: Sequence[Example], name: str) -> NDArray[np.generic]:
    """Stack one label of all examples: numbers to (sequences,), arrays along their first axis."""
    values = [example.labels[name] for example in examples]
    if isinstance(values[0], np.ndarray):
        return np.concatenate([np.asarray(value) for value in values])
    return np.asarray(values)
