"""A writing model's graphs beside its encoder's: what is kept of the sources, and one more word.

All point into the folder's `model.safetensors`, as every step graph does; a layer that is shared is
written once. What is kept between two words is an input and an output: the graphs know of rows and
of what each row has seen, and nothing of beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto, TensorProto

from albatross.atomic import write_file
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import layer_weights
from albatross.engine.onnx_generator import decode_files, is_tied, memory_files, reads_apart
from albatross.engine.step_graph import WEIGHTS_FILE
from albatross.export.depth_graph import DepthGraph
from albatross.export.graph import CONTRIB, Graph, Weights
from albatross.export.layers import LAYER_GROUPS, feed_forward, join, layer_prefixes

_DECODER_GROUPS = "decoder.albert_layer_groups"


def write_decoder_graphs(folder: Path, config: AlbertConfig) -> None:
    """Write what a model that writes needs beside its encoder's graphs and `predictions.onnx`.

    Args:
        folder: holds `model.safetensors` with the encoder and, for a decoder with cross-attention,
            `decoder`.
        config: the folder's configuration; it says which decoder it is.

    Raises:
        WeightsError: a tensor is missing, of another shape, or of another type.
    """
    weights = Weights.read(folder / WEIGHTS_FILE)
    graphs: dict[str, ModelProto] = {}
    for files, make in (
        (memory_files(config), _memory_graph),
        (decode_files(config), _decode_graph),
    ):
        for name in dict.fromkeys(files):
            depths = [depth for depth, file in enumerate(files) if file == name]
            graphs[name] = make(weights, config, depths)
    for name, model in graphs.items():
        write_file(folder / name, model.SerializeToString())


def _memory_graph(weights: Weights, config: AlbertConfig, depths: Sequence[int]) -> ModelProto:
    """From rows of sources to the keys and values that targets attend to.

    With cross-attention those are the encoder's last rows; for a decoder that is the encoder
    itself, the rows before one of these depths.
    """
    graph, hidden = DepthGraph(weights, config, depths), config.hidden_size
    rows = graph.input("rows", ["total_tokens", hidden], TensorProto.FLOAT)
    rows_to_block = graph.input("rows_to_block", ["sequences", "max_seqlen"])
    prefix, _ = layer_prefixes(LAYER_GROUPS, layer_weights(config, depths[0]))
    if reads_apart(config):
        prefix = _cross_prefix(config, depths[0])
    split = graph.integers("split", [0, 0, config.num_attention_heads, config.head_size])
    for name, part in (("keys", "key"), ("values", "value")):
        projected = _mapped(graph, config, f"{prefix}.{part}", rows)
        block = graph.add("Gather", [projected, rows_to_block], axis=0)
        heads = graph.add("Transpose", [graph.add("Reshape", [block, split])], perm=[0, 2, 1, 3])
        graph.output(name, heads, _kept_shape(config, "max_seqlen"))
    return graph.model("memory")


def _decode_graph(weights: Weights, config: AlbertConfig, depths: Sequence[int]) -> ModelProto:
    """One more word of every row: its row after one of these depths, its key and value there."""
    graph, apart = DepthGraph(weights, config, depths), reads_apart(config)
    rows = graph.input("rows", ["sequences", config.hidden_size], TensorProto.FLOAT)
    groups = _DECODER_GROUPS if apart and not is_tied(config) else LAYER_GROUPS
    attention, feeding = layer_prefixes(groups, layer_weights(config, depths[0]))
    attended = _attend_itself(graph, config, attention, rows)
    rows = join(graph, config, attention, attended, rows)
    if apart:
        cross = _cross_prefix(config, depths[0])
        rows = join(graph, config, cross, _attend_sources(graph, config, cross, rows), rows)
    after = feed_forward(graph, config, feeding, rows)
    graph.output("rows_out", after, ["sequences", config.hidden_size])
    return graph.model("decode_layer")


def _attend_itself(graph: Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """Attention of one new word a row to those before it, and to itself.

    The word's own key and value stay apart from those that are kept: so the graph copies nothing
    of these, and the caller writes the new ones behind them in place.
    """
    kept = _kept_shape(config, "room")
    keys, values = (graph.input(name, kept, TensorProto.FLOAT) for name in ("keys", "values"))
    unseen = graph.input("unseen", ["sequences", 1, 1, "room"], TensorProto.FLOAT)
    query = _scaled_query(graph, config, prefix, rows)
    key, value = (_of_heads(graph, config, f"{prefix}.{part}", rows) for part in ("key", "value"))
    for name, new in (("key", key), ("value", value)):
        graph.output(name, new, _kept_shape(config, 1))

    scores = _scores(graph, query, keys, unseen)
    last = graph.integers("last", [-1])
    own = graph.add("Mul", [query, key])
    own = graph.add("ReduceSum", [own, last], keepdims=1)
    shares = graph.add("Softmax", [graph.add("Concat", [scores, own], axis=-1)], axis=-1)
    start, end, axis = (graph.integers(f"at_{at}", [at]) for at in (0, 2**31, 3))
    of_kept = graph.add("Slice", [shares, start, last, axis])
    of_own = graph.add("Slice", [shares, last, end, axis])
    attended = graph.add("MatMul", [of_kept, values])
    attended = graph.add("Add", [attended, graph.add("Mul", [of_own, value])])
    return _flat(graph, config, attended)


def _attend_sources(graph: Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """Attention of one new word a row to its source."""
    kept = _kept_shape(config, "source")
    names = ("source_keys", "source_values")
    keys, values = (graph.input(name, kept, TensorProto.FLOAT) for name in names)
    unseen = graph.input("source_unseen", ["sequences", 1, 1, "source"], TensorProto.FLOAT)
    scores = _scores(graph, _scaled_query(graph, config, prefix, rows), keys, unseen)
    shares = graph.add("Softmax", [scores], axis=-1)
    return _flat(graph, config, graph.add("MatMul", [shares, values]))


def _scores(graph: Graph, query: str, keys: str, unseen: str) -> str:
    """Products of queries and keys, far below zero where a key must not be seen."""
    product = graph.add("FusedMatMul", [query, keys], domain=CONTRIB, transB=1)
    return graph.add("Add", [product, unseen])


def _scaled_query(graph: Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """Queries over the root of their size, (sequences, heads, 1, head_size)."""
    query = _of_heads(graph, config, f"{prefix}.query", rows)
    return graph.add("Mul", [query, graph.number("query_scale", config.head_size**-0.5)])


def _of_heads(graph: Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """A map of one row a sequence, (sequences, heads, 1, head_size)."""
    projected = _mapped(graph, config, prefix, rows)
    shape = graph.integers("heads", [-1, config.num_attention_heads, 1, config.head_size])
    return graph.add("Reshape", [projected, shape])


def _mapped(graph: Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """A map from hidden to hidden with its bias, and what a depth adds to either."""
    product = graph.product(prefix, rows, config.hidden_size, config.hidden_size)
    return graph.add("Add", [product, graph.bias(prefix, config.hidden_size)])


def _flat(graph: Graph, config: AlbertConfig, heads: str) -> str:
    """Rows (sequences, hidden) of what their heads have found."""
    return graph.add("Reshape", [heads, graph.integers("flat", [-1, config.hidden_size])])


def _cross_prefix(config: AlbertConfig, depth: int) -> str:
    """Where the cross-attention of a depth stands; shared as self-attention is."""
    attention, _ = layer_prefixes(_DECODER_GROUPS, layer_weights(config, depth))
    return attention.removesuffix("attention") + "cross_attention"


def _kept_shape(config: AlbertConfig, tokens: str | int) -> list[str | int]:
    """The shape of keys, and of values."""
    return ["sequences", config.num_attention_heads, tokens, config.head_size]
