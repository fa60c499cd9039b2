"""Google's head for SQuAD 2.0 as a graph; `modeling/beam_head.py` is the same with torch."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto, helper

from albatross.config import AlbertConfig
from albatross.export.graph import Graph
from albatross.export.seen import Answer, Dimensions, Seen, block_of, laid, open_cells
from albatross.head_spec import HeadSpec

# Google's numbers of starts, and of ends of each; what an absent one scores; and what TensorFlow's
# contrib library adds to a variance. All as in `modeling/`, which needs torch.
_STARTS = _ENDS = 5
_IMPOSSIBLE = -1e30
_NORM_EPSILON = 1e-12


def beam_span(
    graph: Graph, config: AlbertConfig, name: str, spec: HeadSpec, seen: Seen
) -> dict[str, Answer]:
    """Google's head for SQuAD 2.0: the best starts, the best ends of each, and no answer at all.

    A sequence of few tokens has fewer: the rest is impossible.
    """
    rows, block = seen("rows"), seen("rows_to_block")
    starts = graph.dense(f"{name}.start", rows, config.hidden_size, 1)
    starts = graph.add("Squeeze", [laid(graph, starts, block), graph.integers("axis_2", [2])])
    starts = _closed(graph, starts, seen.kept("is_open", open_cells))
    best = _Best.of(graph, starts, block)
    ends = _end_logits(graph, config, name, best.columns, seen)
    axis = graph.integers("axis_1", [1])
    is_open = graph.add("Unsqueeze", [seen.kept("is_open", open_cells), axis])
    ends_best = _Best.of(graph, _closed(graph, ends, is_open), block)
    none = _answer_logits(graph, config, name, starts, seen)
    few: Dimensions = ["sequences", _STARTS]
    many: Dimensions = ["sequences", _STARTS * _ENDS]
    rest = ends_best.padded(graph, block, axes=2)
    first = best.padded(graph, block, axes=1)
    return {
        ".start_log_probs": Answer(first.log_probs, few),
        ".start_index": Answer(_numbers(graph, first.columns), few),
        ".end_log_probs": Answer(_flat(graph, rest.log_probs), many),
        ".end_index": Answer(_flat(graph, _numbers(graph, rest.columns)), many),
        ".no_answer": Answer(none, ["sequences"]),
    }


def _closed(graph: Graph, logits: str, is_open: str) -> str:
    """Make logits impossible where no answer may lie."""
    return graph.add("Where", [is_open, logits, graph.number("impossible", _IMPOSSIBLE)])


@dataclass(frozen=True)
class _Best:
    """The best columns, falling; as many as there are, or padded to Google's number."""

    log_probs: str
    columns: str

    @classmethod
    def of(cls, graph: Graph, logits: str, rows_to_block: str) -> _Best:
        """Search the last axis; ends are as many as starts."""
        log_probs = graph.add("LogSoftmax", [logits], axis=-1)
        found = [f"{part}_{len(graph.nodes)}" for part in ("best", "best_columns")]
        count = _count(graph, rows_to_block)
        graph.nodes.append(helper.make_node("TopK", [log_probs, count], found, axis=-1))
        return cls(*found)

    def padded(self, graph: Graph, rows_to_block: str, *, axes: int) -> _Best:
        """Fill the last axes up with impossible ones at the first column."""
        lacking = [graph.integers("beams", [_STARTS]), _count(graph, rows_to_block)]
        rest = graph.add("Sub", lacking)
        before = graph.integers(f"pads_{axes}", [0] * (axes + 2))
        pads = graph.add("Concat", [before, *[rest] * axes], axis=0)
        impossible, zero = (
            graph.number("impossible", _IMPOSSIBLE),
            graph.integers("first_column", 0),
        )
        return _Best(
            graph.add("Pad", [self.log_probs, pads, impossible]),
            graph.add("Pad", [self.columns, pads, zero]),
        )


def _count(graph: Graph, rows_to_block: str) -> str:
    """How many starts, and ends of each, there are: no more than columns."""
    columns = graph.add("Shape", [rows_to_block], start=1, end=2)
    return graph.add("Min", [graph.integers("beams", [_STARTS]), columns])


def _end_logits(graph: Graph, config: AlbertConfig, name: str, starts: str, seen: Seen) -> str:
    """Logits of the ends of each start: (sequences, starts, max_seqlen).

    The matrix over [row; start row] is one over rows plus one over start rows.
    """
    hidden, block = config.hidden_size, seen("rows_to_block")
    both = graph.matrix(f"{name}.end_dense", (hidden, 2 * hidden))
    of_row, of_start = (_columns_of(graph, both, part * hidden, hidden) for part in (0, 1))
    at = graph.add("GatherElements", [block, starts], axis=1)
    chosen = graph.add("Gather", [seen("rows"), at], axis=0)
    chosen = graph.add("MatMul", [chosen, of_start])
    chosen = graph.add("Add", [chosen, graph.bias(f"{name}.end_dense", hidden)])
    of_rows = laid(graph, graph.add("MatMul", [seen("rows"), of_row]), block)
    of_rows = graph.add("Unsqueeze", [of_rows, graph.integers("axis_1", [1])])
    chosen = graph.add("Unsqueeze", [chosen, graph.integers("axis_2", [2])])
    inside = graph.add("Tanh", [graph.add("Add", [of_rows, chosen])])
    norm = graph.norm(f"{name}.end_LayerNorm", hidden)
    inside = graph.add("LayerNormalization", [inside, *norm], epsilon=_NORM_EPSILON)
    weight = graph.matrix(f"{name}.end_output", (1, hidden))
    logits = graph.add("MatMul", [inside, graph.add("Transpose", [weight], perm=[1, 0])])
    logits = graph.add("Squeeze", [logits, graph.integers("axis_3", [3])])
    return graph.add("Add", [logits, graph.bias(f"{name}.end_output", 1)])


def _answer_logits(graph: Graph, config: AlbertConfig, name: str, starts: str, seen: Seen) -> str:
    """Logits of there being no answer: (sequences,)."""
    hidden, axis = config.hidden_size, graph.integers("axis_1", [1])
    shares = graph.add("Unsqueeze", [graph.add("Softmax", [starts], axis=-1), axis])
    expected = graph.add("MatMul", [shares, seen.kept("block", block_of)])
    expected = graph.add("Squeeze", [expected, axis])
    first = graph.add("Gather", [seen("rows"), seen("first")], axis=0)
    features = graph.add("Concat", [expected, first], axis=1)
    inside = graph.add("Tanh", [graph.dense(f"{name}.answer_dense", features, 2 * hidden, hidden)])
    logits = graph.product(f"{name}.answer_output", inside, hidden, 1)
    return graph.add("Squeeze", [logits, axis])


def _columns_of(graph: Graph, matrix: str, start: int, count: int) -> str:
    """Take some columns of a matrix (out, in), as a matrix to multiply with: (columns, out)."""
    place = [graph.integers(f"number_{n}", [n]) for n in (start, start + count)]
    part = graph.add("Slice", [matrix, *place, graph.integers("axis_1", [1])])
    return graph.add("Transpose", [part], perm=[1, 0])


def _flat(graph: Graph, values: str) -> str:
    """Lay the ends of all starts in a row: (sequences, starts * ends)."""
    return graph.add("Reshape", [values, graph.integers("beams_shape", [-1, _STARTS * _ENDS])])


def _numbers(graph: Graph, columns: str) -> str:
    """Give columns as floats, as the torch engine does."""
    return graph.add("Cast", [columns], to=TensorProto.FLOAT)
