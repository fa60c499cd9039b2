"""The values of a graph that heads look at: rows, where they lie, and blocks made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import TensorProto

from albatross.config import AlbertConfig
from albatross.data.packing import SHARED_TYPE
from albatross.export.graph import Graph
from albatross.head_spec import POOLED, HeadSpec

Dimensions = list[str | int]


@dataclass(frozen=True)
class Answer:
    """A value of a graph that a head answers with, and its shape."""

    value: str
    shape: Dimensions


class Seen:
    """The values of a graph that heads look at.

    One that is not known yet becomes an input when a head first asks for it.
    """

    def __init__(
        self, graph: Graph, config: AlbertConfig, known: Mapping[str, str] | None = None
    ) -> None:
        """Take the values that the graph has already, by the names of the inputs they replace."""
        self._graph, self._config = graph, config
        self._known = dict(known or {})

    def __call__(self, name: str) -> str:
        """Return a value by its name."""
        if name not in self._known:
            shapes: dict[str, tuple[Dimensions, int]] = {
                "rows": (["total_tokens", self._config.hidden_size], TensorProto.FLOAT),
                "first": (["sequences"], TensorProto.INT64),
                "rows_to_block": (["sequences", "max_seqlen"], TensorProto.INT64),
                "key_lengths": (["sequences"], TensorProto.INT32),
                "token_type_ids": (["total_tokens"], TensorProto.INT64),
            }
            self._known[name] = self._graph.input(name, *shapes[name])
        return self._known[name]

    def kept(self, name: str, make: Callable[[Graph, Seen], str]) -> str:
        """Return what several heads read, made when the first of them asks."""
        if name not in self._known:
            self._known[name] = make(self._graph, self)
        return self._known[name]

    def by(self, spec: HeadSpec) -> tuple[str, str]:
        """Return what a linear head reads, and the name of its first dimension."""
        if spec.kind not in POOLED:
            return self("rows"), "total_tokens"
        return self.kept("pooled", self._pool), "sequences"

    def _pool(self, graph: Graph, _: Seen) -> str:
        """Pool each sequence's first row: (sequences, hidden)."""
        hidden = self._config.hidden_size
        rows = graph.add("Gather", [self("rows"), self("first")], axis=0)
        return graph.add("Tanh", [graph.dense("albert.pooler", rows, hidden, hidden)])


# === Blocks ===


def laid(graph: Graph, rows: str, rows_to_block: str) -> str:
    """Lay rows (total_tokens, width) into (sequences, max_seqlen, width); pads repeat a row."""
    return graph.add("Gather", [rows, rows_to_block], axis=0)


def columns_of_block(graph: Graph, seen: Seen) -> str:
    """Count the columns of the block: (max_seqlen,)."""
    count = graph.add("Shape", [seen("rows_to_block")], start=1, end=2)
    count = graph.add("Squeeze", [count, graph.integers("axis_0", [0])])
    return graph.add(
        "Range", [graph.integers("first_column", 0), count, graph.integers("one_column", 1)]
    )


def lengths_of(graph: Graph, seen: Seen) -> str:
    """Say how long each sequence is: (sequences, 1)."""
    lengths = graph.add("Cast", [seen("key_lengths")], to=TensorProto.INT64)
    return graph.add("Unsqueeze", [lengths, graph.integers("axis_1", [1])])


def inside_of(graph: Graph, seen: Seen) -> str:
    """Say which cells hold tokens: (sequences, max_seqlen)."""
    return graph.add(
        "Less", [seen.kept("columns", columns_of_block), seen.kept("lengths", lengths_of)]
    )


def block_of(graph: Graph, seen: Seen) -> str:
    """Lay the rows into a block with zeros at pads."""
    inside = graph.add("Cast", [seen.kept("inside", inside_of)], to=TensorProto.FLOAT)
    inside = graph.add("Unsqueeze", [inside, graph.integers("axis_2", [2])])
    return graph.add("Mul", [laid(graph, seen("rows"), seen("rows_to_block")), inside])


def open_cells(graph: Graph, seen: Seen) -> str:
    """Say where an answer may lie: the context without its separator, and [CLS] for none."""
    columns, lengths = seen.kept("columns", columns_of_block), seen.kept("lengths", lengths_of)
    types = graph.add("Gather", [seen("token_type_ids"), seen("rows_to_block")], axis=0)
    zero = graph.integers("first_column", 0)
    text = graph.add("Mod", [types, graph.integers("shared_type", SHARED_TYPE)])
    of_context = graph.add("Not", [graph.add("Equal", [text, zero])])
    possible = graph.add("Or", [of_context, graph.add("Equal", [columns, zero])])
    last = graph.add("Sub", [lengths, graph.integers("one_column", 1)])
    # What lies before the last token is inside, too.
    return graph.add("And", [possible, graph.add("Less", [columns, last])])
