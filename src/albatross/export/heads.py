"""What heads make of an encoder's last rows, for any graph: each as `modeling/task_heads.py` does.

Every matrix is multiplied with real tokens alone; only what compares the tokens of a sequence lays
them into a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import TensorProto

from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import WORDS
from albatross.export.beam_head import beam_span
from albatross.export.depth_graph import of_depth
from albatross.export.graph import Graph
from albatross.export.layers import activate
from albatross.export.seen import Answer, Seen, block_of, lengths_of
from albatross.head_spec import HeadSpec

# Below which torch divides no vector.
_LEAST_LENGTH = 1e-12


def add_heads(
    graph: Graph, config: AlbertConfig, heads: Mapping[str, HeadSpec], seen: Seen
) -> None:
    """Make every head's outputs those of the graph, by the names that torch gives them."""
    for name, answer in answers(graph, config, heads, seen).items():
        graph.output(name, answer.value, answer.shape)


def answers(
    graph: Graph, config: AlbertConfig, heads: Mapping[str, HeadSpec], seen: Seen
) -> dict[str, Answer]:
    """Return every head's outputs by the names that torch gives them."""
    found = {
        name: _KINDS[spec.kind](graph, config, name, spec, seen) for name, spec in heads.items()
    }
    return {name + part: answer for name, parts in found.items() for part, answer in parts.items()}


def add_exits(
    graph: Graph, config: AlbertConfig, heads: Mapping[str, HeadSpec], seen: Seen
) -> None:
    """Make what the exits of heads say after the depth that is asked for outputs of the graph.

    They stand below the last depth, for which the heads answer themselves.
    """
    depth = graph.input("depth", [])
    for name, spec in heads.items():
        prefixes = [f"exits.{name}.{number}" for number in range(config.depth - 1)]
        shape = (spec.size, config.hidden_size)
        weight = of_depth(graph, [graph.matrix(p, shape) for p in prefixes], shape, depth)
        bias = of_depth(graph, [graph.bias(p, spec.size) for p in prefixes], shape[:1], depth)
        rows, first = seen.by(spec)
        logits = graph.add("Gemm", [rows, weight, bias], transB=1)
        graph.output(name, logits, [first, spec.size])


def add_words(graph: Graph, config: AlbertConfig, rows: str) -> None:
    """Make the logits of the words at some rows (asked, hidden) an output: (asked, vocab)."""
    graph.output(WORDS, word_logits(graph, config, rows), ["asked", config.vocab_size])


def word_logits(graph: Graph, config: AlbertConfig, rows: str) -> str:
    """Return the logits of the words at some rows (asked, hidden): (asked, vocab)."""
    width = config.embedding_size
    inside = graph.product(f"{WORDS}.dense", rows, config.hidden_size, width)
    inside = activate(graph, config.hidden_act, inside, graph.bias(f"{WORDS}.dense", width))
    norm = graph.norm(f"{WORDS}.LayerNorm", width)
    inside = graph.add("LayerNormalization", [inside, *norm], epsilon=config.layer_norm_eps)
    table, bias = "albert.embeddings.word_embeddings", graph.bias(WORDS, config.vocab_size)
    if graph.is_int8(table):
        product = graph.product(table, inside, width, config.vocab_size)
        return graph.add("Add", [product, bias])
    matrix = graph.matrix(table, (config.vocab_size, width))
    return graph.add("Gemm", [inside, matrix, bias], transB=1)


# === Kinds ===


def _linear(
    graph: Graph, config: AlbertConfig, name: str, spec: HeadSpec, seen: Seen
) -> dict[str, Answer]:
    """One map, of pooled first rows or of every row."""
    rows, first = seen.by(spec)
    return {"": Answer(graph.dense(name, rows, config.hidden_size, spec.size), [first, spec.size])}


def _embedding(
    graph: Graph, config: AlbertConfig, name: str, spec: HeadSpec, seen: Seen
) -> dict[str, Answer]:
    """The mean of a sequence's rows, of unit length."""
    axis = graph.integers("axis_1", [1])
    summed = graph.add("ReduceSum", [seen.kept("block", block_of), axis], keepdims=0)
    lengths = graph.add("Cast", [seen.kept("lengths", lengths_of)], to=TensorProto.FLOAT)
    mean = graph.add("Div", [summed, lengths])
    size = graph.add("ReduceL2", [mean], axes=[1], keepdims=1)
    size = graph.add("Max", [size, graph.number("least_size", _LEAST_LENGTH)])
    return {"": Answer(graph.add("Div", [mean, size]), ["sequences", config.hidden_size])}


_KINDS: dict[str, Callable[[Graph, AlbertConfig, str, HeadSpec, Seen], dict[str, Answer]]] = {
    "sequence": _linear,
    "choice": _linear,
    "token": _linear,
    "span": _linear,
    "beam_span": beam_span,
    "embedding": _embedding,
}
